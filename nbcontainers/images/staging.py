"""Layers that were unpacked and have no place yet, and the images that are made of them.

A layer is unpacked by itself, whatever is to lie below it, so that several can be at once. A *stack* then puts one on
top of the other. What it uses is protected until the image is stored, or has come to nothing.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nbcontainers import errors
from nbcontainers.images import layers
from nbcontainers.images.compression import Readable
from nbcontainers.images.store import Images
from nbcontainers.linux import files, processes
from nbcontainers.linux.overlay import OPAQUE_XATTR

SHELF = "blob-"
_FACTS = "unpacked.json"


@dataclass(slots=True, kw_only=True)
class Staged:
    """A layer without a place.

    Args:
        key: The active snapshot that it was unpacked to.
        diff_id: The digest of its archive without compression.
        size_bytes: How many bytes its files have.
        implied: Directories that it has something in, but not themselves.
        committed: The committed snapshot that it is now: on the shelf, or in an image; empty for none.
    """

    key: str
    diff_id: str
    size_bytes: int
    implied: list[str]
    committed: str = ""


class _Facts(msgspec.Struct):
    boot: str
    diff_id: str
    size_bytes: int
    implied: list[str]


def unpack(images: Images, stream: Readable, verify: Callable[[], object], most_bytes: int | None = None) -> Staged:
    """Unpack a layer's archive.

    Args:
        images: The store.
        stream: The archive; it is read to its end.
        verify: Called at the end: raises when the archive is not what it should be.
        most_bytes: How long it may be without compression, None for no such limit.

    Raises:
        errors.InvalidArgument: It is no archive of a layer.
        errors.Unavailable: The disk is full.
    """
    key, snapshots = f"load-{os.urandom(16).hex()}", images.snapshots
    snapshots.prepare(key, None)
    try:
        unpacked = layers.unpack(stream, snapshots.upper(key), most_bytes)
        verify()
    except BaseException:
        snapshots.remove(key)
        raise
    return Staged(key=key, diff_id=unpacked.diff_id, size_bytes=unpacked.size_bytes, implied=unpacked.implied)


def shelve(images: Images, layer: Staged, digest: str) -> None:
    """Keep a layer until it has a place, by the digest of the blob that it came in."""
    facts = _Facts(processes.boot_id(), layer.diff_id, layer.size_bytes, layer.implied)
    directory = images.snapshots.upper(layer.key)
    files.replace(str(_facts_of(directory)), msgspec.json.encode(facts))
    # Nothing was ever mounted there; who is killed right after the commit could not take it away any more.
    (directory.parent / "work").rmdir()
    name = shelf_name(digest)
    try:
        images.snapshots.commit(name, layer.key)
    except errors.Conflict:  # there it is already
        images.snapshots.remove(layer.key)
    layer.committed = name


def shelved(images: Images, digest: str) -> Staged | None:
    """Return the layer that is kept by the digest of its blob, if there is one."""
    name = shelf_name(digest)
    facts = _facts(images, name) if images.snapshots.has(name) else None
    if facts is None:
        return None
    return Staged(key="", diff_id=facts.diff_id, size_bytes=facts.size_bytes, implied=facts.implied, committed=name)


def on_shelf(images: Images) -> list[str]:
    """Return the layers that have no place yet."""
    return [name for name in images.snapshots.committed() if name.startswith(SHELF)]


def usable(images: Images) -> list[str]:
    """Return those of them that a killed engine has left whole; after a crash of the machine nobody can know."""
    known = [(name, _facts(images, name)) for name in on_shelf(images)]
    return [name for name, facts in known if facts is not None and facts.boot == processes.boot_id()]


def shelf_name(digest: str) -> str:
    """Return the name of a layer that came in a blob of this digest and has no place yet."""
    return f"{SHELF}{digest.removeprefix('sha256:')}"


def size_bytes(images: Images, name: str) -> int:
    """Return how many bytes the files of a layer have that is there: as its archive said, or else counted."""
    facts = _facts(images, name)
    return facts.size_bytes if facts is not None else images.snapshots.usage_bytes(name)


def _facts(images: Images, name: str) -> _Facts | None:
    try:
        return msgspec.json.decode(_facts_of(images.snapshots.files(name)).read_bytes(), type=_Facts)
    except (OSError, msgspec.DecodeError):
        return None


def _facts_of(directory: Path) -> Path:
    return directory.parent / _FACTS


class Stack:
    """The layers of one image, the lowest first; use it in a ``with`` statement.

    Args:
        images: The store.

    Attributes:
        top: The topmost layer so far.
        size_bytes: Of the files in all layers.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self._snapshots = images.snapshots
        self._protected: list[str] = []
        self._placed: set[str] = set()
        self.top: str | None = None
        self.size_bytes = 0

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for name in self._protected:
            self._images.unprotect(name)
        if kind is not None:
            self._images.sweep(only=self._placed)  # those that were placed for an image that did not come about

    def protect(self, name: str) -> bool:
        """Keep a layer that is there until the stack is done with; say whether it still is."""
        self._images.protect(name)
        self._protected.append(name)
        return self._snapshots.has(name)

    def take(self, name: str, size_bytes: int) -> None:
        """Go on with a layer that has its place on top of this already."""
        self.top = name
        self.size_bytes += size_bytes

    def put(self, layer: Staged) -> None:
        """Put a layer on top; one from the shelf is taken from there, one that has a place already is copied."""
        name = os.urandom(16).hex()
        self._images.protect(name)
        self._protected.append(name)
        self._placed.add(name)
        key = self._opened(layer)
        try:
            if layer.implied and self.top is not None:
                layers.inherit(self._snapshots.upper(key), layer.implied, self._snapshots.view(self.top))
            self._snapshots.adopt(key, self.top)
            self._snapshots.commit(name, key)
        except BaseException:
            self._snapshots.remove(key)
            raise
        layer.committed = name
        self.take(name, layer.size_bytes)

    def _opened(self, layer: Staged) -> str:
        """Return the key of an active snapshot with a layer's files."""
        if not layer.committed:
            return layer.key
        key = f"load-{os.urandom(16).hex()}"
        if layer.committed.startswith(SHELF):
            self._snapshots.withdraw(layer.committed, key)
            return key
        if not self._snapshots.has(layer.committed):
            raise errors.Conflict(f"the layer '{layer.diff_id}' was removed meanwhile: try again")
        self._snapshots.prepare(key, None)
        source, target = self._snapshots.files(layer.committed), self._snapshots.upper(key)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            # The skeleton lies beside the files, so it is the directory above that is copied.
            source_fd, target_fd = os.open(source.parent, flags), os.open(target.parent, flags)
            try:
                os.rmdir("fs", dir_fd=target_fd)
                files.copy_tree(source_fd, target_fd, leave_out=("parent", "work"), keep=(OPAQUE_XATTR,))
            finally:
                os.close(source_fd)
                os.close(target_fd)
        except BaseException:
            self._snapshots.remove(key)
            raise
        return key


def place(images: Images, layer: Staged, below: str | None) -> str:
    """Put one layer on top of another, or of nothing, and return its name: it is protected until somebody ends that.

    Raises:
        errors.NotFound: The other one is not there, or this one is no longer.
    """
    with Stack(images) as stack:
        if below is not None:
            if not stack.protect(below):
                raise errors.NotFound(f"snapshot '{below}' not found")
            stack.take(below, 0)
        stack.put(layer)
        images.protect(layer.committed)
        return layer.committed
