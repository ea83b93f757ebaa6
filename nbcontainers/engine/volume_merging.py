"""Bringing an archive's files into a file system that cannot change places with another: a volume's own.

All of the files are copied first, into a directory that only root may enter: a file system that is full, or read-only,
is found out before anything is changed. Then they are moved, one by one. An engine that is killed meanwhile leaves
whole files of before and of the archive; the directory that it leaves as well goes with the next import.

Source: rename(2).
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator

from nbcontainers import errors
from nbcontainers.linux import files

_PREFIX = ".nbcontainers-import-"


def merge(source_fd: int, target_fd: int, implied: list[str], *, replace: bool) -> None:
    """Give a directory what another one has, over what it has itself, and bring it to the disk.

    Args:
        source_fd: What is copied; of what is ``implied`` the attributes are changed.
        target_fd: Where to.
        implied: Directories whose owner and mode stay as they are in the target, if they are there.
        replace: What the target has, and the source has not, goes.

    Raises:
        errors.Forbidden: The target is read-only.
        errors.Unavailable: It has not room enough.
        errors.Conflict: Something is mounted in it, where files of the archive would go.
    """
    try:
        for path in implied:
            with contextlib.suppress(OSError):  # the volume has none
                with files.opened(target_fd, path) as one, files.opened(source_fd, path) as other:
                    files.copy_attributes(one, other)
        with _staging(target_fd) as (name, staging_fd):
            files.copy_tree(source_fd, staging_fd)
            merged = _move(staging_fd, target_fd, keep=name, replace=replace)
        for path in reversed(merged):  # what was moved has changed their times
            with files.opened(source_fd, path) as one, files.opened(target_fd, path) as other:
                files.copy_attributes(one, other)
        files.syncfs(target_fd)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.Unavailable("room in the volume", reason, "free some, or make it larger") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise errors.Forbidden(f"cannot import into the volume: {reason}") from error
        if error.errno in (errno.EXDEV, errno.EBUSY):
            raise errors.Conflict(f"cannot import into the volume: something is mounted in it: {reason}") from error
        raise


@contextlib.contextmanager
def _staging(target_fd: int) -> Iterator[tuple[str, int]]:
    """Yield a directory in the target, by name, and one in it to copy into; those that a crash left go first."""
    for left in os.listdir(target_fd):
        if left.startswith(_PREFIX):
            files.remove_tree(left, dir_fd=target_fd)
    name = f"{_PREFIX}{secrets.token_hex(8)}"
    os.mkdir(name, 0o700, dir_fd=target_fd)
    try:
        # A copy of a directory has that one's mode: nobody but root enters the one around it.
        os.mkdir(f"{name}/files", 0o700, dir_fd=target_fd)
        with files.opened(target_fd, f"{name}/files") as staging_fd:
            yield name, staging_fd
    finally:
        files.remove_tree(name, dir_fd=target_fd)


def _move(staging_fd: int, target_fd: int, *, keep: str, replace: bool) -> list[str]:
    """Move what one directory has into another; what is a directory in both is moved file by file.

    Returns:
        The directories that both had, the upper ones first.
    """
    merged = ["."]
    for path in merged:  # it grows while it is walked
        with files.opened(staging_fd, path) as of_staging, files.opened(target_fd, path) as of_target:
            names = os.listdir(of_staging)
            for name in set(os.listdir(of_target)).difference(names, [keep] if path == "." else []):
                if replace:
                    _remove(of_target, name)
            for name in names:
                if _is_directory(of_staging, name) and _is_directory(of_target, name):
                    merged.append(f"{path}/{name}")
                    continue
                if _is_directory(of_staging, name) or _is_directory(of_target, name):
                    _remove(of_target, name)
                os.rename(name, name, src_dir_fd=of_staging, dst_dir_fd=of_target)
    return merged


def _is_directory(dir_fd: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=dir_fd).st_mode)
    except FileNotFoundError:
        return False


def _remove(dir_fd: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if _is_directory(dir_fd, name):
            files.remove_tree(name, dir_fd=dir_fd)
        else:
            os.unlink(name, dir_fd=dir_fd)
