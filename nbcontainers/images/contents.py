"""What layers hold, as plain data: an entry for each name, in columns, and nothing of any file's content.

A layer's directory says all of it. Where an image stands on this machine's own file system, which is no layer, what
its layers hide of that is told as a *base*: only by it can be known that they change or remove something.

Source: OCI image-spec, layer.md § Representing Changes; Documentation/filesystems/overlayfs.rst.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nbcontainers import errors
from nbcontainers.images.config import HistoryEntry
from nbcontainers.images.snapshots import HOST_SNAPSHOT
from nbcontainers.images.store import Image, Images
from nbcontainers.linux import files, overlay
from nbcontainers.runtime.rootfs import open_rootfs

DIRECTORY, OPAQUE, FILE, LINK, HARD_LINK, WHITEOUT = "d", "o", "f", "l", "h", "w"
_SPECIAL = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p", stat.S_IFSOCK: "s"}
Columns = dict[str, list[object]]


class Entry(NamedTuple):
    r"""One name in a layer.

    Args:
        path: Relative to the root; bytes that are no UTF-8 are written as ``\xNN``.
        kind: ``d`` directory, ``o`` directory that hides what lies below it, ``f`` file, ``l`` symbolic link, ``h``
            another name of a file before, ``w`` whiteout, ``c b p s`` devices, pipe and socket.
        size: Bytes of a file or a link's text; 0 for all others.
        mode: Permissions, with the bits for set-id and sticky.
        uid: Owner.
        gid: Group.
        mtime_ns: When it was written to, nanoseconds since the epoch.
        target: Where a link leads; the first name of a hard link.
    """

    path: str
    kind: str
    size: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerContents:
    """One layer: the digest of its archive, the step that has made it, and its entries."""

    digest: str
    made: HistoryEntry
    entries: list[Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All layers of an image, the lowest first, and what they hide of this machine's own file system."""

    image: Image
    layers: list[LayerContents]
    base: list[Entry]


def columns(entries: list[Entry]) -> Columns:
    """Return entries as a list for each of their fields."""
    table = zip(*entries, strict=True) if entries else ((),) * len(Entry._fields)
    return dict(zip(Entry._fields, map(list, table), strict=True))


def contents(images: Images, name: str) -> Contents:
    """Return what the layers of an image hold.

    Raises:
        errors.NoSuchImage: There is none.
        errors.Unavailable: The store is damaged.
    """
    image = images.get(name)
    if image.snapshot is None:
        return Contents(image=image, layers=[], base=[])
    images.protect(image.snapshot)
    try:
        found = [list(_entries(images.snapshots.files(layer))) for layer in images.layers(image)]
        on_host = HOST_SNAPSHOT in images.snapshots.chain(image.snapshot)
        base = list(_base(images, found)) if on_host else []
    except FileNotFoundError as error:
        reason = f"'{error.filename}' is missing"
        raise errors.Unavailable(f"the image '{name}'", reason, "remove the image, and get it again") from error
    finally:
        images.unprotect(image.snapshot)
    layers = [
        LayerContents(digest=digest, made=made, entries=entries)
        for digest, made, entries in zip(image.config.rootfs.diff_ids, _steps(image), found, strict=True)
    ]
    return Contents(image=image, layers=layers, base=base)


def _steps(image: Image) -> list[HistoryEntry]:
    """Return the step that has made each layer; a history that knows of fewer lacks the lowest."""
    steps = [step for step in image.config.history if not step.empty_layer]
    count = len(image.config.rootfs.diff_ids)
    missing = [HistoryEntry()] * (count - len(steps))
    return [*missing, *steps[len(steps) - count + len(missing) :]]


def _entries(directory: Path) -> Iterator[Entry]:
    """Yield what a layer's directory has, by name, directories before what is in them."""
    links: dict[int, str] = {}
    root_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        pending = [""]
        while pending:
            parent = pending.pop()
            inner = []
            with files.opened(root_fd, parent or ".") as fd:
                for name in sorted(os.listdir(fd)):
                    path = f"{parent}/{name}" if parent else name
                    status = os.lstat(name, dir_fd=fd)
                    if stat.S_ISDIR(status.st_mode):
                        inner.append(path)
                    yield _entry(fd, name, path, status, links)
            pending += reversed(inner)
    finally:
        os.close(root_fd)


def _entry(fd: int, name: str, path: str, status: os.stat_result, links: dict[int, str]) -> Entry:
    kind, target, size = _kind(status), "", status.st_size
    if kind == DIRECTORY:
        kind, size = OPAQUE if overlay.is_opaque(f"/proc/self/fd/{fd}/{name}") else DIRECTORY, 0
    elif kind == LINK:
        target = readable(os.readlink(name, dir_fd=fd))
    elif kind == FILE and status.st_nlink > 1:
        first = links.setdefault(status.st_ino, path)
        kind, target, size = (HARD_LINK, readable(first), 0) if first != path else (kind, "", size)
    mode = stat.S_IMODE(status.st_mode)
    return Entry(readable(path), kind, size, mode, status.st_uid, status.st_gid, status.st_mtime_ns, target)


def _kind(status: os.stat_result) -> str:
    """Return of what kind something is by its status alone."""
    if overlay.is_whiteout(status):
        return WHITEOUT
    plain = {stat.S_IFDIR: DIRECTORY, stat.S_IFREG: FILE, stat.S_IFLNK: LINK}
    return {**plain, **_SPECIAL}[stat.S_IFMT(status.st_mode)]


def readable(path: str) -> str:
    """Return a path as text that can be sent."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _base(images: Images, layers: list[list[Entry]]) -> Iterator[Entry]:
    """Yield what this machine's file system has where layers have something; a hidden directory has its tree's size."""
    kinds: dict[str, set[str]] = {}
    for entry in (entry for entries in layers for entry in entries):
        kinds.setdefault(entry.path, set()).add(entry.kind)
    host_fd = open_rootfs(images.snapshots.view(HOST_SNAPSHOT))
    try:
        for path in sorted(kinds):
            parent, _, name = path.rpartition("/")
            try:
                with files.opened(host_fd, parent or ".") as fd:
                    entry = _entry(fd, name, path, os.lstat(name, dir_fd=fd), {})
            except OSError:  # there is nothing, or no directory on the way
                continue
            if entry.kind in (DIRECTORY, OPAQUE):
                hidden = kinds[path] != {DIRECTORY}
                size = files.tree_bytes(f"/proc/self/fd/{host_fd}/{path}") if hidden else 0
                entry = entry._replace(kind=DIRECTORY, size=size)
            yield entry
    finally:
        os.close(host_fd)
