"""``POST /session``: what a client of BuildKit offers beside a build, on a connection of its own.

There the client is the server: it serves gRPC (``h2c``), and BuildKit asks it for files, credentials and secrets as it
needs them. This builder asks for none: the context comes with the build (``builds`` refuses one that is in a session),
and credentials in ``X-Registry-Config``. So the connection is held for as long as the client wants it, no more.

Source: Docker Engine API v1.47, ``POST /session``; moby, api/server/router/session.
"""

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import frames, hijack
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route

PROTOCOL = "h2c"


async def session(call: Call) -> web.StreamResponse:
    """Hold the connection until the client ends it.

    Raises:
        errors.InvalidArgument: The client would speak something else.
    """
    wanted = call.request.headers.get("Upgrade", "")
    if wanted != PROTOCOL:
        raise errors.InvalidArgument(f"a session needs the protocol {PROTOCOL}, not '{wanted}'")
    connection = hijack.take_over(call, frames.RAW, protocol=PROTOCOL)
    while await connection.inbound.read():
        pass
    return connection.close()


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("POST", "/session", session, interruptible=True)]
