"""OCI layouts in folders: written whole or not at all, and read as if an enemy had made them."""

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nbcontainers.errors import InvalidArgument
from nbcontainers.images import layout
from nbcontainers.images.config import digest
from nbcontainers.images.layout import Layout, LayoutWriter
from nbcontainers.images.registry import Descriptor, Manifest, media
from tests.children import Fuse, killed_at

KIND = "application/vnd.test.v1+json"


def _layer(root: Path, text: str) -> Path:
    files = root / text / "fs"
    files.mkdir(parents=True)
    (files / "file").write_text(text)
    return files


def _export(folder: str, sources: list[Path], tag: str = "latest") -> None:
    with LayoutWriter(folder) as writer:
        blobs = [writer.put_layer(source)[0] for source in sources]
        config = Descriptor(KIND, writer.put_document(b"{}"), 2)
        described = [{"mediaType": one.media_type, "digest": one.digest, "size": one.size} for one in (config, *blobs)]
        document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": described[0]}
        data = json.dumps({**document, "layers": described[1:]}).encode()
        writer.name(tag, Manifest(media.OCI_MANIFEST, writer.put_document(data), data), "")


def _texts(folder: str, tag: str = "latest") -> list[bytes]:
    """Return what the layers of a tag hold; every digest and size is right."""
    with Layout(folder) as found:
        manifest = found.manifest(tag)
        assert manifest is not None
        texts = []
        for layer in json.loads(manifest.data)["layers"]:
            with found.blob(Descriptor(layer["mediaType"], layer["digest"], layer["size"])) as blob:
                blob.verify()
            with tarfile.open(f"{folder}/blobs/sha256/{layer['digest'][7:]}") as tar:
                file = tar.extractfile("file")
                assert file is not None
                texts.append(file.read())
    return texts


def test_what_is_written_anew_leaves_nothing_of_the_old_but_what_others_need(tmp_path: Path) -> None:
    folder = str(tmp_path / "new" / "folder")
    one, two, three = (_layer(tmp_path, text) for text in ("one", "two", "three"))
    _export(folder, [one, two])
    _export(folder, [one], "other")
    _export(folder, [three])
    assert (_texts(folder), _texts(folder, "other")) == ([b"three"], [b"one"])
    assert len(os.listdir(f"{folder}/blobs/sha256")) == 2 + 2 + 1  # the configuration is the same
    assert json.loads(Path(folder, "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    with Layout(folder) as found:
        assert found.manifest("none") is None


def test_whenever_it_is_killed_the_old_or_the_new_one_is_there_whole(tmp_path: Path) -> None:
    folder = str(tmp_path / "folder")
    old, new = _layer(tmp_path, "old"), _layer(tmp_path, "new")

    def export(fuse: Fuse) -> None:
        for name in ("write", "rename", "unlink"):
            fuse.wrap(layout.os, name)  # type: ignore[attr-defined]
        _export(folder, [new])

    _export(folder, [old])
    steps, seen = 1, []
    while killed_at(steps, export):
        seen.append(_texts(folder))
        _export(folder, [old])
        assert not [path for path in Path(folder).rglob("*") if path.name.startswith(layout._TEMPORARY)]
        steps += 1
    assert _texts(folder) == [b"new"]
    assert (seen[0], seen[-1]) == ([b"old"], [b"new"])


def _no_link(folder: Path, blob: Path) -> None:
    blob.rename(folder / "elsewhere")
    blob.symlink_to(folder / "elsewhere")


def _links_above(folder: Path, blob: Path) -> None:
    (folder / "blobs").rename(folder / "elsewhere")
    (folder / "blobs").symlink_to("elsewhere")


def _pipe(folder: Path, blob: Path) -> None:
    blob.unlink()
    os.mkfifo(blob)


def _other_bytes(folder: Path, blob: Path) -> None:
    blob.write_bytes(bytes(len(blob.read_bytes())))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_no_link, "symbolic links"),
        (_links_above, "symbolic links"),
        (_pipe, "no plain file"),
        (_other_bytes, "is damaged"),
        (lambda _, blob: blob.write_bytes(b"x"), "it has 1 bytes"),
        (lambda _, blob: blob.unlink(), "No such file"),
    ],
)
def test_a_blob_that_is_not_what_was_promised(
    tmp_path: Path, spoil: Callable[[Path, Path], object], reason: str
) -> None:
    folder = tmp_path / "folder"
    _export(str(folder), [_layer(tmp_path, "one")])
    with Layout(str(folder)) as found:
        manifest = found.manifest("latest")
        assert manifest is not None
        layer = json.loads(manifest.data)["layers"][0]
        blob = folder / "blobs" / "sha256" / layer["digest"][7:]
        spoil(folder, blob)
        with (
            pytest.raises(InvalidArgument, match=reason),
            found.blob(Descriptor("", layer["digest"], layer["size"])) as opened,
        ):
            opened.verify()


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b'{"name": "a package"}',
        b'{"manifests": [{"digest": "sha256:1"}]}',
        b'{"manifests": ' + b"[" * 100_000,
        b'{"manifests": []}' + b" " * layout.LONGEST_DOCUMENT,
    ],
)
def test_an_index_that_is_none_is_refused_and_kept(tmp_path: Path, index: bytes) -> None:
    (tmp_path / "index.json").write_bytes(index)
    with Layout(str(tmp_path)) as found, pytest.raises(InvalidArgument, match=r"index\.json"):
        found.manifest("latest")
    with pytest.raises(InvalidArgument, match=r"index\.json"):
        LayoutWriter(str(tmp_path))
    assert (tmp_path / "index.json").read_bytes() == index


@pytest.mark.parametrize("name", ["../../../etc/passwd", f"sha256:../{'a' * 61}", "sha512:" + "a" * 64])
def test_a_digest_that_is_none(tmp_path: Path, name: str) -> None:
    size = 5
    entry = {"mediaType": media.OCI_MANIFEST, "digest": name, "size": size}
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [entry]}))
    with Layout(str(tmp_path)) as found, pytest.raises(InvalidArgument, match="is no digest"):
        found.manifest("", name)
    data = b"what is there is not what was asked for"
    with Layout(str(tmp_path)) as found, pytest.raises(InvalidArgument, match="No such file"):
        found.document(Descriptor("", digest(data), len(data)))


def test_links_that_wait_for_who_writes_are_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    folder = tmp_path / "folder"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / "sha256").symlink_to(precious)
    with pytest.raises(OSError, match="sha256"):
        LayoutWriter(str(folder))
    assert os.listdir(precious) == []
    (folder / "blobs" / "sha256").unlink()
    (folder / "oci-layout").symlink_to(precious / "target")
    (folder / "index.json").symlink_to(precious / "index.json")
    with pytest.raises(InvalidArgument, match="symbolic links"):
        LayoutWriter(str(folder))
    assert os.listdir(precious) == []
