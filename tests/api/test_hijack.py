"""A connection that stops being HTTP: both heads, half-close, back pressure."""

import asyncio

import pytest
from aiohttp import web

from nbcontainers.api import frames, hijack
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from tests.api.harness import serving


async def _echo_after_end(call: Call) -> web.StreamResponse:
    """Read until the client closes its half, then send all of it back."""
    connection = hijack.take_over(call, frames.RAW)
    received = []
    while data := await connection.inbound.read():
        received.append(data)
    for data in received:
        await connection.write(data)
    return connection.close()


ROUTES = [Route("POST", "/echo", _echo_after_end, interruptible=True)]
UPGRADE = b"POST /v1.47/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
PLAIN = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


async def _talk(path: str, head: bytes, later: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(head)
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.write(later)
    writer.write_eof()
    body = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer, body


@pytest.mark.parametrize(("head", "line"), [(UPGRADE, b"101 UPGRADED"), (PLAIN, b"200 OK")], ids=["upgrade", "plain"])
async def test_each_side_closes_its_own_half(head: bytes, line: bytes) -> None:
    async with serving(ROUTES) as path:
        answer, body = await asyncio.wait_for(_talk(path, head, b"hello"), 10)
    assert line in answer
    assert b"Content-Type: application/vnd.docker.raw-stream" in answer
    assert body == b"hello"


async def test_much_input_arrives_whole() -> None:
    sent = bytes(range(256)) * 20_000
    async with serving(ROUTES) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        await writer.drain()
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 20) == sent
        writer.close()
        await writer.wait_closed()
