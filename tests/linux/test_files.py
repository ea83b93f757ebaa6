"""Copies that lose nothing, and files that are there whole or not at all: on real file systems."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbcontainers.errors import SyscallError
from nbcontainers.linux import files, mounts, namespaces
from tests.children import Refused, in_child, killed_at

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")]

# VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective; include/uapi/linux/capability.h
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
SECRET = "what is outside"


@contextmanager
def opened(*directories: Path) -> Iterator[list[int]]:
    fds = [os.open(directory, os.O_RDONLY | os.O_DIRECTORY) for directory in directories]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    return directory


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "target"
    directory.mkdir()
    return directory


def copy(source: Path, target: Path) -> None:
    with opened(source, target) as (source_fd, target_fd):
        files.copy_tree(source_fd, target_fd)


def facts(path: Path) -> tuple[object, ...]:
    """All that a copy must keep of one file."""
    status = path.lstat()
    xattrs = {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }
    content = path.read_bytes() if stat.S_ISREG(status.st_mode) else os.readlink(path) if path.is_symlink() else b""
    owner = status.st_uid, status.st_gid
    return status.st_mode, owner, status.st_mtime_ns, status.st_rdev, status.st_nlink, xattrs, content


def tree(directory: Path) -> dict[str, tuple[object, ...]]:
    return {str(path.relative_to(directory)): facts(path) for path in sorted([directory, *directory.rglob("*")])}


def test_everything_is_kept(source: Path, target: Path) -> None:
    (source / "sub/deep").mkdir(parents=True)
    file = source / "sub/file"
    file.write_bytes(b"content" * 100_000)
    os.chown(file, 1000, 2000)
    os.chmod(file, 0o6751)
    os.setxattr(file, "user.note", b"\0\xff")
    os.setxattr(file, "trusted.note", b"for root")
    (source / "ping").write_bytes(b"")
    os.chown(source / "ping", 7, 7)
    os.setxattr(source / "ping", "security.capability", NET_RAW)
    os.link(file, source / "sub/deep/again")
    os.symlink("/etc/passwd", source / "absolute")
    os.symlink("nowhere", source / "sub/dangling")
    os.chown(source / "sub/dangling", 5, 6, follow_symlinks=False)
    os.mkfifo(source / "pipe", 0o640)
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(source / "disk", stat.S_IFBLK | 0o660, os.makedev(7, 200))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(source / "socket"))
    os.chmod(source / "sub/deep", 0o1500)
    os.chown(source / "sub", 33, 44)
    os.setxattr(source / "sub", "user.of-a-directory", b"1")
    for number, path in enumerate(sorted([source, *source.rglob("*")], reverse=True)):
        os.utime(path, ns=(10**9, 10**9 + number * 1_000_003), follow_symlinks=False)
    before = tree(source)
    copy(source, target)
    assert tree(target) == before
    assert (target / "sub/file").stat().st_ino == (target / "sub/deep/again").stat().st_ino
    assert (target / "sub/file").stat().st_ino != file.stat().st_ino


def test_access_lists_are_kept(source: Path, target: Path) -> None:
    (source / "file").write_text("x")
    # POSIX_ACL_XATTR_VERSION 2: owner rw, user 1000 r, group r, mask r, others nothing; acl(5)
    entries = [(1, 6, 0xFFFFFFFF), (2, 4, 1000), (4, 4, 0xFFFFFFFF), (0x10, 4, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF)]
    parts = [
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + who.to_bytes(4, "little") for tag, bits, who in entries
    ]
    acl = (2).to_bytes(4, "little") + b"".join(parts)
    os.setxattr(source / "file", "system.posix_acl_access", acl)
    os.setxattr(source, "system.posix_acl_default", acl)
    before = tree(source)
    copy(source, target)
    assert tree(target) == before
    assert os.getxattr(target / "file", "system.posix_acl_access") == acl


def test_holes_stay_holes(source: Path, target: Path) -> None:
    with open(source / "sparse", "wb") as file:
        file.write(b"begin")
        file.seek(64 << 20)
        file.write(b"middle")
        file.truncate(256 << 20)
    (source / "only a hole").touch()
    os.truncate(source / "only a hole", 1 << 30)
    copy(source, target)
    assert (target / "sparse").stat().st_size == 256 << 20
    assert (target / "sparse").stat().st_blocks <= (source / "sparse").stat().st_blocks
    assert (target / "only a hole").stat().st_size == 1 << 30
    assert (target / "only a hole").stat().st_blocks == 0
    with open(target / "sparse", "rb") as file:
        assert file.read(5) == b"begin"
        file.seek(64 << 20)
        assert file.read(6) == b"middle"


def test_links_are_not_followed(tmp_path: Path, source: Path, target: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    (source / "link").symlink_to(outside)
    (source / "file").symlink_to(outside / "secret")
    copy(source, target)
    assert os.readlink(target / "link") == str(outside)
    assert os.readlink(target / "file") == str(outside / "secret")
    assert [path.name for path in outside.iterdir()] == ["secret"]


@pytest.mark.parametrize("swapped", ["sub", "sub/deep"])
def test_a_directory_that_becomes_a_link_meanwhile_is_refused(
    tmp_path: Path, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    """Seen as a directory when its parent is read, and a link when it is opened: itself, or one above it."""
    (source / "sub/deep").mkdir(parents=True)
    (source / "sub/deep/file").write_text(SECRET)
    mkdir = os.mkdir

    def make_and_swap(name: str, mode: int, *, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        if name == "deep":
            (source / swapped).rename(source / "elsewhere")
            (source / swapped).symlink_to("/elsewhere")

    monkeypatch.setattr(os, "mkdir", make_and_swap)
    with pytest.raises(SyscallError) as refused:
        copy(source, target)
    assert refused.value.errno in (errno.ELOOP, errno.ENOTDIR)
    assert list(target.rglob("file")) == []


def test_a_deep_tree(source: Path, target: Path) -> None:
    """Deeper than Python calls functions, and than a process has descriptors for."""
    depth = 1100
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    copy(source, target)
    with opened(target) as (target_fd,):
        os.close(mounts.openat2(target_fd, "/".join(["d"] * depth), os.O_PATH))
    assert len(list(files.walk(str(source)))) == depth
    for directory in (source, target):  # also because pytest could not
        files.remove_tree(str(directory))
        assert not directory.exists()


def test_a_walk_is_in_order_and_leaves_out_what_vanishes(source: Path) -> None:
    for name in ("b/x", "b/y", "a/z", "c"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).touch()
    (source / "link").symlink_to("b")
    (source / "d").mkdir()
    (source / "d/never seen").touch()
    seen = []
    for path in files.walk(str(source)):
        seen.append(os.path.relpath(path, source))
        if seen[-1] == "link":
            files.remove_tree(str(source / "d"))
    assert seen == ["a", "b", "c", "d", "link", "a/z", "b/x", "b/y"]
    with pytest.raises(FileNotFoundError):
        next(files.walk(str(source / "nothing")))


def test_a_tree_is_removed_and_no_link_is_followed(tmp_path: Path, source: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (source / "a/b/c").mkdir(parents=True)
    (source / "a/b/file").touch(mode=0)
    (source / "a/link").symlink_to(outside)
    (source / "a/b").chmod(0)
    os.mkfifo(source / "a/pipe")
    with opened(tmp_path) as (dir_fd,):
        files.remove_tree("source", dir_fd=dir_fd)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["outside"]
    assert [path.name for path in outside.iterdir()] == ["kept"]
    files.remove_tree(str(source))
    (tmp_path / "to outside").symlink_to(outside)
    with pytest.raises(NotADirectoryError):
        files.remove_tree(str(tmp_path / "to outside"))


def test_what_cannot_be_removed_is_said_and_all_else_is_gone(source: Path) -> None:
    """A mount point cannot be removed; a container may have left one in another mount namespace."""
    (source / "a/busy").mkdir(parents=True)
    for name in ("a/file", "z"):
        (source / name).touch()

    def work() -> int:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
        mounts.mount("tmpfs", str(source / "a/busy"), "tmpfs")
        try:
            files.remove_tree(str(source))
        except OSError as error:
            return error.errno or 0
        return 0

    assert in_child(work) == errno.EBUSY
    assert [str(path.relative_to(source)) for path in source.rglob("*")] == ["a", "a/busy"]


def test_into_a_file_system_without_such_attributes(tmp_path: Path, source: Path, target: Path) -> None:
    """A directory's sticky attributes are lost where there is no place for them; the files are not."""
    (source / "file").write_text("x")
    os.setxattr(source / "file", "user.note", b"1")

    def work() -> tuple[str, list[str]]:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
        mounts.mount("ramfs", str(target), "ramfs")
        copy(source, target)
        return (target / "file").read_text(), os.listxattr(target / "file")

    assert in_child(work) == ("x", [])


def test_a_full_disk_is_said(source: Path, target: Path) -> None:
    (source / "file").write_bytes(b"x" * (2 << 20))

    def work() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
        mounts.mount("tmpfs", str(target), "tmpfs", 0, "size=1m")
        copy(source, target)

    with pytest.raises(OSError, match="No space left") as raised:
        in_child(work)
    assert raised.value.errno == errno.ENOSPC


def test_copying_from_what_is_no_directory(source: Path, target: Path) -> None:
    (source / "file").touch()
    with opened(target) as (target_fd,):
        file_fd = os.open(source / "file", os.O_RDONLY)
        try:
            with pytest.raises(SyscallError) as refused:
                files.copy_tree(file_fd, target_fd)
        finally:
            os.close(file_fd)
    assert (refused.value.errno, refused.value.syscall, refused.value.path) == (errno.ENOTDIR, "openat2", ".")


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    files.replace(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_on_a_full_disk_the_old_file_stays(target: Path) -> None:
    def work() -> tuple[int, bytes, list[str]]:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
        mounts.mount("tmpfs", str(target), "tmpfs", 0, "size=64k")
        files.replace(str(target / "file"), b"old")
        try:
            files.replace(str(target / "file"), b"x" * (1 << 20))
        except OSError as error:
            number = error.errno or 0
        return number, (target / "file").read_bytes(), os.listdir(target)

    assert in_child(work) == (errno.ENOSPC, b"old", ["file"])


def test_killed_at_any_step_the_old_or_the_new_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for steps in range(1, 10):
        path.write_bytes(b"old")

        def work(fuse: object) -> None:
            for name in ("open", "fsync", "rename"):
                fuse.wrap(os, name)  # type: ignore[attr-defined]
            files.replace(str(path), b"new")

        killed = killed_at(steps, work)
        assert path.read_bytes() == (b"old" if killed else b"new")
        if not killed:
            break
    assert steps == 4


def test_refused_errors_carry_their_facts() -> None:
    def work() -> None:
        mounts.openat2(-1, "x", os.O_PATH)

    with pytest.raises(Refused) as refused:
        in_child(work)
    assert (refused.value.errno, refused.value.syscall, refused.value.path) == (errno.EBADF, "openat2", "x")
