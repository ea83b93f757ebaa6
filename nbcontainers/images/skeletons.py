"""Skeletons: an archive without the contents of its files.

A layer's digest is that of the archive it came in: of every header, in its order, with its padding. To give that
archive away again, byte for byte, without keeping it beside the files it was unpacked to, all of it is kept but what
can be read from those files. That is a hundredth of it or less.

A skeleton is a gzip stream of pieces: the length of what is kept (8 bytes, little endian), the same for the length of a
file's content, the length of its path (4 bytes); then what is kept, and the path. The content stands after that.
"""

import gzip
import os
import struct
from pathlib import Path
from types import TracebackType

from nbcontainers import errors
from nbcontainers.images.compression import read_exactly
from nbcontainers.images.packing import Sink
from nbcontainers.linux.mounts import openat2

_PIECE = struct.Struct("<QQI")
_LONGEST_KEPT = 1 << 20
_LEVEL = 1


class Recorder:
    """Writes a skeleton while an archive is read; use it in a ``with`` statement.

    Args:
        path: The file to write; it has its name from the beginning.
    """

    def __init__(self, path: Path) -> None:
        self._raw = open(path, "wb")  # noqa: SIM115  closed by __exit__
        self._file = gzip.GzipFile(filename="", fileobj=self._raw, mode="wb", compresslevel=_LEVEL, mtime=0)
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._put(0, "")
            self._file.close()
        finally:
            self._raw.close()

    def keep(self, data: bytes) -> None:
        """Keep the archive's next bytes."""
        self._kept.append(data)
        self._kept_bytes += len(data)
        if self._kept_bytes > _LONGEST_KEPT:
            self._put(0, "")

    def content(self, size: int, path: str) -> None:
        """Leave out the archive's next bytes: they are the content of this file."""
        self._put(size, path)

    def _put(self, size: int, path: str) -> None:
        name = os.fsencode(path)
        self._file.write(_PIECE.pack(self._kept_bytes, size, len(name)))
        self._file.write(b"".join([*self._kept, name]))
        self._kept, self._kept_bytes = [], 0


def assemble(skeleton: Path, root_fd: int, sink: Sink) -> None:
    """Write the archive again that a skeleton is of.

    Args:
        skeleton: The file.
        root_fd: The directory that the archive was unpacked to.
        sink: Where to.

    Raises:
        errors.Unavailable: The skeleton, or the directory, is damaged.
    """
    with gzip.open(skeleton) as file:
        try:
            while _assemble_piece(file, root_fd, sink):
                continue
        except (EOFError, gzip.BadGzipFile, FileNotFoundError, struct.error) as error:
            raise errors.Unavailable(
                f"the layer '{skeleton.parent.name}'", f"it is damaged: {error}", "remove the image, and get it again"
            ) from error


def _assemble_piece(file: gzip.GzipFile, root_fd: int, sink: Sink) -> bool:
    head = file.read(_PIECE.size)
    if not head:
        return False
    kept, size, length = _PIECE.unpack(head)
    if kept:
        sink.write(read_exactly(file, kept))
    path = os.fsdecode(read_exactly(file, length))
    if size:
        fd = openat2(root_fd, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            sink.copy(fd, size)
        finally:
            os.close(fd)
    return True
