"""Two images compared, as containers would see them: what one has and the other has not, or has otherwise.

The kernel lays the layers over each other; only where layers that the two do not share have anything is it looked at.
Times do not count: an image that was built again is the same when its files are.

Source: Documentation/filesystems/overlayfs.rst.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nbcontainers.images.contents import readable
from nbcontainers.images.packing import OVERLAY_XATTR
from nbcontainers.images.snapshots import HOST_SNAPSHOT
from nbcontainers.images.store import Image, Images
from nbcontainers.linux import files, overlay
from nbcontainers.runtime.rootfs import open_rootfs

_COMPARED_BYTES = 1 << 20
Status = os.stat_result | None


class Difference(NamedTuple):
    """One path, absolute, that two images do not have alike.

    Args:
        path: Where.
        change: ``added``, ``changed`` or ``removed``, from the first image to the second.
        differs: In what something has changed: kind, content, target, device, mode, owner, attributes; or nothing.
        before: Its bytes in the first image, None where it is not there.
        after: The same in the second.
    """

    path: str
    change: str
    differs: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the images: the root of all its layers, and the directories of those that the other does not share."""

    root_fd: int
    own_fds: list[int]


def compare(images: Images, first: Image, second: Image) -> list[Difference]:
    """Return in what the files of two images differ, by path."""
    kept = [image.snapshot for image in (first, second) if image.snapshot]
    for snapshot in kept:
        images.protect(snapshot)
    try:
        with _side(images, first, second) as one, _side(images, second, first) as other:
            return sorted(_differences(one, other))
    finally:
        for snapshot in kept:
            images.unprotect(snapshot)


@contextlib.contextmanager
def _side(images: Images, image: Image, other: Image) -> Iterator[_Side]:
    snapshots = images.snapshots
    shared = {*snapshots.chain(other.snapshot)}
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with contextlib.ExitStack() as held:

        def keep(fd: int) -> int:
            held.callback(os.close, fd)
            return fd

        root_fd = keep(open_rootfs(snapshots.view(image.snapshot)))
        own_fds = []
        for name in snapshots.chain(image.snapshot):
            if name == HOST_SNAPSHOT and name not in shared:  # no layer, but the other has nothing of it
                own_fds = [root_fd]
            elif name not in shared:
                own_fds.append(keep(os.open(snapshots.files(name), flags)))
        yield _Side(root_fd, own_fds)


def _differences(one: _Side, other: _Side) -> Iterator[Difference]:
    """Walk through both at once; where anything hides what lies below, all names of both are looked at."""
    own_fds = [*one.own_fds, *other.own_fds]
    pending: list[tuple[str, bool]] = [("", False)]
    while pending:
        directory, everything = pending.pop()
        with _opened(one.root_fd, directory) as before_fd, _opened(other.root_fd, directory) as after_fd:
            seen = [_names(before_fd), _names(after_fd)] if everything else [_own(fd, directory) for fd in own_fds]
            for name in set[str]().union(*seen):
                path = f"{directory}/{name}" if directory else name
                pair = _Pair(name, before_fd, after_fd)
                if (found := pair.difference(path)) is not None:
                    yield found
                if any(pair.directories):
                    pending.append((path, everything or not all(pair.directories) or _hides(own_fds, path)))


@contextlib.contextmanager
def _opened(root_fd: int, directory: str) -> Iterator[int]:
    """Open a directory, or yield -1 where there is none."""
    with contextlib.ExitStack() as held:
        try:
            fd = held.enter_context(files.opened(root_fd, directory or "."))
        except OSError:
            fd = -1
        yield fd


def _names(fd: int) -> set[str]:
    return set(os.listdir(fd)) if fd >= 0 else set()


def _own(layer_fd: int, directory: str) -> set[str]:
    """Return the names that a layer has in a directory."""
    with _opened(layer_fd, directory) as fd:
        return _names(fd)


def _hides(layer_fds: list[int], path: str) -> bool:
    """Say whether any of some layers has something at a path that hides what lower ones have below it."""
    parent, _, name = path.rpartition("/")
    for layer_fd in layer_fds:
        with contextlib.suppress(OSError), files.opened(layer_fd, parent or ".") as fd:
            status = os.lstat(name, dir_fd=fd)
            if not stat.S_ISDIR(status.st_mode) or overlay.is_opaque(f"/proc/self/fd/{fd}/{name}"):
                return True
    return False


class _Pair:
    """What two directories have under one name; a directory that is not there has the descriptor -1."""

    def __init__(self, name: str, before_fd: int, after_fd: int) -> None:
        self._name = name
        self._fds = (before_fd, after_fd)
        self._before, self._after = _status(before_fd, name), _status(after_fd, name)
        self.directories = [status is not None and stat.S_ISDIR(status.st_mode) for status in self._statuses]

    @property
    def _statuses(self) -> tuple[Status, Status]:
        return self._before, self._after

    def difference(self, path: str) -> Difference | None:
        """Return how they differ, None for not at all."""
        before, after, shown = self._before, self._after, f"/{readable(path)}"
        if before is None and after is None:
            return None
        if before is None or after is None:
            return Difference(shown, "added" if before is None else "removed", "", _bytes(before), _bytes(after))
        differs = ", ".join(self._ways(before, after))
        return Difference(shown, "changed", differs, _bytes(before), _bytes(after)) if differs else None

    def _ways(self, before: os.stat_result, after: os.stat_result) -> Iterator[str]:
        """Yield in what they differ."""
        if stat.S_IFMT(before.st_mode) != stat.S_IFMT(after.st_mode):
            yield "kind"
            return
        if stat.S_ISREG(before.st_mode):
            if before.st_size != after.st_size or not self._same_content():
                yield "content"
        elif stat.S_ISLNK(before.st_mode):
            if not _same(os.readlink(self._name, dir_fd=fd) for fd in self._fds):
                yield "target"
        elif not stat.S_ISDIR(before.st_mode) and before.st_rdev != after.st_rdev:
            yield "device"
        if before.st_mode != after.st_mode:
            yield "mode"
        if (before.st_uid, before.st_gid) != (after.st_uid, after.st_gid):
            yield "owner"
        if not _same(_attributes(f"/proc/self/fd/{fd}/{self._name}") for fd in self._fds):
            yield "attributes"

    def _same_content(self) -> bool:
        fds: list[int] = []
        try:
            for directory_fd in self._fds:
                # O_NONBLOCK: host's file system is no layer, and what was a file may be a pipe by now.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                fds.append(os.open(self._name, flags, dir_fd=directory_fd))
            while _same(parts := [os.read(fd, _COMPARED_BYTES) for fd in fds]):
                if not parts[0]:
                    return True
            return False
        finally:
            for fd in fds:
                os.close(fd)


def _same(both: Iterable[object]) -> bool:
    one, other = both
    return one == other


def _status(directory_fd: int, name: str) -> Status:
    try:
        return os.lstat(name, dir_fd=directory_fd) if directory_fd >= 0 else None
    except OSError:
        return None


def _bytes(status: Status) -> int | None:
    if status is None:
        return None
    return 0 if stat.S_ISDIR(status.st_mode) else status.st_size


def _attributes(path: str) -> dict[str, bytes]:
    """Return a file's extended attributes but those of overlays; none where the file system has none."""
    found: dict[str, bytes] = {}
    with contextlib.suppress(OSError):
        for attribute in os.listxattr(path, follow_symlinks=False):
            if not attribute.startswith(OVERLAY_XATTR):
                found[attribute] = os.getxattr(path, attribute, follow_symlinks=False)
    return found
