"""Images to and from skopeo, umoci and dockerd: the same files, whoever has written and read the archive."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from nbcontainers.images import Image, ImageConfig, Images, RootFS
from nbcontainers.images import layers as layer_archives
from nbcontainers.images.archives import load
from nbcontainers.images.config import ContainerDefaults, HistoryEntry
from nbcontainers.images.exporting import Export
from nbcontainers.images.packing import Descriptor
from nbcontainers.linux import mounts, namespaces
from nbcontainers.runtime.rootfs import open_rootfs
from tests.children import in_child
from tests.images import trees
from tests.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.image_tools]


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(tmp_path / "images", [])


def layer(images: Images, parent: str | None, make: Callable[[Path], None]) -> tuple[str, str]:
    """Make a layer as a container does; return its name and digest."""
    name = os.urandom(8).hex()
    images.snapshots.prepare(name, parent)
    make(images.snapshots.upper(name))
    digest = layer_archives.diff_id(images.snapshots.upper(name))
    images.protect(name)
    images.snapshots.commit(name, name)
    return name, digest


@pytest.fixture
def two_layers(images: Images) -> Image:
    lower, lower_digest = layer(images, None, trees.make_lower)
    upper, upper_digest = layer(images, lower, trees.change)
    config = ImageConfig(
        created="2024-05-06T07:08:09.123456789Z",
        architecture="amd64",
        config=ContainerDefaults(cmd=["/own"], env=["PATH=/bin"], labels={"a": "b"}),
        rootfs=RootFS(diff_ids=[lower_digest, upper_digest]),
        history=[HistoryEntry(created_by="one"), HistoryEntry(created_by="ENV", empty_layer=True), HistoryEntry()],
    )
    image = images.add(config, parent="", snapshot=upper, size_bytes=1)
    images.tag(image.id, "team/tree:1")
    return images.get(image.id)


def save(images: Images, path: Path, *names: str) -> Path:
    with Export(images, names) as export, path.open("wb") as file:
        export.write(Descriptor(file.fileno()))
    return path


def loaded(images: Images, path: Path) -> Image:
    with path.open("rb") as file:
        return load(images, file, lambda progress: None)[0].image


def merged(images: Images, image: Image) -> trees.Facts:
    """Return the facts of an image's files as its containers see them."""
    rootfs = images.snapshots.view(image.snapshot)

    def look() -> trees.Facts:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
        place = tempfile.mkdtemp()
        mounts.move_mount(open_rootfs(rootfs), place)
        return trees.facts(Path(place))

    return in_child(look)


def run(*command: str | Path) -> bytes:
    return subprocess.run([str(word) for word in command], capture_output=True, check=True).stdout


def elsewhere(tmp_path: Path) -> Images:
    return Images(tmp_path / "elsewhere", [])


def test_saved_and_loaded(images: Images, two_layers: Image, tmp_path: Path) -> None:
    first = save(images, tmp_path / "first.tar", "team/tree:1")
    other = elsewhere(tmp_path)
    image = loaded(other, first)
    assert (image.id, image.repo_tags) == (two_layers.id, ["team/tree:1"])
    assert merged(other, image) == merged(images, two_layers)
    assert other.snapshots.files(image.snapshot or "").joinpath("d").exists()
    assert save(other, tmp_path / "second.tar", "team/tree").read_bytes() == first.read_bytes()
    again = loaded(other, first)
    assert len(other.snapshots.committed()) == 2
    assert again.created_ns == 1714979289123456768 or again.created_ns // 10**9 == 1714979289


def test_holes_stay_holes(images: Images, two_layers: Image, tmp_path: Path) -> None:
    other = elsewhere(tmp_path)
    image = loaded(other, save(images, tmp_path / "a.tar", two_layers.id))
    lowest = other.layers(image)[0]
    assert (other.snapshots.files(lowest) / "sparse").stat().st_blocks < 1024


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_skopeo_reads_and_writes(images: Images, two_layers: Image, tmp_path: Path, kind: str) -> None:
    saved = save(images, tmp_path / "saved.tar", "team/tree:1")
    source = f"{kind}:{saved}" + ("" if kind == "docker-archive" else ":1")
    assert json.loads(run("skopeo", "inspect", source))["Layers"] == two_layers.config.rootfs.diff_ids
    for target in ("docker-archive", "oci-archive"):
        there = tmp_path / f"{target}.tar"
        run("skopeo", "--insecure-policy", "copy", source, f"{target}:{there}:localhost/team/tree:1")
        other = Images(tmp_path / f"by-{target}", [])
        image = loaded(other, there)
        assert image.config.rootfs == two_layers.config.rootfs
        assert merged(other, image) == merged(images, two_layers)
        assert image.repo_tags == ["localhost/team/tree:1"]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_layers(images: Images, two_layers: Image, tmp_path: Path, compression: str) -> None:
    saved = save(images, tmp_path / "saved.tar", "team/tree:1")
    layout = tmp_path / "layout"
    options = ["--dest-compress", "--dest-compress-format", compression]
    run("skopeo", "--insecure-policy", "copy", *options, f"docker-archive:{saved}", f"oci:{layout}:team/tree:1")
    run("tar", "-C", layout, "-czf", tmp_path / "layout.tar.gz", ".")
    other = elsewhere(tmp_path)
    image = loaded(other, tmp_path / "layout.tar.gz")
    assert (image.config.rootfs, image.repo_tags) == (two_layers.config.rootfs, ["team/tree:1"])
    assert merged(other, image) == merged(images, two_layers)


def test_umoci_unpacks_the_same_files(images: Images, two_layers: Image, tmp_path: Path) -> None:
    layout, bundle = tmp_path / "layout", tmp_path / "bundle"
    layout.mkdir()
    with tarfile.open(save(images, tmp_path / "saved.tar", "team/tree:1")) as tar:
        tar.extractall(layout, filter="fully_trusted")
    run("umoci", "unpack", "--image", f"{layout}:1", bundle)
    theirs, ours = trees.facts(bundle / "rootfs"), merged(images, two_layers)
    assert theirs == ours


def test_what_umoci_has_packed(images: Images, two_layers: Image, tmp_path: Path) -> None:
    layout, bundle = tmp_path / "layout", tmp_path / "bundle"
    layout.mkdir()
    with tarfile.open(save(images, tmp_path / "saved.tar", "team/tree:1")) as tar:
        tar.extractall(layout, filter="fully_trusted")
    run("umoci", "unpack", "--image", f"{layout}:1", bundle)
    shutil.rmtree(bundle / "rootfs/replaced")
    (bundle / "rootfs/d/one").unlink()
    (bundle / "rootfs/new").mkdir()
    os.link(bundle / "rootfs/changed", bundle / "rootfs/new/linked")
    for changed in (".", "d", "new"):  # umoci rounds times to the next second, and we cut them
        os.utime(bundle / "rootfs" / changed, (10**9, 10**9))
    run("umoci", "repack", "--image", f"{layout}:2", bundle)
    (layout / "manifest.json").unlink()  # which umoci does not know
    run("tar", "-C", layout, "-cf", tmp_path / "layout.tar", ".")
    other = elsewhere(tmp_path)
    with (tmp_path / "layout.tar").open("rb") as file:
        image = max(
            (one.image for one in load(other, file, lambda _: None)), key=lambda one: len(one.config.rootfs.diff_ids)
        )
    expected, found_files = trees.facts(bundle / "rootfs"), merged(other, image)
    # The new layer does not have this directory itself: of its times nothing is known.
    assert found_files.pop("d")[:4] == expected.pop("d")[:4]
    assert found_files == expected


@contextlib.contextmanager
def private_dockerd(directory: Path) -> Iterator[docker.DockerClient]:
    place = Path(tempfile.mkdtemp(prefix="nbdd-", dir="/tmp"))
    options = ["--data-root", place / "data", "--exec-root", place / "exec", "--pidfile", place / "pid"]
    command = ["dockerd", *map(str, options), "--host", f"unix://{place}/s", "--bridge=none", "--iptables=false"]
    with (directory / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: (place / "s").exists() or daemon.poll() is not None)
        client = docker.DockerClient(base_url=f"unix://{place}/s", timeout=60)
        client.ping()
        yield client
        client.close()
    finally:
        daemon.terminate()
        daemon.wait(30)
        shutil.rmtree(place, ignore_errors=True)


def test_dockerd_reads_and_writes(need: Callable[..., None], images: Images, two_layers: Image, tmp_path: Path) -> None:
    if not shutil.which("dockerd"):
        pytest.skip("needs dockerd: apt install docker.io")
    saved = save(images, tmp_path / "saved.tar", "team/tree:1")
    with private_dockerd(tmp_path) as client:
        (theirs,) = client.images.load(saved.read_bytes())
        assert (theirs.id, theirs.tags) == (two_layers.id, ["team/tree:1"])
        container = client.containers.create("team/tree:1")
        with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as tar:
            exported = {member.name: member for member in tar}
        ours = merged(images, two_layers)
        # Docker adds what it mounts on.
        added = {".dockerenv", "dev", "etc", "proc", "sys"}
        assert {name for name in exported if name.split("/")[0] not in added} == set(ours)
        for name, facts in ours.items():
            member = exported[name]
            assert (member.uid, member.gid, int(member.mtime)) == (facts[1], facts[2], facts[4]), name
            assert member.mode & 0o7777 == int(str(facts[0]), 8) & 0o7777, name
        there = tmp_path / "theirs.tar"
        there.write_bytes(b"".join(theirs.save(named=True)))
    other = elsewhere(tmp_path)
    image = loaded(other, there)
    assert (image.id, image.repo_tags) == (two_layers.id, ["team/tree:1"])
    assert merged(other, image) == merged(images, two_layers)
