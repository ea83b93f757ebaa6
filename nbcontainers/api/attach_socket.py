"""``GET /containers/{id}/attach/ws``: attach for clients that have web sockets only, such as browsers.

Both streams go out as they come, in binary messages without headers; what messages hold goes to the container's
standard input. There are no halves to close: the client's closing is the end of its input, and of all.

Source: Docker Engine API v1.47, ``GET /containers/{id}/attach/ws``; RFC 6455.
"""

import asyncio

from aiohttp import WSMsgType, web

from nbcontainers import errors
from nbcontainers.api import output, responses
from nbcontainers.api.attach import Asked, send_input, until_over
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route


class _Messages:
    """What the client sends, message by message."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """Return the next message that is not empty, or nothing when the client has closed."""
        async for message in self._socket:
            if message.type == WSMsgType.BINARY and message.data:
                return bytes(message.data)
            if message.type == WSMsgType.TEXT and message.data:
                return str(message.data).encode()
        return b""


async def attach(call: Call) -> web.StreamResponse:
    """Serve a web socket until the container ends or the client goes."""
    socket = web.WebSocketResponse(compress=False)
    if not socket.can_prepare(call.request):
        raise errors.InvalidArgument("a web socket is wanted: ask with 'Upgrade: websocket', or use attach")
    asked = Asked(call)
    with output.Follower(call.engine, asked.container, asked.reader) as follower:
        call.request[responses.STREAMING] = True
        await socket.prepare(call.request)
        call.engine.tell(asked.container, "attach")
        messages = _Messages(socket)

        async def send_output() -> bool:
            if not asked.stream:
                for frame in output.selected(asked.reader, output.Selection(streams=asked.streams)):
                    await socket.send_bytes(frame.data)
                return True
            async for frame in follower.frames():
                if frame.stream in asked.streams:
                    await socket.send_bytes(frame.data)
            return True

        async def take_input() -> bool:
            if asked.with_input:
                await send_input(call.engine, asked.container, messages, asked.keys)
            else:
                while await messages.read():
                    continue
            return True

        await until_over([asyncio.ensure_future(send_output()), asyncio.ensure_future(take_input())])
        await socket.close()
    return socket


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("GET", "/containers/{id}/attach/ws", attach, interruptible=True)]
