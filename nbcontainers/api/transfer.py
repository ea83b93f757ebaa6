"""Archives on their way between a client and a thread that writes or reads them.

A pipe is in between: it holds up whoever is faster, and breaks when one side has gone. Nothing is stored on the way.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import BinaryIO, TypeVar

from aiohttp import web

from nbcontainers.api import responses
from nbcontainers.api.calls import Call
from nbcontainers.engine.threads import run_apart

PIPE_BYTES = 1 << 20
_READ_BYTES = 1 << 18

T = TypeVar("T")


async def download(
    call: Call, write: Callable[[int], object], content_type: str, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Answer with what a thread writes to a descriptor.

    What goes wrong before the first byte has an HTTP status of its own; after it, the connection breaks off. A client
    that goes away breaks the pipe; in any case the thread has ended when this returns.
    """
    read_fd, write_fd = _pipe()
    os.set_blocking(read_fd, False)

    def work() -> None:
        try:
            write(write_fd)
        finally:
            os.close(write_fd)

    working = asyncio.ensure_future(run_apart(work, "download"))
    try:
        data = await _read(read_fd)
        if not data:
            await asyncio.shield(working)
        response = await responses.stream(call, content_type, headers=headers)
        while data:
            await response.write(data)
            data = await _read(read_fd)
        await asyncio.shield(working)
        return response
    finally:
        os.close(read_fd)
        await _ended(working)


async def upload(call: Call, read: Callable[[BinaryIO], T]) -> T:
    """Return what a thread makes of a request's body.

    The body is read to its end in any case: a client that is still sending would not see an answer.
    """
    return await feed(call.request.content.iter_any(), read)


async def feed(chunks: AsyncIterator[bytes], read: Callable[[BinaryIO], T]) -> T:
    """Return what a thread makes of bytes as they come."""
    read_fd, write_fd = _pipe()
    os.set_blocking(write_fd, False)

    def work() -> T:
        with open(read_fd, "rb", buffering=_READ_BYTES) as stream:
            return read(stream)

    working = asyncio.ensure_future(run_apart(work, "upload"))
    try:
        try:
            await _feed(chunks, write_fd)
        finally:
            os.close(write_fd)
        return await asyncio.shield(working)
    finally:
        await _ended(working)


def _pipe() -> tuple[int, int]:
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # more than this user may have
        fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return read_fd, write_fd


async def _ended(working: "asyncio.Future[T]") -> None:
    """Wait until a thread has ended, whatever comes of it, however often the wait is cancelled."""
    while not working.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({working})
    working.exception()


async def _read(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, _READ_BYTES)
        except BlockingIOError:
            await _ready(fd, asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader)


async def _feed(chunks: AsyncIterator[bytes], fd: int) -> None:
    is_open = True
    async for chunk in chunks:
        if is_open:
            try:
                await write(fd, chunk)
            except BrokenPipeError:
                is_open = False


async def write(fd: int, data: bytes) -> None:
    """Write all of ``data`` to a descriptor that does not block, and wait while nobody reads.

    Raises:
        BrokenPipeError: Nobody will any more.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _ready(fd, asyncio.get_running_loop().add_writer, asyncio.get_running_loop().remove_writer)


async def _ready(fd: int, add: Callable[..., object], remove: Callable[[int], object]) -> None:
    ready = asyncio.get_running_loop().create_future()

    def settle() -> None:
        if not ready.done():
            ready.set_result(None)

    add(fd, settle)
    try:
        await ready
    finally:
        remove(fd)
