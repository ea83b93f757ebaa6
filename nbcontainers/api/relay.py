"""Bytes from the event loop to a thread, without a copy: what arrives in large pieces is read in small ones.

A pipe would do the same, and the kernel would copy every byte in and out. At most so much is on its way at once: then
whoever sends waits.
"""

import asyncio
import contextlib
import threading
from queue import SimpleQueue

_MOST_BYTES = 4 << 20


class Relay:
    """One stream: ``put`` and ``end`` belong to the event loop that made it, ``read`` and ``close`` to the thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._is_full = False
        self._room = asyncio.Event()
        self._is_closed = False
        self._has_ended = False
        self._chunk = b""
        self._at = 0

    async def put(self, chunk: bytes) -> None:
        """Pass on bytes, at least one; for nothing when nobody reads any more."""
        if self._is_closed:
            return
        with self._lock:
            self._waiting_bytes += len(chunk)
            self._is_full = self._waiting_bytes > _MOST_BYTES
        self._room.clear()
        self._queue.put(chunk)
        if self._is_full:
            await self._room.wait()

    def end(self) -> None:
        """Say that nothing else comes."""
        self._queue.put(b"")

    def read(self, size: int = -1, /) -> bytes:
        """Wait for bytes, and return at most so many, none at the end."""
        if self._at == len(self._chunk):
            self._next()
        begin, end = self._at, len(self._chunk)
        if 0 <= size < end - begin:
            end = begin + size
        self._at = end
        return self._chunk if end - begin == len(self._chunk) else self._chunk[begin:end]

    def _next(self) -> None:
        self._chunk, self._at = b"" if self._has_ended else self._queue.get(), 0
        self._has_ended = not self._chunk
        with self._lock:
            self._waiting_bytes -= len(self._chunk)
            has_room = self._is_full and self._waiting_bytes <= _MOST_BYTES // 2
            self._is_full = self._is_full and not has_room
        if has_room:
            self._tell()

    def close(self) -> None:
        """Read no more; who sends does not wait."""
        self._is_closed = True
        self._tell()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._room.set)
