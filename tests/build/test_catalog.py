import json

import pytest

from nbcontainers.build import catalog
from nbcontainers.build.catalog import CONFIG_TYPE, Catalog, SharedLayer
from nbcontainers.errors import InvalidArgument
from nbcontainers.images import config, manifests
from nbcontainers.images.config import HistoryEntry, ImageConfig, RootFS
from nbcontainers.images.manifests import Contents
from nbcontainers.images.registry import Descriptor, Manifest, media


def _digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def _blob(letter: str) -> Descriptor:
    return Descriptor(media.OCI_LAYER_GZIP, _digest(letter), 7)


ONE = SharedLayer(diff_id=_digest("1"), blob=_blob("a"), size_bytes=10240)
TWO = SharedLayer(diff_id=_digest("2"), blob=_blob("b"), size_bytes=1024)
GONE = SharedLayer(diff_id=_digest("3"), blob=None, size_bytes=0)
CATALOG = Catalog(
    steps={"a" * 64: ONE, "b" * 64: None, "e" * 64: GONE, "c" * 64: TWO, "d" * 64: ONE}, same_as={"f" * 64: "c" * 64}
)


def test_what_is_written_is_read() -> None:
    document, data = catalog.artifact(CATALOG)
    assert (document, data) == catalog.artifact(CATALOG)
    contents = manifests.read(Manifest(media.OCI_MANIFEST, config.digest(data), data), catalog.KINDS)
    assert isinstance(contents, Contents)
    assert (contents.config.digest, contents.config.media_type) == (config.digest(document), CONFIG_TYPE)
    assert [layer.digest for layer in contents.layers] == [_digest("a"), _digest("b")]
    assert catalog.read(contents, document) == CATALOG


def _contents(kind: str, *layers: str) -> Contents:
    return Contents(
        media_type=media.OCI_MANIFEST, config=Descriptor(kind, _digest("f"), 1), layers=[_blob(one) for one in layers]
    )


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"layers": [], "steps": {}},
        {"layers": [{"diff_id": "sha256:1", "size": 1}], "steps": {}},
        {"layers": [{"diff_id": _digest("1"), "size": -1}], "steps": {}},
        {"layers": [{"diff_id": _digest("1"), "size": 1}], "steps": {"a" * 64: 1}},
        {"layers": [{"diff_id": _digest("1"), "size": 1}], "steps": {"a" * 64: -1}},
        {"layers": [{"diff_id": _digest("1"), "size": 1}], "steps": {"../x": 0}},
        {"layers": [{"diff_id": _digest("1"), "size": 1}], "steps": {"a" * 64: "0"}},
    ],
)
def test_what_makes_no_sense_is_refused(document: object) -> None:
    with pytest.raises(InvalidArgument, match="cache"):
        catalog.read(_contents(CONFIG_TYPE, "a"), json.dumps(document).encode())


def test_an_images_history_has_steps() -> None:
    image = ImageConfig(
        rootfs=RootFS(diff_ids=[_digest("1"), _digest("2")]),
        history=[
            HistoryEntry(created_by="imported"),
            HistoryEntry(step="a" * 64, empty_layer=True),
            HistoryEntry(step="b" * 64),
        ],
    )
    document = config.encode(image)
    assert json.loads(document)["history"][2] == {"nbcontainers.step": "b" * 64}
    assert catalog.read(_contents(media.OCI_CONFIG, "a", "b"), document).steps == {
        "a" * 64: None,
        "b" * 64: SharedLayer(diff_id=_digest("2"), blob=_blob("b")),
    }
    image.history.append(HistoryEntry(step="c" * 64))  # of a layer that there is not
    assert catalog.read(_contents(media.OCI_CONFIG, "a", "b"), config.encode(image)).steps == {}
