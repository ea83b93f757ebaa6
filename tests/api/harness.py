"""A server of the API on a socket, with routes of the test's own, in the test's event loop."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nbcontainers.api.routing import Route, Router
from nbcontainers.api.server import ApiServer, listen

if TYPE_CHECKING:
    from nbcontainers.engine.engine import Engine


@contextlib.asynccontextmanager
async def serving(routes: list[Route]) -> AsyncIterator[str]:
    """Serve routes that need no engine; yields the socket's path."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "s")
        server = ApiServer(Router(cast("Engine", None), routes), listen(path))
        await server.start()
        try:
            yield path
        finally:
            await server.close()


async def ask(path: str, request: str) -> tuple[int, dict[str, str], bytes]:
    """Send one request line with a Host; return status, headers (lower case) and body."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(f"{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


def message(body: bytes) -> str:
    """Return the sentence of an error."""
    document: dict[str, Any] = json.loads(body)
    return str(document["message"])
