"""Files that are there whole or not at all, and trees that somebody else has made: copied, walked, removed.

All of it is plain system calls in a certain order, and it is the order that matters. A tree that a container has made
may be of any depth, so nothing here calls itself, or keeps a descriptor, for each level of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from nbcontainers.linux.libc import AT_FDCWD, SYS_RENAMEAT2, SYS_SYNCFS, syscall
from nbcontainers.linux.mounts import RESOLVE_IN_ROOT, RESOLVE_NO_XDEV, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

RESOLVE_NO_SYMLINKS = 0x04
RENAME_EXCHANGE = 0x2
_OVERLAY_XATTR = "trusted.overlay."
_AT_ONCE = 1 << 30


def replace(path: str, data: bytes) -> None:
    """Write a file so that, whatever is killed or loses its power, the old or the new one is there, whole.

    The data is on the disk before the name is: a file system may otherwise keep the rename and lose the content.

    Raises:
        OSError: ENOSPC, the disk is full; the old file is as it was.

    Source: rename(2), fsync(2).
    """
    temporary = _temporary(path)
    try:
        # Unbuffered writes may be short when a disk becomes full, and say so only when they are repeated.
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def forget_replacing(path: str) -> None:
    """Remove what a ``replace`` of this file has left that was killed.

    Source: unlink(2).
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_temporary(path))


def _temporary(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.tmp")


def exchange(one: str, other: str) -> None:
    """Let two files, or directories, change places in one step: nobody ever finds neither, or both.

    Raises:
        SyscallError: ENOENT when one is not there, EXDEV when they are on different file systems.

    Source: renameat2(2) § RENAME_EXCHANGE.
    """
    paths = os.fsencode(one), os.fsencode(other)
    syscall("renameat2", SYS_RENAMEAT2, AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE, path=one)


def syncfs(fd: int) -> None:
    """Write all that a file system has in memory to its disk.

    Raises:
        SyscallError: ENOSPC, EIO: something could not be written.

    Source: syncfs(2).
    """
    syscall("syncfs", SYS_SYNCFS, fd)


def link_missing(source_fd: int, target_fd: int) -> None:
    """Give a directory what another one has and it has not: directories anew, all else as hard links.

    Nothing that the target has is touched, but for what its directories have.

    Args:
        source_fd: What is linked.
        target_fd: Where to, on the same file system.

    Raises:
        OSError: EMLINK when a file has too many links; EXDEV when something is mounted in the source.

    Source: linkat(2).
    """
    pending = ["."]
    while pending:
        directory = pending.pop()
        with opened(source_fd, directory) as of_source, opened(target_fd, directory) as of_target:
            before = os.fstat(of_target)
            for name in sorted(os.listdir(of_source)):
                if not stat.S_ISDIR(os.lstat(name, dir_fd=of_source).st_mode):
                    with contextlib.suppress(FileExistsError):
                        os.link(name, name, src_dir_fd=of_source, dst_dir_fd=of_target, follow_symlinks=False)
                    continue
                path = f"{directory}/{name}"
                try:
                    os.mkdir(name, 0o700, dir_fd=of_target)
                except FileExistsError:
                    if not stat.S_ISDIR(os.lstat(name, dir_fd=of_target).st_mode):
                        continue
                else:
                    with opened(source_fd, path) as one, opened(target_fd, path) as other:
                        copy_attributes(one, other)
                pending.append(path)
            os.utime(of_target, ns=(before.st_atime_ns, before.st_mtime_ns))


def copy_tree(source_fd: int, target_fd: int, *, leave_out: Container[str] = (), keep: Container[str] = ()) -> None:
    """Copy what a directory has, and its own attributes, into another, empty one.

    Kept are owners, modes, times, extended attributes with access lists and file capabilities, hard links among what
    is copied, holes, and special files as what they are. Nothing is followed: links are copied as links, and each
    directory is found again by a path without any.

    Args:
        source_fd: The directory to copy.
        target_fd: Where to.
        leave_out: Relative paths of what is not copied, such as ``etc/hosts``.
        keep: Attributes of overlays that are copied all the same; the others say something about a layer, not about
            the file.

    Raises:
        OSError: ENOSPC, the disk is full, for example; what was copied by then stays.

    Source: openat2(2), mknodat(2), linkat(2), xattr(7), lseek(2) § Seeking file data and holes.
    """
    links: dict[tuple[int, int], str] = {}
    found = ["."]
    for directory in found:  # it grows while it is walked
        with opened(source_fd, directory) as of_source, opened(target_fd, directory) as of_target:
            for name in sorted(os.listdir(of_source)):
                path = f"{directory}/{name}"
                if path[2:] in leave_out:
                    continue
                try:
                    status = os.lstat(name, dir_fd=of_source)
                except FileNotFoundError:
                    continue  # it has gone meanwhile
                if stat.S_ISDIR(status.st_mode):
                    os.mkdir(name, 0o700, dir_fd=of_target)
                    found.append(path)
                elif status.st_nlink > 1 and (first := links.setdefault((status.st_dev, status.st_ino), path)) != path:
                    os.link(first, name, src_dir_fd=target_fd, dst_dir_fd=of_target, follow_symlinks=False)
                else:
                    _copy_one(of_source, of_target, name, status)
    # Last, and the deepest first: making files changes a directory's times, and its mode may forbid it.
    for directory in reversed(found):
        with opened(source_fd, directory) as of_source, opened(target_fd, directory) as of_target:
            copy_attributes(of_source, of_target, keep=keep)


@contextlib.contextmanager
def opened_directory(path: str | os.PathLike[str]) -> Iterator[int]:
    """Open a directory that is no link.

    Raises:
        OSError: ENOENT, ENOTDIR, ELOOP.

    Source: open(2) § O_NOFOLLOW.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened(root_fd: int, directory: str) -> Iterator[int]:
    """Open a directory below another one by a path without any link in it.

    Raises:
        SyscallError: ELOOP when there is a link on the way, or something has become one since; ENOENT, ENOTDIR.

    Source: openat2(2) § RESOLVE_NO_SYMLINKS.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    fd = openat2(root_fd, directory, flags, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    try:
        yield fd
    finally:
        os.close(fd)


def _copy_one(of_source: int, of_target: int, name: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        _copy_file(of_source, of_target, name)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=of_source), name, dir_fd=of_target)
    else:
        os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=of_target)
    copy_attributes(of_source, of_target, name)


def _copy_file(of_source: int, of_target: int, name: str) -> None:
    # O_NONBLOCK: should somebody put a pipe in its place meanwhile, opening it does not wait for a writer.
    source_fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=of_source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target_fd = os.open(name, flags, 0o600, dir_fd=of_target)
        try:
            copy_data(source_fd, target_fd)
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def copy_data(source_fd: int, target_fd: int) -> None:
    """Copy a file's content into an empty file; holes stay holes.

    Raises:
        OSError: ENOSPC, the disk is full.

    Source: sendfile(2), lseek(2) § Seeking file data and holes.
    """
    size = os.fstat(source_fd).st_size
    os.ftruncate(target_fd, size)
    end = 0
    while end < size:
        try:
            begin = os.lseek(source_fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(source_fd, begin, os.SEEK_HOLE)
        os.lseek(target_fd, begin, os.SEEK_SET)
        while begin < end and (copied := os.sendfile(target_fd, source_fd, begin, min(end - begin, _AT_ONCE))):
            begin += copied


def copy_attributes(of_source: int, of_target: int, name: str = ".", *, keep: Container[str] = ()) -> None:
    """Give a file the owner, mode, extended attributes and times of another, in the order that keeps them.

    A change of the owner clears the set-user-id bits and the file capabilities, so it comes first.

    Args:
        of_source: A directory.
        of_target: Another one.
        name: What it is called in both, by default the directories themselves.
        keep: See ``copy_tree``.

    Raises:
        OSError: EPERM for what only root may give.

    Source: chown(2), capabilities(7) § File capabilities, xattr(7).
    """
    status = os.lstat(name, dir_fd=of_source)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=of_target, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=of_target)
    source, target = f"/proc/self/fd/{of_source}/{name}", f"/proc/self/fd/{of_target}/{name}"
    for attribute in os.listxattr(source, follow_symlinks=False):
        if attribute.startswith(_OVERLAY_XATTR) and attribute not in keep:
            continue
        value = os.getxattr(source, attribute, follow_symlinks=False)
        try:
            os.setxattr(target, attribute, value, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENOTSUP:  # the target's file system has no such attributes
                raise
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=of_target, follow_symlinks=False)


def walk(directory: str) -> Iterator[str]:
    """Yield the path of everything below a directory: all its entries, by name, before what lies deeper.

    What vanishes meanwhile is left out; links are not followed.

    Raises:
        OSError: ENOENT when there is no such directory.

    Source: getdents64(2).
    """
    entries, pending = os.scandir(directory), list[str]()
    while True:
        with entries:
            found = sorted(entries, key=lambda entry: entry.name)
        pending += [entry.path for entry in reversed(found) if entry.is_dir(follow_symlinks=False)]
        yield from (entry.path for entry in found)
        while pending:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                entries = os.scandir(pending.pop())
                break
        else:
            return


def tree_bytes(directory: str) -> int:
    """Add up the sizes of all but directories; hard links count once, and what vanishes meanwhile does not.

    Source: lstat(2).
    """
    total, seen = 0, set()
    for path in walk(directory):
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode) or (status.st_nlink > 1 and status.st_ino in seen):
                continue
            seen.add(status.st_ino)
            total += status.st_size
    return total


def remove_contents(directory: str | os.PathLike[str]) -> None:
    """Remove the directories in a directory; what cannot be removed stays.

    Raises:
        OSError: ENOENT, ENOTDIR: there is no such directory.

    Source: unlinkat(2).
    """
    for entry in os.scandir(directory):
        with contextlib.suppress(OSError):
            remove_tree(entry.path)


def remove_tree(path: str, *, dir_fd: int | None = None) -> None:
    """Remove a directory with everything in it; one that is not there is no error.

    Directories are moved up to the top before they are emptied: so no path becomes long, however deep the tree.

    Args:
        path: The directory.
        dir_fd: What the path is relative to, by default the working directory.

    Raises:
        OSError: ENOTDIR for what is no directory; EPERM for a file that must not be removed, EXDEV or EBUSY for a
            directory that something is mounted on, after all others were.

    Source: unlinkat(2), renameat(2).
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        top_fd = os.open(path, flags, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    failures: list[OSError] = []
    try:
        pending = ["."]
        while pending:
            name = pending.pop()
            try:
                # What is mounted there stays what it is: EXDEV.
                fd = openat2(top_fd, name, flags, resolve=RESOLVE_NO_XDEV)
                try:
                    pending += _empty(fd, None if name == "." else top_fd, failures)
                finally:
                    os.close(fd)
                if name != ".":
                    os.rmdir(name, dir_fd=top_fd)
            except OSError as error:
                failures.append(error)
    finally:
        os.close(top_fd)
    if failures:
        raise failures[0]
    os.rmdir(path, dir_fd=dir_fd)


def _empty(fd: int, top_fd: int | None, failures: list[OSError]) -> list[str]:
    """Remove a directory's files; return what its directories are called, after they were moved to the top."""
    directories = []
    for name, is_directory in [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in os.scandir(fd)]:
        try:
            if not is_directory:
                os.unlink(name, dir_fd=fd)
                continue
            moved = name
            if top_fd is not None:
                moved = f".{os.urandom(8).hex()}"
                os.rename(name, moved, src_dir_fd=fd, dst_dir_fd=top_fd)
            directories.append(moved)
        except OSError as error:
            failures.append(error)
    return directories
