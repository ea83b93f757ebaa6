"""Captures of what comes and goes in a container, as a stream in the format of Wireshark.

A client that has seen enough stops the capture by its name and reads the stream to its end: so it gets all that came
until then. One that goes away gets no more.
"""

import re

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses, transfer
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.linux.packets import LARGEST_BYTES
from nbcontainers.networks import pcapng

_PREFIX = "/nbcontainers/v1"
_NAME = re.compile(r"[A-Za-z0-9]{1,64}")
_SNAPS = range(64, LARGEST_BYTES + 1)
_MAXIMUM_BYTES = 64 << 20
_MOST_BYTES = 4 << 30


async def capture(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/capture?name=…``: in force when the answer begins; ``snap`` and ``limit`` are bytes."""
    container = call.engine.container(call.parameters["id"])
    name, snap, limit = call.text("name"), call.integer("snap", LARGEST_BYTES), call.integer("limit", _MAXIMUM_BYTES)
    if not _NAME.fullmatch(name):
        raise errors.InvalidArgument(f"invalid capture name '{name}': 64 letters and digits at most are wanted")
    if snap not in _SNAPS:
        raise errors.InvalidArgument(f"invalid snap '{snap}': {_SNAPS[0]} to {_SNAPS[-1]} bytes are possible")
    if not 0 < limit <= _MOST_BYTES:
        raise errors.InvalidArgument(f"invalid limit '{limit}': 1 to {_MOST_BYTES} bytes are possible")
    async with call.engine.captures.open(container, name, snap_bytes=snap, maximum_bytes=limit) as opened:
        return await transfer.download(call, opened.write, pcapng.CONTENT_TYPE)


async def stop(call: Call) -> web.Response:
    """``POST /captures/{name}/stop``."""
    name = call.parameters["name"]
    call.engine.captures.stop(name)
    return responses.json({"name": name})


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", f"{_PREFIX}/containers/{{id}}/capture", capture, interruptible=True),
        Route("POST", f"{_PREFIX}/captures/{{name}}/stop", stop),
    ]
