"""Segments of a log that are compressed once they are full, and read all the same.

Beside the segments stand ``log/00000001.gz`` and on: each is what the segment of its number was, as gzip has it. The
shim makes them in a thread, one after the other, so that what the container writes meanwhile is not held up; a
segment goes when its compressed form is complete. Places in a log are those of the segments, compressed or not.

This is imported only for logs that are to be compressed, or are.

Source: RFC 1952; Docker documentation, "JSON File logging driver" § Options, ``compress``.
"""

from __future__ import annotations

import _thread
import os
import tempfile
import zlib

from nbcontainers.linux.descriptors import write_all
from nbcontainers.runtime import log

_GZIP = 31  # wbits for gzip's header and trailer, zlib(3) § inflateInit2
_BLOCK_BYTES = 256 << 10
_TEMPORARY = ".tmp"


class Compressor:
    """Compresses a container's full segments in a thread; the shim's half.

    Args:
        directory: Of the log.
    """

    __slots__ = ("_current", "_directory", "_stopped", "_working")

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._working = _thread.allocate_lock()
        self._stopped = False
        self._current = 0
        for name in os.listdir(directory):
            if name.endswith(_TEMPORARY):  # of a shim that was killed
                os.unlink(f"{directory}/{name}")

    def begin(self, current: int) -> None:
        """Have all segments before the ``current`` one compressed."""
        self._current = current
        if self._working.acquire(blocking=False):
            _thread.start_new_thread(self._work, ())

    def _work(self) -> None:
        """Compress until nothing is left; what became full meanwhile is seen here or by ``begin``, whoever is last."""
        while True:
            succeeded = all(self._compress(f"{self._directory}/{number:08d}") for number in self._full())
            self._working.release()
            if not succeeded or self._stopped or not self._full() or not self._working.acquire(blocking=False):
                return

    def _full(self) -> list[int]:
        present = [int(name) for name in os.listdir(self._directory) if name.isdigit()]
        return sorted(number for number in present if number < self._current)

    def _compress(self, path: str) -> bool:
        """Put a compressed segment in the place of one; False where it has to stay as it is: the disk is full."""
        temporary, packed = f"{path}{_TEMPORARY}", f"{path}{log.PACKED}"
        try:
            complete = self._copy(path, temporary)
        except FileNotFoundError:
            return True  # a rotation has removed it
        except OSError:
            complete = False
        if not complete:
            _unlink(temporary)
            return False
        os.rename(temporary, packed)
        try:
            os.unlink(path)
        except FileNotFoundError:
            _unlink(packed)  # removed meanwhile: there must be no gap among those that are left
        return True

    def _copy(self, path: str, temporary: str) -> bool:
        """Compress one file into another; False where it was stopped."""
        gzip = zlib.compressobj(wbits=_GZIP)
        with open(path, "rb", 0) as source, open(temporary, "wb", 0) as target:
            os.fchmod(target.fileno(), 0o600)
            while data := source.read(_BLOCK_BYTES):
                if self._stopped:
                    return False
                write_all(target.fileno(), gzip.compress(data))
            write_all(target.fileno(), gzip.flush())
            os.fsync(target.fileno())
        return True

    def stop(self) -> None:
        """Leave off, and return when no file is touched any more."""
        self._stopped = True
        with self._working:
            pass


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def unpacked_size(path: str) -> int:
    """Return how large a compressed segment was.

    Source: RFC 1952 § 2.3.1, ISIZE: modulo 2^32, which no segment comes near.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int.from_bytes(os.pread(fd, 4, os.fstat(fd).st_size - 4), "little")
    finally:
        os.close(fd)


class Packed:
    """A compressed segment, read forwards; what is not needed any more is not kept.

    Args:
        fd: Of the file; it is the caller's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._read_bytes = 0
        self._gzip = zlib.decompressobj(wbits=_GZIP)
        self._begin = 0
        self._data = b""

    def pread(self, size: int, offset: int) -> bytes:
        """Return bytes as ``pread(2)`` does; no ``offset`` is before an earlier one."""
        pieces = [self._data[offset - self._begin :]] if offset - self._begin < len(self._data) else []
        have, position = sum(map(len, pieces)), self._begin + len(self._data)
        while have < size and (data := self._next()):
            if position + len(data) > offset:
                pieces.append(data[max(0, offset - position) :])
                have += len(pieces[-1])
            position += len(data)
        self._data = b"".join(pieces)
        self._begin = offset
        return self._data[:size]

    def _next(self) -> bytes:
        """Return a few more bytes, or nothing at the end, or where the file is damaged."""
        while not self._gzip.eof:
            source = self._gzip.unconsumed_tail
            if not source:
                source = os.pread(self._fd, _BLOCK_BYTES, self._read_bytes)
                self._read_bytes += len(source)
            if not source:
                break
            try:
                if data := self._gzip.decompress(source, _BLOCK_BYTES):
                    return data
            except zlib.error:
                break
        return b""


def unpack(fd: int) -> int:
    """Return a descriptor of a file without a name that has all of a compressed segment; the given one is closed.

    Raises:
        OSError: ENOSPC, there is no room for it.
    """
    try:
        packed, offset = Packed(fd), 0
        with tempfile.TemporaryFile(buffering=0) as file:
            while data := packed.pread(_BLOCK_BYTES, offset):
                write_all(file.fileno(), data)
                offset += len(data)
            return os.dup(file.fileno())
    finally:
        os.close(fd)
