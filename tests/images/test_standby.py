"""Root file systems that are mounted ahead: taken by one container each, and in nobody's way."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.images import Snapshots
from nbcontainers.images.standby import Standby, Wanted
from nbcontainers.linux import mounts
from nbcontainers.runtime.rootfs import open_rootfs
from nbcontainers.runtime.spec import Rootfs

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="overlayfs needs root")]


@contextmanager
def read(fd: int | None) -> Iterator[Path]:
    assert fd is not None
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "snapshots"


@pytest.fixture
def snapshots(root: Path) -> Iterator[Snapshots]:
    opened = Snapshots(root, [])
    for name in ("below", "layer"):
        opened.prepare(f"key-{name}", None if name == "below" else "below")
        (opened.upper(f"key-{name}") / name).write_text(name)
        opened.commit(name, f"key-{name}")
    yield opened
    opened.standby.close()
    assert not list((root / "standby").iterdir())


def prepare(snapshots: Snapshots, key: str, parent: str = "layer", *, volatile: bool = False) -> None:
    snapshots.prepare(key, parent, volatile=volatile, more_to_come=True)


def on_standby(snapshots: Snapshots, parent: str = "layer") -> None:
    """Have some mounted of the kind that is wanted when this returns."""
    prepare(snapshots, "first", parent)
    snapshots.remove("first")
    snapshots.standby.refill()


def test_the_next_one_is_mounted_already_and_is_what_a_mount_of_its_own_shows(snapshots: Snapshots) -> None:
    on_standby(snapshots)
    prepare(snapshots, "second")
    rootfs, fd = snapshots.mounted("second")
    with read(fd) as mounted:
        assert sorted(entry.name for entry in mounted.iterdir()) == ["below", "dev", "etc", "layer", "proc", "sys"]
        (mounted / "new").write_text("second's")
    assert (snapshots.upper("second") / "new").read_text() == "second's"
    with read(open_rootfs(rootfs)) as mounted:
        assert (mounted / "new").read_text() == "second's"
        assert (mounted / "below").read_text() == "below"


def test_each_is_taken_once_and_holds_nothing_of_another(snapshots: Snapshots) -> None:
    on_standby(snapshots)
    for key in ("one", "two"):
        prepare(snapshots, key)
        with read(snapshots.mounted(key)[1]) as mounted:
            assert not (mounted / "new").exists()
            (mounted / "new").write_text(key)
        assert snapshots.mounted(key)[1] is None
    assert (snapshots.upper("one") / "new").read_text() == "one"


def test_another_kind_is_not_taken_for_it(snapshots: Snapshots) -> None:
    on_standby(snapshots)
    prepare(snapshots, "volatile", volatile=True)
    assert snapshots.mounted("volatile", volatile=True)[1] is None
    prepare(snapshots, "lower", "below")
    assert snapshots.mounted("lower")[1] is None
    snapshots.standby.refill()
    prepare(snapshots, "lower-again", "below")
    with read(snapshots.mounted("lower-again")[1]) as mounted:
        assert not (mounted / "layer").exists()


def test_who_mounts_it_himself_is_the_only_one(snapshots: Snapshots) -> None:
    on_standby(snapshots)
    prepare(snapshots, "second")
    with read(open_rootfs(snapshots.mounts("second"))) as mounted:
        (mounted / "etc/new").write_text("seen")
    rootfs, fd = snapshots.mounted("second")
    assert fd is None
    with read(open_rootfs(rootfs)) as mounted:
        assert (mounted / "etc/new").read_text() == "seen"


def test_a_layer_is_removed_though_something_stands_on_it_ahead(snapshots: Snapshots, root: Path) -> None:
    on_standby(snapshots)
    assert len(list((root / "standby").iterdir())) == 2
    snapshots.remove_layer("layer")
    snapshots.standby.refill()
    assert not list((root / "standby").iterdir())
    with pytest.raises(errors.NotFound):
        prepare(snapshots, "second")


def test_a_layer_that_is_removed_while_it_is_mounted_ahead_is_nobodys_failure(tmp_path: Path) -> None:
    def describe(directory: Path, wanted: Wanted) -> Rootfs:
        raise errors.NotFound(f"snapshot '{wanted.parent}' not found")

    standby = Standby(tmp_path / "standby", Path.mkdir, describe)
    assert not standby.take("key", Wanted("gone", False), tmp_path / "key")
    standby.refill()
    assert not list((tmp_path / "standby").iterdir())


def test_those_that_are_never_started_do_not_pile_up(snapshots: Snapshots) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    on_standby(snapshots)
    before = descriptors()
    for number in range(12):
        prepare(snapshots, f"never-{number}")
        snapshots.standby.refill()
    assert descriptors() == before + 8
    for number in range(12):
        snapshots.remove(f"never-{number}")
    snapshots.standby.refill()
    assert descriptors() == before


def test_what_a_crash_has_left_is_removed_at_the_next_start(snapshots: Snapshots, root: Path) -> None:
    on_standby(snapshots)
    again = Snapshots(root, [])
    assert not list((root / "standby").iterdir())
    prepare(again, "second")
    assert again.mounted("second")[1] is None
    again.standby.close()


def test_an_image_with_a_link_where_something_is_mounted_leads_nowhere(snapshots: Snapshots, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    snapshots.prepare("key-linked", "layer")
    upper = snapshots.upper("key-linked")
    (upper / "etc").symlink_to("../" * 20 + str(outside))
    snapshots.commit("linked", "key-linked")
    on_standby(snapshots, "linked")
    assert not list(outside.iterdir())
    prepare(snapshots, "second", "linked")
    with read(snapshots.mounted("second")[1]) as mounted:
        fd = os.open(mounted, os.O_PATH)
        try:
            os.close(mounts.openat2(fd, f"{outside}/hosts", os.O_PATH))
        finally:
            os.close(fd)
