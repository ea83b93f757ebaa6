"""Loading archives: hostile ones are refused and leave nothing, and so do those whose loading is killed."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbcontainers import errors
from nbcontainers.images import Images
from nbcontainers.images.archives import LayerProgress, load
from nbcontainers.images.exporting import Export
from nbcontainers.images.packing import Descriptor
from nbcontainers.linux import files
from tests.children import Fuse, killed_at

pytestmark = pytest.mark.root

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(tmp_path / "images", [])


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info, data


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def docker_archive(
    *layers: bytes, extra: Members | None = None, change: Callable[[Any, Any], None] | None = None
) -> Members:
    """Return the members of a docker-archive, after ``change`` has had its way with configuration and manifest."""
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}, "config": None}
    config["rootfs"]["diff_ids"] = [f"sha256:{sha256(layer)}" for layer in layers]  # type: ignore[index]
    manifest = {"Config": "", "RepoTags": ["x:1"], "Layers": [f"{number}/layer.tar" for number in range(len(layers))]}
    if change is not None:
        change(config, manifest)
    document = json.dumps(config).encode()
    manifest["Config"] = manifest["Config"] or f"{sha256(document)}.json"
    return [
        *(member(f"{number}/layer.tar", layer) for number, layer in enumerate(layers)),
        member(str(manifest["Config"]), document),
        member("manifest.json", json.dumps([manifest]).encode()),
        *(extra or []),
    ]


def loaded(images: Images, members: Members) -> list[str]:
    return [one.reference for one in load(images, io.BytesIO(tar(*members)), lambda _: None)]


def left(root: Path) -> list[str]:
    """Return what is in a store beside its index, or a half of that which the next one is written over."""
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return [path for path in found if not path.endswith(("index.json", ".index.json.tmp"))]


NOTHING = "sha256:" + "0" * 64
ONE, TWO = tar(member("a", b"one")), tar(member("b", b"two"))


def test_a_plain_one(images: Images) -> None:
    seen: list[LayerProgress] = []
    data = tar(*docker_archive(ONE, TWO, ONE))
    (one,) = load(images, io.BytesIO(data), seen.append)
    assert one.reference == "x:1"
    assert [progress.current == progress.total for progress in seen] == [True, True, True]
    names = [sorted(os.listdir(images.snapshots.files(layer))) for layer in images.layers(one.image)]
    assert names == [["a"], ["b"], ["a"]]


def test_one_blob_for_two_layers(images: Images, tmp_path: Path) -> None:
    members = docker_archive(ONE, TWO, ONE, change=lambda _, manifest: manifest["Layers"].__setitem__(2, "0/layer.tar"))
    assert loaded(images, members) == ["x:1"]
    with Export(images, ["x:1"]) as export, (tmp_path / "saved").open("wb") as file:
        export.write(Descriptor(file.fileno()))
    with tarfile.open(tmp_path / "saved") as saved:
        blobs = [saved.extractfile(one).read() for one in saved if one.isreg()]  # type: ignore[union-attr]
    assert ONE in blobs
    assert TWO in blobs


def test_a_layer_by_a_link(images: Images) -> None:
    """As skopeo has them, and dockerd for a layer that it has written already."""
    members = docker_archive(
        ONE,
        extra=[member("other/layer.tar", kind=tarfile.SYMTYPE, link="../0/layer.tar")],
        change=lambda _, manifest: manifest["Layers"].__setitem__(0, "other/layer.tar"),
    )
    assert loaded(images, members) == ["x:1"]


def test_an_image_without_layers_or_names(images: Images) -> None:
    members = docker_archive(change=lambda _, manifest: manifest.update(RepoTags=None, Layers=None))
    (one,) = load(images, io.BytesIO(tar(*members)), lambda _: None)
    assert (one.reference, one.image.snapshot) == ("", None)


def test_a_name_that_another_image_has(images: Images) -> None:
    (first,) = load(images, io.BytesIO(tar(*docker_archive(ONE))), lambda _: None)
    (second,) = load(images, io.BytesIO(tar(*docker_archive(TWO))), lambda _: None)
    assert (first.replaced, second.replaced) == ("", first.image.id)
    assert images.get(first.image.id).repo_tags == []


def of_config(**facts: object) -> Callable[[Any, Any], None]:
    return lambda config, _: config.update(facts)


def of_manifest(**facts: object) -> Callable[[Any, Any], None]:
    return lambda _, manifest: manifest.update(facts)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([], "cannot read the archive|neither manifest.json"),
        ([member("some", b"thing")], "neither manifest.json nor index.json"),
        ([member("manifest.json", b"{")], "'manifest.json' in the archive is damaged"),
        ([member("manifest.json", b'[{"Config": "nothing"}]')], "'nothing' is not in the archive"),
        ([member("manifest.json", b'[{"Config": "../../etc/passwd"}]')], "leads out of its root"),
        ([member("../x", b"")], "leads out of its root"),
        ([member("x", kind=tarfile.SYMTYPE, link="../../etc/passwd")], "leads out of the archive"),
        ([member("x", kind=tarfile.SYMTYPE, link="/etc/passwd")], "leads out of the archive"),
        ([member("x", kind=tarfile.LNKTYPE, link="/etc/passwd")], "leads out of the archive"),
        ([member("x", kind=tarfile.CHRTYPE)], "of a kind that no archive of images has"),
        ([member("x", b"1"), member("./x", b"2")], "'x' twice"),
        (docker_archive(ONE, change=of_manifest(Layers=["/etc/passwd"])), "'/etc/passwd' is not in the archive"),
        (docker_archive(ONE, change=of_manifest(Layers=[])), "layers length mismatch: expected 1, got 0"),
        (docker_archive(ONE, change=of_manifest(RepoTags=["UPPER"])), "lower case"),
        (docker_archive(ONE, change=of_manifest(Config="f" * 64 + ".json")), "is damaged: its digest is"),
        (docker_archive(ONE, change=of_config(os="windows")), "cannot load windows image on linux"),
        (docker_archive(ONE, change=of_config(rootfs=7)), "configuration is damaged"),
        (
            docker_archive(ONE, change=of_config(rootfs={"diff_ids": [NOTHING]})),
            "invalid diffID for layer 0",
        ),
        (docker_archive(tar(member("../out", b""))), "leads out of its root"),
        (docker_archive(tar(member("d/.wh...", b""))), "leads out of its root"),
        (docker_archive(tar(member("a", b"1"), member("a", b"2"))), "'a' twice"),
        (docker_archive(tar(member("a", kind=tarfile.LNKTYPE, link="/etc/passwd"))), "cannot unpack"),
        (docker_archive(ONE[:514]), "cannot unpack|cannot read"),
        (
            [
                member("a", kind=tarfile.SYMTYPE, link="b"),
                member("b", kind=tarfile.SYMTYPE, link="a"),
                member("manifest.json", b'[{"Config": "a"}]'),
            ],
            "a link to a link",
        ),
    ],
)
def test_hostile_archives_are_refused(images: Images, tmp_path: Path, members: Members, text: str) -> None:
    with pytest.raises(errors.Error, match=text):
        loaded(images, members)
    assert [image.repo_tags for image in images.list()] == [["host:latest"]]
    assert left(tmp_path) == []


def oci_layout(layer: bytes, change: Callable[[Any], None] | None = None) -> Members:
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{sha256(layer)}"]}
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": rootfs}).encode()

    def descriptor(data: bytes) -> dict[str, Any]:
        return {"mediaType": "x", "digest": f"sha256:{sha256(data)}", "size": len(data)}

    document: Any = {"schemaVersion": 2, "config": descriptor(config), "layers": [descriptor(layer)]}
    if change is not None:
        change(document)
    manifest = json.dumps(document).encode()
    entry = {**descriptor(manifest), "annotations": {"org.opencontainers.image.ref.name": "y:2"}}
    blobs = [member(f"blobs/sha256/{sha256(data)}", data) for data in (config, layer, manifest)]
    return [*blobs, member("index.json", json.dumps({"manifests": [entry]}).encode())]


def test_an_oci_layout(images: Images) -> None:
    assert loaded(images, oci_layout(ONE)) == ["y:2"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda document: document["layers"][0].update(digest="sha256:" + "0" * 64), "is not in the archive"),
        (lambda document: document["layers"][0].update(digest="md5:0"), "no digest of the kind sha256"),
        (lambda document: document["config"].update(digest="sha256:../../../../etc/passwd"), "no digest"),
        (lambda document: document.pop("config"), "neither an index nor a manifest"),
        (lambda document: document.update(layers=[]), "layers length mismatch"),
    ],
)
def test_hostile_layouts_are_refused(images: Images, tmp_path: Path, change: Callable[[Any], None], text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=text):
        loaded(images, oci_layout(ONE, change))
    assert left(tmp_path) == []


def test_a_blob_with_another_digest_is_refused(images: Images, tmp_path: Path) -> None:
    members = oci_layout(ONE)
    changed = [(info, TWO if data == ONE else data) for info, data in members]
    with pytest.raises(errors.InvalidArgument, match="is damaged: its digest is"):
        loaded(images, changed)
    assert left(tmp_path) == []


def test_killed_while_loading(tmp_path: Path) -> None:
    """Wherever it is killed, what the next engine finds is no image, or the whole one."""
    root = tmp_path / "images"
    data = tar(*docker_archive(ONE, TWO))

    def work(fuse: Fuse) -> None:
        images = Images(root, [])
        for name in ("rename", "fsync", "mkdir"):
            fuse.wrap(os, name)
        load(images, io.BytesIO(data), lambda _: None)

    steps = 1
    while killed_at(steps, work):
        images = Images(root, [])
        images.snapshots.sweep(set())
        images.sweep()
        for image in images.list()[1:]:
            assert [len(os.listdir(images.snapshots.files(layer))) for layer in images.layers(image)] == [1, 1]
            assert images.document(image.id)
            images.remove(image.id, force=True, in_use=lambda _: [])
        assert left(tmp_path) == [], steps
        steps += 1
    assert steps > 8


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_archives_leave_nothing(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes changed, cut and repeated: an error of ours, or the image; never anything else, or anything left."""
    whole = bytearray(tar(*docker_archive(ONE, TWO)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        if data.draw(st.booleans()):
            whole[place] = data.draw(st.integers(0, 255))
        else:
            del whole[place : place + data.draw(st.integers(1, 600))]
            whole += b"\0"
    root = tmp_path / os.urandom(4).hex()
    images = Images(root, [])
    try:
        load(images, io.BytesIO(bytes(whole)), lambda _: None)
    except errors.Error:
        assert left(root) == []
    finally:
        files.remove_tree(str(root))
