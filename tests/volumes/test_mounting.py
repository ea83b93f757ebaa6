"""File systems of volumes' own, as the kernel has them: in a mount namespace that goes with the test."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from nbcontainers import errors
from nbcontainers.linux import mounts, namespaces
from nbcontainers.volumes import Volumes, mounting
from tests.children import in_child

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")]

T = TypeVar("T")
TMPFS = {"type": "tmpfs", "device": "tmpfs"}


def alone(work: Callable[[], T], propagation: int = mounts.MS_PRIVATE) -> T:
    """Do something in a mount namespace of its own, and return what it returns."""

    def isolated() -> T:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | propagation)
        return work()

    return in_child(isolated)


def bind(device: Path, *words: str) -> dict[str, str]:
    return {"type": "none", "device": str(device), "o": ",".join(("bind", *words))}


def mounted(volumes: Volumes, driver_opts: dict[str, str]) -> Path:
    volume = volumes.create("data", labels={}, driver_opts=driver_opts)
    volumes.mount("data")
    return volume.mountpoint


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path / "volumes")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory of this machine, with a file, and another file system below it."""
    directory = tmp_path / "host"
    (directory / "below").mkdir(parents=True)
    (directory / "file").write_text("of the host")
    return directory


@pytest.mark.parametrize(
    ("text", "flags", "data"),
    [
        ("", 0, ""),
        ("size=1m,ro,mode=700", mounts.MS_RDONLY, "size=1m,mode=700"),
        ("ro,rw,,nosuid,suid,nodev", mounts.MS_NODEV, ""),
        ("rbind,rslave", mounts.MS_BIND | mounts.MS_REC | mounts.MS_SLAVE, ""),
        ("defaults,noatime,x", mounts.MS_NOATIME, "x"),
    ],
)
def test_options_are_read_as_mount_does(text: str, flags: int, data: str) -> None:
    assert mounting.parse(text) == (flags, data)


def test_mounted_once_and_taken_away(volumes: Volumes) -> None:
    def work() -> tuple[str, list[bool]]:
        place = mounted(volumes, {**TMPFS, "o": "size=64k,mode=711,uid=7,nosuid"})
        seen = [mounting.is_mounted(place)]
        (place / "kept").touch()
        volumes.mount("data")
        seen.append((place / "kept").exists())
        line = next(line for line in Path("/proc/mounts").read_text().splitlines() if str(place) in line)
        volumes.unmount("data")
        volumes.unmount("data")
        return line.split(" ", 2)[2], [*seen, mounting.is_mounted(place), (place / "kept").exists()]

    line, seen = alone(work)
    assert line == "tmpfs rw,nosuid,relatime,size=64k,mode=711,uid=7 0 0"
    assert seen == [True, True, False, False]


def test_a_directory_of_the_host(volumes: Volumes, host: Path) -> None:
    def work() -> tuple[list[str], str, list[str]]:
        mounts.mount("tmpfs", str(host / "below"), "tmpfs")
        (host / "below/deep").touch()
        place = mounted(volumes, bind(host, "ro", "noexec"))
        flat, said = os.listdir(place / "below"), ""
        try:
            (place / "new").touch()
        except OSError as error:
            said = error.strerror or ""
        volumes.remove("data")
        volumes.create("data", labels={}, driver_opts={**bind(host), "o": "rbind"})
        volumes.mount("data")
        deep = os.listdir(place / "below")
        volumes.remove("data")
        return flat, said, deep

    assert alone(work) == ([], "Read-only file system", ["deep"])
    assert sorted(os.listdir(host)) == ["below", "file"]  # a volume that goes takes nothing along
    assert volumes.list() == []


def test_what_is_unmounted_stays_mounted_on_the_host(volumes: Volumes, host: Path) -> None:
    """A copy of shared mounts is their peer: what is unmounted in one is unmounted in all, unless that was undone."""

    def work() -> bool:
        mounts.mount("tmpfs", str(host / "below"), "tmpfs")
        mounted(volumes, {**bind(host), "o": "rbind"})
        volumes.unmount("data")
        return mounting.is_mounted(host / "below")

    assert alone(work, mounts.MS_SHARED)


def test_looked_at_where_nobody_sees_it(volumes: Volumes) -> None:
    volumes.create("data", labels={}, driver_opts={**TMPFS, "o": "mode=700"})

    def work() -> tuple[int, bool]:
        here = namespaces.open_namespace("mnt")
        fd = volumes.opened("data")
        namespaces.setns(here, namespaces.CLONE_NEWNS)
        return os.fstat(fd).st_mode & 0o777, mounting.is_mounted(volumes.get("data").mountpoint)

    assert alone(work) == (0o700, False)


def test_a_disk(volumes: Volumes, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    loop = subprocess.run(["losetup", "--show", "-f", disk], check=True, capture_output=True, text=True).stdout.strip()
    try:

        def work() -> list[str]:
            place = mounted(volumes, {"type": "ext4", "device": loop, "o": "noatime"})
            (place / "written").touch()
            volumes.unmount("data")
            gone = os.listdir(place)
            volumes.mount("data")
            return [*gone, *os.listdir(place)]

        assert sorted(alone(work)) == ["lost+found", "written"]
    finally:
        subprocess.run(["losetup", "-d", loop], check=True)


def test_refused_with_the_kernels_reason(tmp_path: Path, host: Path) -> None:
    for number, (options, said) in enumerate(
        (
            (bind(host / "nothing"), "mount {device}:{place}, flags: 0x1000: no such file or directory"),
            (bind(host / "file"), "mount {device}:{place}, flags: 0x1000: not a directory"),
            ({**TMPFS, "o": "x=y"}, "mount tmpfs:{place}, data: x=y: invalid argument"),
            ({**TMPFS, "device": ""}, "missing device in volume options"),
            (
                {"type": "nonesuch", "device": "x", "o": "username=u,password=secret"},
                "mount x:{place}, data: username=u,password=********: no such device (this kernel has no file system "
                "'nonesuch')",
            ),
        )
    ):
        volumes = Volumes(tmp_path / str(number))

        def work(volumes: Volumes = volumes, options: dict[str, str] = options) -> Path:
            return mounted(volumes, options)

        with pytest.raises(errors.Internal) as caught:
            alone(work)
        wanted = said.format(device=options["device"], place=volumes.get("data").mountpoint)
        assert str(caught.value) == f"failed to mount local volume: {wanted}"


def test_removed_with_something_mounted_in_it(volumes: Volumes, host: Path) -> None:
    """Whoever has mounted a directory of this machine in a volume by hand keeps what is in that."""

    def work() -> str:
        place = volumes.create("data", labels={}, driver_opts={}).mountpoint
        (place / "a/b").mkdir(parents=True)
        mounts.mount(str(host), str(place / "a/b"), None, mounts.MS_BIND)
        volumes.remove("data")
        return (host / "file").read_text()

    assert alone(work) == "of the host"


def test_what_a_killed_engine_left(volumes: Volumes, tmp_path: Path, host: Path) -> None:
    def work() -> list[bool]:
        for name in ("used", "unused"):
            volumes.create(name, labels={}, driver_opts=bind(host))
            volumes.mount(name)
        after = Volumes(tmp_path / "volumes")
        after.unmount_others({"used"})
        return [mounting.is_mounted(after.get(name).mountpoint) for name in ("used", "unused")]

    assert alone(work) == [True, False]
