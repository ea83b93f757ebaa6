"""Compressed streams, known by how they begin.

Source: RFC 1952 (gzip), RFC 8878 (zstd), the xz and bzip2 file formats.
"""

import bz2
import lzma
import zlib
from typing import IO, Protocol, cast

import zstandard
from isal import igzip, isal_zlib

FAILURES: tuple[type[Exception], ...] = (
    EOFError,
    zlib.error,
    cast(type[Exception], isal_zlib.error),
    lzma.LZMAError,
    zstandard.ZstdError,
)
_LONGEST_MAGIC = 6


class Readable(Protocol):
    """All that is asked of a stream."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most so many bytes, none at the end."""


class Prefixed:
    """A stream of which the beginning has been read already."""

    def __init__(self, beginning: bytes, stream: Readable) -> None:
        self._beginning = beginning
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        """Return at most so many bytes, none at the end."""
        if not self._beginning:
            return self._stream.read(size)
        if size < 0:
            data, self._beginning = self._beginning + self._stream.read(), b""
        else:
            data, self._beginning = self._beginning[:size], self._beginning[size:]
        return data

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        """Fill a buffer as far as one read does."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def decompressed(stream: Readable) -> Readable:
    """Return what a stream holds, whether it is compressed (gzip, zstd, xz, bzip2) or not.

    Reading it raises one of ``FAILURES``, or OSError, when it is damaged.
    """
    beginning = read_exactly(stream, _LONGEST_MAGIC)
    whole = Prefixed(beginning, stream)
    file = cast(IO[bytes], whole)  # of a file they all want no more than this
    if beginning.startswith(b"\x1f\x8b"):
        return cast(Readable, igzip.IGzipFile(fileobj=file, mode="rb"))  # type: ignore[no-untyped-call]
    if beginning.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    if beginning == b"\xfd7zXZ\x00":
        return lzma.LZMAFile(file)
    if beginning.startswith(b"BZh"):
        return bz2.BZ2File(file)
    return whole


def read_exactly(stream: Readable, size: int) -> bytes:
    """Return so many bytes, less only at the end of the stream."""
    parts = []
    while size and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
