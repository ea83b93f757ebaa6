"""The store of volumes: made, found, filled, removed; by several at once, and killed at any step."""

import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.linux import files, mounts, namespaces
from nbcontainers.volumes import Volume, Volumes
from tests.children import Fuse, in_child, killed_at

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")]


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path / "volumes")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A directory as an image has it."""
    directory = tmp_path / "image"
    (directory / "sub").mkdir(parents=True)
    (directory / "file").write_text("of the image")
    (directory / "sub/more").write_text("more")
    os.chown(directory, 70, 71)
    os.chmod(directory, 0o2770)
    os.utime(directory, (1000, 1000))
    return directory


@contextmanager
def opened(directory: Path) -> Iterator[int]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def create(volumes: Volumes, name: str | None, **labels: str) -> Volume:
    return volumes.create(name, labels=labels, driver_opts={})


def fill(volumes: Volumes, name: str, image: Path) -> None:
    with opened(image) as source_fd:
        volumes.copy_up(name, source_fd)


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_a_volume_is_a_directory(volumes: Volumes, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        volume = create(volumes, "data", x="y")
    finally:
        os.umask(before)
    assert (volume.name, volume.labels, volume.mountpoint) == ("data", {"x": "y"}, tmp_path / "volumes/data/_data")
    assert stat.S_IMODE(volume.mountpoint.stat().st_mode) == 0o755
    assert volume.created_ns > 1_700_000_000 * 10**9
    assert volumes.get("data") == volume
    assert volumes.list() == [volume]


def test_the_name_that_is_there_is_returned_as_it_is(volumes: Volumes) -> None:
    first = create(volumes, "data", x="y")
    (first.mountpoint / "file").touch()
    assert create(volumes, "data", x="other") == first
    assert names(first.mountpoint) == ["file"]


def test_anonymous_volumes_have_names_of_their_own(volumes: Volumes) -> None:
    one, two = create(volumes, None), create(volumes, None)
    assert len(one.name) == len(two.name) == 64
    assert one.name != two.name


@pytest.mark.parametrize("name", ["a", "../x", "a/b", ".hidden", "-x", "_x", "ä" * 3, "a b", "x\n", "x" * 256, "/etc"])
def test_names_that_are_none(volumes: Volumes, tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="volume name"):
        create(volumes, name)
    for refused in (volumes.get, volumes.remove):
        with pytest.raises(errors.NoSuchVolume, match="no such volume"):
            refused(name)
    assert names(tmp_path) == ["volumes"]


def test_the_longest_name(volumes: Volumes) -> None:
    assert create(volumes, "x" * 255).name == "x" * 255


def test_options_are_refused_not_ignored(volumes: Volumes) -> None:
    for options, said in (
        ({"foo": "bar"}, 'create data: invalid option: "foo"'),
        ({"type": "tmpfs"}, 'create data: missing required option: "device"'),
        ({"device": "x"}, 'create data: missing required option: "type"'),
        ({"o": "size=3"}, 'create data: missing required option: "device"'),
        ({"size": "xx"}, "create data: invalid size: 'xx'"),
        ({"size": "10m"}, "create data: quota size requested but no quota support"),
        ({"type": "none", "o": "x\0", "device": ""}, 'create data: invalid value of option "o": 4095 bytes at most'),
        (
            {"type": "none", "o": "remount", "device": "/srv"},
            'create data: invalid mount option "remount": a volume is',
        ),
        ({"type": "none", "device": "x", "size": "1m"}, 'create data: invalid option: "size" limits a volume on the'),
        ({"type": "none", "o": "bind,uid=1", "device": "/srv"}, 'create data: invalid mount option "uid=1": it is one'),
        ({"type": "none", "o": "sync,bind", "device": "/srv"}, 'create data: invalid mount option "sync": it is one'),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            volumes.create("data", labels={}, driver_opts=options)
        assert str(caught.value).startswith(said)  # the first six as dockerd 20.10 says it
    assert volumes.list() == []


def test_a_removed_volume_is_gone_with_its_files(volumes: Volumes, tmp_path: Path) -> None:
    volume = create(volumes, "data")
    deep = volume.mountpoint / "a/b/c"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    (volume.mountpoint / "link").symlink_to(tmp_path)
    volumes.remove("data")
    assert names(tmp_path) == ["volumes"]
    for refused in (volumes.get, volumes.remove):
        with pytest.raises(errors.NoSuchVolume):
            refused("data")


def test_what_is_damaged_is_said_to_be(volumes: Volumes, tmp_path: Path) -> None:
    create(volumes, "data")
    (tmp_path / "volumes/data/volume.json").write_bytes(b"{")
    with pytest.raises(errors.Unavailable, match=r"volume\.json' is damaged"):
        volumes.get("data")


def test_an_engine_finds_them_again(volumes: Volumes, tmp_path: Path) -> None:
    created = [create(volumes, "one", x="y"), create(volumes, "two")]
    (tmp_path / "volumes/.leftover/_data").mkdir(parents=True)
    (tmp_path / "volumes/.leftover/_data/file").touch()
    assert Volumes(tmp_path / "volumes").list() == created
    assert sorted(os.listdir(tmp_path / "volumes")) == ["one", "two"]


def test_an_empty_volume_gets_what_the_image_has(volumes: Volumes, image: Path, tmp_path: Path) -> None:
    volume = create(volumes, "data")
    inode = volume.mountpoint.stat().st_ino
    fill(volumes, "data", image)
    assert names(volume.mountpoint) == ["file", "sub", "sub/more"]
    status = volume.mountpoint.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_mtime) == (70, 71, 0o2770, 1000)
    assert status.st_ino == inode  # who has it mounted already sees it too
    assert names(image) == ["file", "sub", "sub/more"]
    assert os.listdir(tmp_path / "volumes") == ["data"]


def test_special_files_links_and_capabilities_come_along(volumes: Volumes, image: Path) -> None:
    os.mknod(image / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkfifo(image / "pipe")
    os.link(image / "file", image / "again")
    os.chown(image / "file", 1000, 1000)
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(image / "file", "security.capability", capability)
    (image / "out").symlink_to("/etc")
    data = create(volumes, "data").mountpoint
    fill(volumes, "data", image)
    assert (data / "null").lstat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISFIFO((data / "pipe").lstat().st_mode)
    assert (data / "file").stat().st_ino == (data / "again").stat().st_ino
    assert ((data / "file").stat().st_uid, os.getxattr(data / "file", "security.capability")) == (1000, capability)
    assert os.readlink(data / "out") == "/etc"


def test_a_volume_that_has_something_keeps_it(volumes: Volumes, image: Path) -> None:
    data = create(volumes, "data").mountpoint
    (data / "mine").touch()
    fill(volumes, "data", image)
    assert names(data) == ["mine"]
    with pytest.raises(errors.NoSuchVolume):
        fill(volumes, "nothing", image)


def test_a_full_disk_leaves_the_volume_empty(tmp_path: Path, image: Path) -> None:
    """Half a copy would pass for the volume's content ever after."""
    (image / "big").write_bytes(b"x" * (1 << 20))
    small = tmp_path / "small"
    small.mkdir()

    def work() -> tuple[str, list[str], list[str]]:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
        mounts.mount("tmpfs", str(small), "tmpfs", 0, "size=512k")
        volumes = Volumes(small)
        volume = create(volumes, "data")
        said = ""
        try:
            fill(volumes, "data", image)
        except OSError as error:
            said = str(error)
        return said, names(volume.mountpoint), os.listdir(small)

    said, left, beside = in_child(work)
    assert "No space left" in said
    assert (left, beside) == ([], ["data"])


def test_made_by_many_at_once(volumes: Volumes, tmp_path: Path) -> None:
    for turn in range(10):
        together = threading.Barrier(4)

        def make(number: int, turn: int = turn, together: threading.Barrier = together) -> Volume:
            together.wait(5)
            return create(volumes, f"data-{turn}", maker=str(number))

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(make, range(4)))
        assert made.count(made[0]) == 4
    assert all(not name.startswith(".") for name in os.listdir(tmp_path / "volumes"))


def test_made_listed_and_removed_at_once(volumes: Volumes) -> None:
    def work(number: int) -> int:
        removed = 0
        for _ in range(20):
            create(volumes, "shared")
            create(volumes, f"own-{number}")
            assert f"own-{number}" in [volume.name for volume in volumes.list()]
            volumes.remove(f"own-{number}")
            try:
                volumes.remove("shared")
                removed += 1
            except errors.NoSuchVolume:
                pass
        return removed

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) > 0
    assert volumes.list() == []


def test_filled_by_two_at_once(volumes: Volumes, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = create(volumes, "data").mountpoint
    copying, count = threading.Event(), []
    copy_tree = files.copy_tree

    def copy(source_fd: int, target_fd: int) -> None:
        count.append(1)
        copying.wait(0.2)
        copy_tree(source_fd, target_fd)

    monkeypatch.setattr(files, "copy_tree", copy)
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(fill, volumes, "data", image) for _ in range(2)]:
            future.result()
    assert names(data) == ["file", "sub", "sub/more"]
    assert len(count) == 1


def test_killed_at_any_step(tmp_path: Path, image: Path) -> None:
    root = tmp_path / "volumes"

    def work(fuse: Fuse) -> None:
        volumes = Volumes(root)
        for name in ("mkdir", "rename", "open", "unlink", "rmdir", "chown", "symlink"):
            fuse.wrap(os, name)
        create(volumes, "data")
        fill(volumes, "data", image)
        volumes.remove("data")

    steps, seen = 1, set()
    while killed_at(steps, work):
        volumes = Volumes(root)
        for volume in volumes.list():
            content = names(volume.mountpoint)
            seen.add(tuple(content))
            volumes.remove(volume.name)
        assert names(root) == [], steps
        steps += 1
    assert steps > 20
    # Moved in name by name: between the two there is one moment in which the first is there alone.
    assert seen <= {(), ("file",), ("sub", "sub/more"), ("file", "sub", "sub/more")}
    assert {(), ("file", "sub", "sub/more")} <= seen
