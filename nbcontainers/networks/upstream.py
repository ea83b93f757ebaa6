"""Questions about the world, passed on to other name servers from the host's own network."""

import asyncio
import contextlib
import secrets
import struct
from collections.abc import Sequence

_PORT = 53
_SECONDS = 3.0
_STREAM_SECONDS = 6.0
_LENGTH = struct.Struct("!H")
_HEADER_BYTES = 12
_SERVFAIL, _REFUSED = 2, 5


class Upstream:
    """Asks other name servers, each question from a port of its own that nobody can guess (RFC 5452 § 4.5)."""

    def __init__(self) -> None:
        self._open: set[asyncio.DatagramTransport] = set()

    async def ask(self, query: bytes, servers: Sequence[str]) -> bytes | None:
        """Pass a datagram on to one server after the other, until one has an answer.

        Args:
            query: The question as it came.
            servers: Their addresses.

        Returns:
            The answer, with the question's number; None when nobody has one.
        """
        last = None
        for server in servers:
            number = secrets.token_bytes(2)
            try:
                async with asyncio.timeout(_SECONDS):
                    reply = await self._ask(number + query[2:], server)
            except (OSError, TimeoutError):
                continue
            last = query[:2] + reply[2:]
            if reply[3] & 0x0F not in (_SERVFAIL, _REFUSED):
                return last
        return last

    async def _ask(self, query: bytes, server: str) -> bytes:
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Protocol(query, reply), remote_addr=(server, _PORT)
        )
        self._open.add(transport)
        try:
            transport.sendto(query)
            return await reply
        finally:
            transport.close()
            self._open.discard(transport)

    async def ask_by_stream(self, query: bytes, servers: Sequence[str]) -> bytes | None:
        """Do as ``ask`` does, over TCP: the answer may be long."""
        for server in servers:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_STREAM_SECONDS):
                    reader, writer = await asyncio.open_connection(server, _PORT)
                    try:
                        writer.write(_LENGTH.pack(len(query)) + query)
                        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                        return await reader.readexactly(length)
                    finally:
                        writer.close()
        return None

    def close(self) -> None:
        """Wait for no more answers."""
        for transport in list(self._open):
            transport.close()


class _Protocol(asyncio.DatagramProtocol):
    """Hears one answer."""

    def __init__(self, query: bytes, reply: "asyncio.Future[bytes]") -> None:
        self._query = query
        self._reply = reply

    def datagram_received(self, data: bytes, _: object) -> None:
        """Take the answer, if it is one to the question."""
        end = _end_of_question(self._query)
        same = data[:2] == self._query[:2] and data[_HEADER_BYTES:end].lower() == self._query[_HEADER_BYTES:end].lower()
        if len(data) >= end and same and not self._reply.done():
            self._reply.set_result(data)

    def error_received(self, error: Exception) -> None:
        """Hear that nobody is there."""
        if not self._reply.done():
            self._reply.set_exception(error)


def _end_of_question(query: bytes) -> int:
    """Return where the question of a message ends (RFC 1035 § 4.1.2)."""
    place = _HEADER_BYTES
    while place < len(query) and query[place]:
        place += query[place] + 1
    return place + 5
