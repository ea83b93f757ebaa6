"""The conformance suite of snapshots: what every implementation of their interface must do, on a real overlayfs."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.errors import SyscallError
from nbcontainers.images import HOST_SNAPSHOT, Snapshots
from nbcontainers.linux import files, overlay
from nbcontainers.runtime.rootfs import open_rootfs
from nbcontainers.runtime.spec import Rootfs
from tests.children import Fuse, killed_at

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="overlayfs needs root")]

Factory = Callable[[], Snapshots]


@pytest.fixture(params=[Snapshots])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Factory:
    """Opens the snapshots, as an engine does when it starts; again and again on the same directory."""
    return lambda: request.param(tmp_path / "snapshots", [str(tmp_path)])


@pytest.fixture
def snapshots(reopen: Factory) -> Snapshots:
    return reopen()


@contextmanager
def mounted(rootfs: Rootfs) -> Iterator[Path]:
    fd = open_rootfs(rootfs)
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def layer(snapshots: Snapshots, name: str, parent: str | None, **contents: str) -> None:
    """Commit a layer with files of these contents, written through the mounted root file system."""
    with mounted(snapshots.prepare(f"key-{name}", parent)) as root:
        for file, content in contents.items():
            (root / file).write_text(content)
    snapshots.commit(name, f"key-{name}")


def contents(root: Path) -> dict[str, str]:
    return {entry.name: entry.read_text() for entry in root.iterdir() if entry.is_file()}


def test_a_container_starts_from_nothing(snapshots: Snapshots) -> None:
    with mounted(snapshots.prepare("one", None)) as root:
        assert list(root.iterdir()) == []
        (root / "file").write_text("1")
    assert (snapshots.upper("one") / "file").read_text() == "1"
    with mounted(snapshots.mounts("one")) as root:
        assert contents(root) == {"file": "1"}


def test_layers_are_stacked_in_their_order(snapshots: Snapshots) -> None:
    layer(snapshots, "base", None, a="base", b="base", c="base")
    layer(snapshots, "middle", "base", b="middle", c="middle")
    layer(snapshots, "top", "middle", c="top")
    assert snapshots.chain("top") == ["top", "middle", "base"]
    for rootfs in (snapshots.prepare("one", "top"), snapshots.view("top")):
        with mounted(rootfs) as root:
            assert contents(root) == {"a": "base", "b": "middle", "c": "top"}
    with mounted(snapshots.view("middle")) as root:
        assert contents(root) == {"a": "base", "b": "middle", "c": "middle"}


def test_what_is_removed_in_a_layer_is_gone_above_it_only(snapshots: Snapshots) -> None:
    layer(snapshots, "base", None, a="base", b="base")
    with mounted(snapshots.prepare("one", "base")) as root:
        (root / "a").unlink()
    snapshots.commit("top", "one")
    assert overlay.is_whiteout((snapshots.files("top") / "a").lstat())
    with mounted(snapshots.view("top")) as root:
        assert contents(root) == {"b": "base"}
    with mounted(snapshots.view("base")) as root:
        assert contents(root) == {"a": "base", "b": "base"}


def test_containers_of_one_layer_do_not_see_each_other(snapshots: Snapshots) -> None:
    layer(snapshots, "base", None, file="base")
    with mounted(snapshots.prepare("one", "base")) as one, mounted(snapshots.prepare("two", "base")) as two:
        (one / "file").write_text("one")
        (two / "more").write_text("two")
        assert contents(one) == {"file": "one"}
        assert contents(two) == {"file": "base", "more": "two"}
    assert (snapshots.files("base") / "file").read_text() == "base"


def test_a_view_is_read_only(snapshots: Snapshots) -> None:
    layer(snapshots, "base", None, file="base")
    for rootfs in (snapshots.view("base"), snapshots.view(None)):
        with mounted(rootfs) as root, pytest.raises(OSError, match="Read-only file system"):
            (root / "new").write_text("x")


def test_commit_takes_the_files_as_they_are(snapshots: Snapshots) -> None:
    with mounted(snapshots.prepare("one", None)) as root:
        (root / "file").write_text("x" * 100)
        os.link(root / "file", root / "again")
        (root / "sub").mkdir()
        (root / "sub/more").write_text("y" * 10)
    inode = (snapshots.upper("one") / "file").stat().st_ino
    assert snapshots.active_bytes("one") == 110
    snapshots.commit("layer", "one")
    assert (snapshots.files("layer") / "file").stat().st_ino == inode
    assert snapshots.usage_bytes("layer") == 110
    assert snapshots.committed() == ["layer"]
    with pytest.raises(errors.NotFound, match="snapshot 'one' not found"):
        snapshots.mounts("one")
    snapshots.prepare("one", "layer")  # the key is free again


def test_the_root_directory_is_for_everybody_whatever_the_umask(snapshots: Snapshots) -> None:
    before = os.umask(0o077)
    try:
        with mounted(snapshots.prepare("one", None)) as root:
            assert root.stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(before)


def test_names_and_keys_are_taken_once(snapshots: Snapshots) -> None:
    layer(snapshots, "base", None)
    snapshots.prepare("one", "base")
    with pytest.raises(errors.Conflict, match="snapshot 'one' exists"):
        snapshots.prepare("one", None)
    with pytest.raises(errors.Conflict, match="snapshot 'base' exists"):
        snapshots.commit("base", "one")
    with pytest.raises(errors.Conflict, match="snapshot 'host' exists"):
        snapshots.commit(HOST_SNAPSHOT, "one")
    assert snapshots.mounts("one")["lower"] == snapshots.view("base")["lower"][:1]


def test_what_is_not_there(snapshots: Snapshots) -> None:
    for refused in (
        lambda: snapshots.prepare("one", "nothing"),
        lambda: snapshots.view("nothing"),
        lambda: snapshots.mounts("nothing"),
        lambda: snapshots.commit("name", "nothing"),
        lambda: snapshots.chain("nothing"),
    ):
        with pytest.raises(errors.NotFound, match="snapshot 'nothing' not found"):
            refused()
    snapshots.remove("nothing")
    snapshots.remove_layer("nothing")
    assert snapshots.parents_in_use() == set()
    snapshots.prepare("one", None)  # a refused one has left nothing in the way


def test_a_layer_stays_while_something_stands_on_it(snapshots: Snapshots) -> None:
    layer(snapshots, "base", None, file="base")
    layer(snapshots, "top", "base")
    snapshots.prepare("one", "top")
    assert snapshots.parents_in_use() == {"top"}
    for name in ("base", "top"):
        with pytest.raises(errors.Conflict, match=f"snapshot '{name}' has children"):
            snapshots.remove_layer(name)
    snapshots.remove("one")
    with pytest.raises(errors.Conflict):
        snapshots.remove_layer("base")
    snapshots.remove_layer("top")
    snapshots.remove_layer("base")
    assert snapshots.committed() == []
    assert not snapshots.has("base")


def test_the_disk_has_its_space_back(snapshots: Snapshots, tmp_path: Path) -> None:
    layer(snapshots, "base", None, file="base")
    snapshots.prepare("one", "base")
    snapshots.remove("one")
    snapshots.remove_layer("base")
    snapshots.empty_trash()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list((tmp_path / "snapshots/trash").iterdir()) == []


def test_a_container_may_have_made_a_tree_of_any_depth(snapshots: Snapshots, tmp_path: Path) -> None:
    fd = open_rootfs(snapshots.prepare("one", None))
    for _ in range(1100):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    with os.fdopen(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd), "w") as file:
        file.write("deep")
    os.close(fd)
    assert snapshots.active_bytes("one") == 4
    snapshots.remove("one")
    assert list((tmp_path / "snapshots").glob("*/*")) == []


def test_sizes_of_what_is_written_to_meanwhile(snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    with mounted(snapshots.prepare("one", None)) as root:
        for name in ("a", "b", "c"):
            (root / name).write_text("1234")
    upper, lstat = snapshots.upper("one"), os.lstat

    def remove_before_looking(path: str) -> os.stat_result:
        if path.endswith("b"):
            (upper / "b").unlink()
        return lstat(path)

    monkeypatch.setattr(os, "lstat", remove_before_looking)
    assert snapshots.active_bytes("one") == 8


def test_the_host(snapshots: Snapshots, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the engine's own")
    rootfs = snapshots.prepare("one", HOST_SNAPSHOT)
    assert rootfs["host"] == [str(tmp_path)]
    with mounted(rootfs) as root:
        assert (root / "etc/passwd").read_text() == Path("/etc/passwd").read_text()
        assert not (root / f"{tmp_path}/secret".lstrip("/")).exists()
        (root / "etc/passwd").write_text("changed")
    assert "root" in Path("/etc/passwd").read_text()
    snapshots.commit("on-host", "one")
    assert snapshots.chain("on-host") == ["on-host", HOST_SNAPSHOT]
    assert (snapshots.usage_bytes(HOST_SNAPSHOT), snapshots.has(HOST_SNAPSHOT)) == (0, True)
    with mounted(snapshots.view("on-host")) as root:
        assert (root / "etc/passwd").read_text() == "changed"


def test_an_engine_finds_everything_again(reopen: Factory) -> None:
    before = reopen()
    layer(before, "base", None, file="base")
    layer(before, "on-host", HOST_SNAPSHOT)
    with mounted(before.prepare("one", "base")) as root:
        (root / "mine").write_text("1")
    before.prepare("two", "on-host")
    after = reopen()
    assert sorted(after.committed()) == ["base", "on-host"]
    assert after.chain("on-host") == ["on-host", HOST_SNAPSHOT]
    assert after.parents_in_use() == {"base", "on-host"}
    with mounted(after.mounts("one")) as root:
        assert contents(root) == {"file": "base", "mine": "1"}
    with pytest.raises(errors.Conflict):
        after.remove_layer("base")
    with pytest.raises(errors.Conflict):
        after.prepare("one", None)


def test_a_sweep_keeps_what_is_known(reopen: Factory) -> None:
    snapshots = reopen()
    layer(snapshots, "base", None)
    for key in ("known", "unknown"):
        snapshots.prepare(key, "base")
    snapshots.sweep({"known"})
    assert snapshots.mounts("known")["upper"]
    with pytest.raises(errors.NotFound):
        snapshots.mounts("unknown")
    assert snapshots.committed() == ["base"]


def test_a_volatile_snapshot_can_be_mounted_again(snapshots: Snapshots) -> None:
    with mounted(snapshots.prepare("one", None, volatile=True)) as root:
        (root / "file").write_text("x")
    with mounted(snapshots.mounts("one", volatile=True)) as root:
        assert contents(root) == {"file": "x"}


def test_a_disk_that_is_full_leaves_nothing_half(snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = os.mkdir

    def full(path: os.PathLike[str], mode: int = 0o777) -> None:
        if os.fspath(path).endswith("work"):
            raise OSError(28, "No space left on device")
        mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(OSError, match="No space left"):
        snapshots.prepare("one", None)
    monkeypatch.undo()
    with mounted(snapshots.prepare("one", None)) as root:
        assert list(root.iterdir()) == []


def _life(snapshots: Snapshots) -> None:
    snapshots.prepare("one", "base")
    (snapshots.upper("one") / "file").write_text("one")
    snapshots.commit("top", "one")
    snapshots.prepare("two", "top")
    snapshots.remove("two")
    snapshots.remove_layer("top")
    snapshots.empty_trash()


def test_killed_at_any_step(reopen: Factory, tmp_path: Path) -> None:
    """Whatever step it was: every layer is whole, what nobody knows can be swept, and the same can be done again."""
    layer(reopen(), "base", None, file="base")

    def work(fuse: Fuse) -> None:
        snapshots = reopen()
        for name in ("mkdir", "rename", "rmdir", "unlink", "chmod", "open"):
            fuse.wrap(os, name)
        _life(snapshots)

    def dying(steps: int) -> bool:
        return killed_at(steps, work)

    steps = 1
    while dying(steps):
        snapshots = reopen()
        for name in snapshots.committed():
            with mounted(snapshots.view(name)) as root:
                assert contents(root) == {"file": {"base": "base", "top": "one"}[name]}
        snapshots.sweep(set())
        if snapshots.has("top"):
            snapshots.remove_layer("top")
        _life(snapshots)
        assert snapshots.committed() == ["base"]
        left = sorted(str(path.relative_to(tmp_path / "snapshots")) for path in (tmp_path / "snapshots").glob("*/*"))
        assert left == ["layers/base"], steps
        steps += 1
    assert steps > 15


def test_nothing_is_removed_under_somebody_who_is_about_to_stand_on_it(
    snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container is made while its image is removed: either it has its layer, or it is refused."""
    layer(snapshots, "base", None, file="base")
    preparing, removed = threading.Event(), threading.Event()
    mkdir = os.mkdir

    def wait(path: os.PathLike[str], mode: int = 0o777) -> None:
        preparing.set()
        removed.wait(0.3)
        mkdir(path, mode)

    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", wait)
        making = pool.submit(snapshots.prepare, "one", "base")
        assert preparing.wait(5)
        with pytest.raises(errors.Conflict):
            snapshots.remove_layer("base")
        removed.set()
        rootfs = making.result()
    with mounted(rootfs) as root:
        assert contents(root) == {"file": "base"}


def test_many_threads(snapshots: Snapshots) -> None:
    layer(snapshots, "base", None)

    def work(number: int) -> None:
        for turn in range(10):
            snapshots.prepare(f"{number}", "base")
            snapshots.commit(f"layer-{number}-{turn}", f"{number}")
            snapshots.parents_in_use()
            snapshots.committed()
            snapshots.remove_layer(f"layer-{number}-{turn}")
            snapshots.empty_trash()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert snapshots.committed() == ["base"]


def test_the_runtime_refuses_a_layer_that_is_lost(snapshots: Snapshots) -> None:
    layer(snapshots, "base", None)
    rootfs = snapshots.view("base")
    files.remove_tree(str(snapshots.files("base")))
    with pytest.raises(SyscallError) as refused:
        open_rootfs(rootfs)
    assert str(snapshots.files("base")) in refused.value.path
