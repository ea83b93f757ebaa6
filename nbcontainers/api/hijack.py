"""A connection that stops being HTTP: after the answer's head both sides speak raw bytes, each closing its half itself.

Docker's attach works so (Docker Engine API, § Attach to a container): the client may ask with ``Upgrade: tcp``
(answered by 101) or without (answered by 200). aiohttp closes a connection whose client has closed its sending half; a
hijacked one must stay open for the container's output, so ``Connection`` below takes the bytes over first.

Theory of operation: ``Connection`` is aiohttp's own handler of a connection until ``take_over`` gives it an
``Inbound``; from then on what arrives goes to ``Inbound`` alone, and aiohttp waits for our handler to return what
``Hijack.close`` gave it, which writes nothing more. A client waits for the answer's head before it sends raw bytes, as
RFC 9110 § 7.8 has it; docker's clients do.
"""

import asyncio
import contextlib
import fcntl
import select
import termios
from collections import deque
from typing import Any, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_protocol import RequestHandler

from nbcontainers.api import responses
from nbcontainers.api.calls import Call

PAUSE_READING_BYTES = 256 << 10
LINGER_SECONDS = 5.0
HEAD_PAUSES_SECONDS = (0.0005, 0.001, 0.002, 0.004, *(0.008 for _ in range(250)))


class Inbound:
    """What the client sends on a hijacked connection, in order, with back pressure."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._arrived = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes in; the client waits once there are too many (the result is aiohttp's parser interface)."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size > PAUSE_READING_BYTES:
            self._transport.pause_reading()
        self._arrived.set()
        return False, b""

    def feed_eof(self) -> None:
        """Note that the client sends no more."""
        self._ended = True
        self._arrived.set()

    async def read(self) -> bytes:
        """Return the next bytes, or nothing at the end."""
        while not self._chunks:
            if self._ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        if self._size <= PAUSE_READING_BYTES and not self._transport.is_closing():
            self._transport.resume_reading()
        return chunk


class Connection(RequestHandler):
    """aiohttp's connection, but it can be taken over with its two halves closing separately."""

    __slots__ = ("_hangup", "inbound")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.inbound: Inbound | None = None
        self._hangup: select.epoll | None = None

    def data_received(self, data: bytes) -> None:
        """Pass bytes on to whoever has the connection."""
        if self.inbound is None:
            super().data_received(data)
        else:
            self.inbound.feed_data(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a hijacked connection open for the other direction."""
        if self.inbound is None:
            return False
        self.inbound.feed_eof()
        self._watch_for_hangup()
        return True

    def _watch_for_hangup(self) -> None:
        """Close the connection when the client closes the other half too.

        To ``read(2)`` one half closed and both look the same, and asyncio no longer looks at a socket that is at its
        end. The kernel tells them apart: EPOLLHUP comes, unasked for, when both are closed.

        Source: epoll_ctl(2) § EPOLLHUP; poll(2).
        """
        transport = cast(asyncio.Transport, self.transport)
        self._hangup = select.epoll(flags=select.EPOLL_CLOEXEC)
        self._hangup.register(transport.get_extra_info("socket").fileno(), 0)
        self._loop.add_reader(self._hangup.fileno(), transport.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop watching, and let aiohttp cancel the handler."""
        if self._hangup is not None:
            self._loop.remove_reader(self._hangup.fileno())
            self._hangup.close()
            self._hangup = None
        super().connection_lost(exc)


class Server(web.Server):
    """aiohttp's low-level server with connections that can be taken over."""

    def __call__(self) -> RequestHandler:
        """Make the handler of one new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)


class _Hijacked(web.StreamResponse):
    """Stands for an answer that has been given already."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send no head: it was sent."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send no end: the connection's end is the end."""


class Hijack:
    """A connection taken over: raw bytes both ways."""

    def __init__(self, transport: asyncio.Transport, connection: Connection, inbound: Inbound) -> None:
        self._transport = transport
        self._connection = connection
        self.inbound = inbound
        self._head_is_read = False
        self._reading_head = asyncio.Lock()

    async def _until_head_is_read(self) -> None:
        """Wait until the client has taken the answer's head, for a while.

        docker-py reads the head through a buffer, and then reads past that buffer: what came in one piece with the head
        is lost to it. Nothing tells when the other side has read; but when there is output, it nearly always has.

        Source: unix(7) § SIOCOUTQ.
        """
        socket = self._transport.get_extra_info("socket")
        for pause_seconds in HEAD_PAUSES_SECONDS:
            if self._transport.is_closing() or fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4)) == bytes(4):
                return
            await asyncio.sleep(pause_seconds)

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait while the client is slow.

        Raises:
            ConnectionError: The client is gone.
        """
        if not self._head_is_read:
            async with self._reading_head:
                if not self._head_is_read:
                    await self._until_head_is_read()
                    self._head_is_read = True
        if self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)
        await self._connection._drain_helper()

    async def end(self) -> web.StreamResponse:
        """Send what is still to be sent, and the end, and close when the client has, or after a while.

        Meanwhile what the client still sends is taken in and forgotten: a unix socket that is closed with something
        unread in it takes from the other side what that has not read yet (ECONNRESET).
        """
        if self._transport.is_closing():
            return self.close()
        self._transport.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while await self.inbound.read():
                    pass
        return self.close()

    def close(self) -> web.StreamResponse:
        """Send what is still to be sent, close the connection, and return what the handler shall return."""
        self._transport.close()
        response = _Hijacked()
        response.force_close()
        return response


def take_over(call: Call, content_type: str, *, protocol: str = "tcp") -> Hijack:
    """Answer the request's head and take its connection over.

    Args:
        call: The request.
        content_type: Of what will be sent.
        protocol: What is spoken from now on, for a client that asks for an upgrade.
    """
    connection = cast(Connection, call.request.protocol)
    transport = cast(asyncio.Transport, call.request.transport)
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    inbound = Inbound(transport)
    if "upgrade" in call.request.headers.get("Connection", "").lower() and call.request.headers.get("Upgrade"):
        head = ["HTTP/1.1 101 UPGRADED", "Connection: Upgrade", f"Upgrade: {protocol}"]
    else:
        head = ["HTTP/1.1 200 OK"]
    connection.set_parser(cast(Any, inbound))  # tells the inbound side of the connection's loss
    connection.inbound = inbound
    head += [f"Content-Type: {content_type}", *(f"{name}: {value}" for name, value in responses.HEADERS.items())]
    call.request[responses.STREAMING] = True
    transport.write("\r\n".join(head).encode() + b"\r\n\r\n")
    return Hijack(transport, connection, inbound)
