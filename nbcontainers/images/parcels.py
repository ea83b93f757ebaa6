"""A parcel: a layer on its way to a registry, compressed in a thread while the event loop sends it.

The bytes go through a file without a name, so that neither side waits for the other, and an upload that broke can be
gone on with; whatever is killed, nothing of it is left. The same layer gives the same bytes: gzip's header has no time.

Source: open(2) § O_TMPFILE; RFC 1952 § 2.3.1.
"""

import asyncio
import hashlib
import os
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from isal import isal_zlib

from nbcontainers import errors
from nbcontainers.images import layers
from nbcontainers.images.packing import copy_by_reading
from nbcontainers.linux.descriptors import write_all

_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 2
_CHUNK_BYTES = 1 << 20
_BATCH_BYTES = 256 << 10


class Parcel:
    """One layer; use it on the event loop, but for ``pack``, which is for a thread. ``close`` when it was sent.

    Args:
        directory: On the file system that has room for it.
        tell: Told how many bytes of the layer have been sent, from the event loop.
    """

    def __init__(self, directory: Path, tell: Callable[[int], object]) -> None:
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  closed by close
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._tell = tell
        self._hash = hashlib.sha256()
        self._read = 0
        self._written = 0
        self._complete = False
        self._failure: BaseException | None = None

    @property
    def size(self) -> int | None:
        """How many bytes it has; None as long as it is being packed."""
        return self._written if self._complete else None

    @property
    def digest(self) -> str:
        """The digest of what is packed."""
        return f"sha256:{self._hash.hexdigest()}"

    def pack(self, directory: Path) -> None:
        """Compress a layer's archive, in the calling thread; a failure is told to who sends it."""
        sink = Gzipped(self.write)
        try:
            layers.write(directory, sink)
            sink.close()
            self._complete = True
        except BaseException as error:
            self._failure = error
        self._loop.call_soon_threadsafe(self._changed.set)

    def write(self, data: bytes, read: int) -> None:
        """Add compressed bytes; ``read`` is how many of the layer they are made of.

        Raises:
            errors.Conflict: Nobody wants them any more.
        """
        if self._failure is not None:
            raise errors.Conflict("the push has ended") from self._failure
        self._hash.update(data)
        write_all(self._file.fileno(), data)
        self._read = read
        self._written += len(data)
        self._loop.call_soon_threadsafe(self._changed.set)

    async def chunks(self, offset: int) -> AsyncIterator[bytes]:
        """Yield the bytes from an offset on, and wait for those that are not there yet."""
        while True:
            self._changed.clear()
            complete = self._complete
            while offset < self._written:
                data = os.pread(self._file.fileno(), min(_CHUNK_BYTES, self._written - offset), offset)
                offset += len(data)
                self._tell(self._read * offset // self._written)
                yield data
            self.check()
            if complete:
                return
            await self._changed.wait()

    def check(self) -> None:
        """Raise what has gone wrong while it was packed."""
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """Have the thread that packs it end soon."""
        if not self._complete and self._failure is None:
            self._failure = errors.Conflict("the push has ended")

    def close(self) -> None:
        """Give the disk its space back; the thread has ended."""
        self._file.close()


class Gzipped:
    """Compresses what is written to it, in batches.

    Args:
        put: Takes what is compressed, and how many bytes that is of.
    """

    def __init__(self, put: Callable[[bytes, int], object]) -> None:
        self._put_batch = put
        self._compress = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        self._batch: list[bytes] = []
        self._batched = 0
        self.read_bytes = 0

    def write(self, data: bytes) -> None:
        """Take bytes."""
        self.read_bytes += len(data)
        self._put(self._compress.compress(data))

    def copy(self, fd: int, size: int) -> None:
        """Take a file's bytes."""
        copy_by_reading(fd, size, self.write)

    def close(self) -> None:
        """Write the end."""
        self._batch.append(self._compress.flush())
        self._flush()

    def _put(self, data: bytes) -> None:
        if data:
            self._batch.append(data)
            self._batched += len(data)
            if self._batched >= _BATCH_BYTES:
                self._flush()

    def _flush(self) -> None:
        self._put_batch(b"".join(self._batch), self.read_bytes)
        self._batch, self._batched = [], 0


class Document:
    """A short upload that is in memory.

    Args:
        data: What it has.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.digest = f"sha256:{hashlib.sha256(data).hexdigest()}"

    async def chunks(self, offset: int) -> AsyncIterator[bytes]:
        """Yield the bytes from an offset on."""
        yield self._data[offset:]

    def check(self) -> None:
        """Nothing can go wrong with it."""
