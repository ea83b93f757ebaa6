"""Limited volumes, on a kernel that has quotas of projects: in the guest of ``tests/uml``."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.linux import capabilities, files, quota
from nbcontainers.volumes import Volumes, options
from tests.children import in_child
from tests.volumes.test_mounting import alone

pytestmark = [pytest.mark.root]

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "wanted"), [("0", 0), ("1", 1), ("2k", 2048), ("10m", 10 * MIB), ("1.5 GiB", 3 << 29), ("1Kb", 1024)]
)
def test_sizes(size: str, wanted: int) -> None:
    options.check("data", {"size": size})
    assert options.size_bytes({"size": size}) == wanted


def written(path: Path, size_bytes: int) -> int:
    """Write a file as containers do, and return how many bytes of it there was room for.

    Source: quotactl(2); capabilities(7) § CAP_SYS_RESOURCE, which overrides quotas, and which containers do not have.
    """

    def work() -> int:
        kept = capabilities.mask(name for name in capabilities.permitted() if name != "CAP_SYS_RESOURCE")
        capabilities.capset(kept, kept, 0)
        with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for _ in range(size_bytes >> 16):
                file.write(bytes(1 << 16))
        return path.stat().st_size

    return in_child(work)


@pytest.mark.cgroup_v2
def test_no_more_than_it_may_have(tmp_path: Path) -> None:
    disk, place = tmp_path / "disk", tmp_path / "place"
    with disk.open("wb") as file:
        file.truncate(32 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota", disk], check=True)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop,prjquota", disk, place], check=True)
    try:
        volumes = Volumes(place)
        small = volumes.create("small", labels={}, driver_opts={"size": "1m"})
        other = volumes.create("other", labels={}, driver_opts={"size": "2m"})
        free = volumes.create("free", labels={}, driver_opts={})
        assert small.size_bytes == MIB
        (small.mountpoint / "below").mkdir()
        assert 0 < written(small.mountpoint / "below/file", 3 * MIB) <= MIB
        assert MIB < written(other.mountpoint / "file", 3 * MIB) <= 2 * MIB
        assert written(free.mountpoint / "file", 3 * MIB) == 3 * MIB

        with files.opened_directory(other.mountpoint) as source_fd:  # what an image has is counted as well
            filled = volumes.create("filled", labels={}, driver_opts={"size": "4m"})
            volumes.copy_up("filled", source_fd)
        assert 0 < written(filled.mountpoint / "more", 4 * MIB) <= 2 * MIB

        with files.opened_directory(place) as fd:
            with files.opened_directory(small.mountpoint) as small_fd:
                project = quota.project_of(small_fd)
            limit, used = quota.usage(fd, project)
            assert limit == MIB
            assert 0 < used <= MIB
            volumes.remove("small")
            assert quota.usage(fd, project) == (0, 0)
        assert sorted(os.listdir(place)) == ["filled", "free", "lost+found", "other"]
    finally:
        subprocess.run(["umount", place], check=True)


def test_not_where_no_limit_holds(tmp_path: Path) -> None:
    def work() -> str:
        subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
        with pytest.raises(errors.InvalidArgument) as caught:
            Volumes(tmp_path).create("data", labels={}, driver_opts={"size": "1m"})
        return str(caught.value)

    assert alone(work) == "create data: quota size requested but no quota support"
