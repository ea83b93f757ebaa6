"""Between archives and directories: unpacking a layer, and the archive that a layer's digest is of.

A layer that came in an archive gives that archive away again, byte for byte (see ``skeletons``); one that a container
has written is packed in an order of our own.

Source: OCI image-spec, layer.md; Documentation/filesystems/overlayfs.rst.
"""

import contextlib
import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nbcontainers import errors
from nbcontainers.images.compression import Readable, decompressed
from nbcontainers.images.packing import Hash, Packer, Sink, copy_by_reading
from nbcontainers.images.skeletons import Recorder, assemble
from nbcontainers.images.sources import Source
from nbcontainers.images.unpacking import Rules, Unpacker
from nbcontainers.linux import files
from nbcontainers.runtime.rootfs import open_rootfs
from nbcontainers.runtime.spec import Rootfs

SKELETON = "skeleton"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What an archive was.

    Args:
        diff_id: The digest of it without compression.
        size_bytes: How many bytes its files have.
        implied: Directories that it has something in, but not themselves; see ``inherit``.
    """

    diff_id: str
    size_bytes: int
    implied: list[str]


class _Hashed:
    """A stream whose digest is known when it has been read."""

    def __init__(self, stream: Readable, most_bytes: int | None) -> None:
        self._stream = stream
        self._most = most_bytes
        self.hash = Hash()

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.hash.write(data)
        if self._most is not None and self.hash.size_bytes > self._most:
            raise errors.InvalidArgument(f"the layer has more than the '{self._most}' bytes that it is said to have")
        return data


def unpack(stream: Readable, directory: Path, most_bytes: int | None = None) -> Unpacked:
    """Unpack a layer's archive, compressed or not, into its directory, and keep the archive's skeleton beside that.

    Args:
        stream: The archive; it is read to its end.
        directory: Where to; it exists.
        most_bytes: How long it may be without compression, None for no such limit.

    Raises:
        errors.InvalidArgument: It is no archive, is cut short or too long, has a file twice, or a name that leads out
            of the root.
        errors.Unavailable: The disk is full.
    """
    hashed = _Hashed(decompressed(stream), most_bytes)
    root_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with Recorder(directory.parent / SKELETON) as recorder, Unpacker(root_fd, Rules(duplicates=False)) as unpacker:
            unpacker.unpack(Source(hashed, recorder))
    finally:
        os.close(root_fd)
    return Unpacked(diff_id=hashed.hash.digest, size_bytes=unpacker.size_bytes, implied=unpacker.implied)


def inherit(directory: Path, implied: list[str], below: Rootfs) -> None:
    """Give directories that a layer's archive does not have itself the owner and mode that they have below.

    The layer's own would otherwise hide those.

    Args:
        directory: The layer's.
        implied: From ``unpack``.
        below: What the layer is to stand on.
    """
    below_fd = open_rootfs(below)
    try:
        for path in implied:
            with contextlib.suppress(OSError):  # there is none below
                with files.opened(below_fd, path) as source_fd:
                    target_fd = os.open(directory / path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                    try:
                        files.copy_attributes(source_fd, target_fd)
                    finally:
                        os.close(target_fd)
    finally:
        os.close(below_fd)


def extract(
    stream: Readable, root_fd: int, rules: Rules, base: str = "", digests: MutableMapping[int, bytes] | None = None
) -> None:
    """Unpack an archive, compressed or not, into a directory that has files already.

    Args:
        stream: The archive; it is read to its end.
        root_fd: What no path leaves.
        rules: How.
        base: Where to, a path in the root.
        digests: See ``Unpacker``.

    Raises:
        errors.InvalidArgument: It is no archive, is cut short, breaks a rule, or has a name that leads out of the root.
        errors.Unavailable: The disk is full.
        OSError: EROFS, the file system is mounted read-only.
    """
    with Unpacker(root_fd, rules, base, digests) as unpacker:
        unpacker.unpack(Source(decompressed(stream)))


def diff_id(directory: Path) -> str:
    """Return the digest of the archive that a layer's directory stands for."""
    sink = Hash()
    write(directory, sink)
    return sink.digest


def pack(directory: Path, stream: IO[bytes]) -> None:
    """Write a layer's directory as a tar archive, the same bytes for the same files."""
    write(directory, _Stream(stream))


def write(directory: Path, sink: Sink) -> None:
    """Write the archive that a layer's directory stands for: the one that it came in, or one of our own.

    Source: OCI image-spec, layer.md § Representing Changes.
    """
    root_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        skeleton = directory.parent / SKELETON
        if skeleton.exists():
            assemble(skeleton, root_fd, sink)
            return
        packer = Packer(sink, layer=True)
        packer.add_tree(root_fd, ".", "")
        packer.close()
    finally:
        os.close(root_fd)


class _Stream:
    """A file as a sink."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    def copy(self, fd: int, size: int) -> None:
        copy_by_reading(fd, size, self._stream.write)
