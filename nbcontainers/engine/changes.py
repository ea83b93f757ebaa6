"""What a container has changed in its root file system: its upper directory, compared with what lies below.

The upper directory has what was added or written to; a file that was only opened for writing is there as well, though
it is as it was, and the directories on the way. Whiteouts are what was deleted; a directory that was deleted and made
again is opaque: what it had before is deleted. A directory that has a change somewhere in it counts as modified.

Some names are the engine's own: the places that it mounts /proc or /etc/hosts on. Where the image does not have them
they are made at the first start, and are no change of the container's.

Source: Documentation/filesystems/overlayfs.rst; Docker Engine API v1.47, ``GET /containers/{id}/changes``.
"""

import contextlib
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from nbcontainers.linux import files, overlay

MODIFIED, ADDED, DELETED = 0, 1, 2
_OWN = frozenset(("dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf"))
_ETC = "etc"


@dataclass(frozen=True, slots=True)
class Change:
    """One changed path, absolute in the container, and how: ``MODIFIED``, ``ADDED`` or ``DELETED``."""

    path: str
    kind: int


def own_places(upper_fd: int, below_fd: int) -> frozenset[str]:
    """Return the relative paths in an upper directory that the engine has made to mount something on."""
    found = set()
    for path in _OWN:
        with contextlib.suppress(OSError):
            parent, _, name = path.rpartition("/")
            with files.opened(upper_fd, parent or ".") as fd:
                status = os.lstat(name, dir_fd=fd)
                is_empty = stat.S_ISREG(status.st_mode) and not status.st_size
            if stat.S_ISDIR(status.st_mode):
                with files.opened(upper_fd, path) as fd:
                    is_empty = not os.listdir(fd)
            if is_empty and _status(below_fd, path) is None:
                found.add(path)
    in_etc = {path for path in found if path.startswith(f"{_ETC}/")}
    if in_etc and _status(below_fd, _ETC) is None:
        with files.opened(upper_fd, _ETC) as fd:
            if {f"{_ETC}/{name}" for name in os.listdir(fd)} == in_etc:
                found.add(_ETC)
    return frozenset(found)


def changes(upper_fd: int, below_fd: int) -> list[Change]:
    """Return what an upper directory changes, by path.

    Args:
        upper_fd: The upper directory.
        below_fd: The root of what lies below it, merged.
    """
    own = own_places(upper_fd, below_fd)
    found: dict[str, int] = {}
    for path, kind in _compare(upper_fd, below_fd, own):
        found[path] = kind
        while (path := posixpath.dirname(path)) and path not in found:
            found[path] = MODIFIED
    return [Change(f"/{path}", found[path]) for path in sorted(found)]


def _compare(upper_fd: int, below_fd: int, own: frozenset[str]) -> Iterator[tuple[str, int]]:
    pending = [("", True)]
    while pending:
        directory, is_below = pending.pop()
        with files.opened(upper_fd, directory or ".") as fd:
            names = sorted(os.listdir(fd))
            if is_below and directory and overlay.is_opaque(f"/proc/self/fd/{fd}"):
                for name in sorted(_names(below_fd, directory) - set(names)):
                    yield f"{directory}/{name}", DELETED
            for name in names:
                path = f"{directory}/{name}".lstrip("/")
                if path in own:
                    continue
                status = os.lstat(name, dir_fd=fd)
                before = _status(below_fd, path) if is_below else None
                kind = _kind(status, before, is_touched=path == _ETC and any(one.startswith("etc/") for one in own))
                if kind is not None:
                    yield path, kind
                if stat.S_ISDIR(status.st_mode):
                    pending.append((path, before is not None and stat.S_ISDIR(before.st_mode)))


def _kind(status: os.stat_result, before: os.stat_result | None, *, is_touched: bool) -> int | None:
    """Return how an entry differs from what was there before, or None when it does not."""
    if overlay.is_whiteout(status):
        return DELETED if before is not None else None
    if before is None:
        return ADDED
    same = (status.st_mode, status.st_uid, status.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    same = same and (is_touched or status.st_mtime_ns == before.st_mtime_ns)
    if not stat.S_ISDIR(status.st_mode):
        same = same and (status.st_size, status.st_rdev) == (before.st_size, before.st_rdev)
    return None if same else MODIFIED


def _status(below_fd: int, path: str) -> os.stat_result | None:
    """Return what ``lstat`` says of a path without links, or None when there is nothing."""
    parent, _, name = path.rpartition("/")
    try:
        with files.opened(below_fd, parent or ".") as fd:
            return os.lstat(name, dir_fd=fd)
    except OSError:
        return None


def _names(below_fd: int, directory: str) -> set[str]:
    try:
        with files.opened(below_fd, directory) as fd:
            return set(os.listdir(fd))
    except OSError:
        return set()
