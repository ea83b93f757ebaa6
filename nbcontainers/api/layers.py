"""What the layers of images hold, under ``/nbcontainers/v1``: all their entries as columns, and two images compared."""

import asyncio

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.images.comparing import Difference, compare
from nbcontainers.images.contents import Columns, columns, contents

_PREFIX = "/nbcontainers/v1"


async def layers(call: Call) -> web.Response:
    """``GET /images/{name}/layers``: the lowest first; ``base`` is what they hide of this machine's file system."""
    body = await asyncio.to_thread(_layers, call)
    return responses.raw_json(body)


def _layers(call: Call) -> bytes:
    found = contents(call.engine.images, call.parameters["name"])
    rows = [
        {
            "digest": layer.digest,
            "created": layer.made.created,
            "created_by": layer.made.created_by,
            "comment": layer.made.comment,
            "entries": columns(layer.entries),
        }
        for layer in found.layers
    ]
    return responses.encode({"id": found.image.id, "layers": rows, "base": columns(found.base)})


async def diff(call: Call) -> web.Response:
    """``GET /images/{name}/diff?other=``: what to do to the one image's files to have the other's, as columns."""
    if not (other := call.text("other")):
        raise errors.InvalidArgument("no other image was named: give other")
    images = call.engine.images
    found = await asyncio.to_thread(compare, images, images.get(call.parameters["name"]), images.get(other))
    table: Columns = {
        name: [row[number] for row in found] for number, name in enumerate(Difference._fields)
    }  # by name, so that a table without rows has its columns
    return responses.json(table)


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", f"{_PREFIX}/images/{{name:.+}}/layers", layers, interruptible=True),
        Route("GET", f"{_PREFIX}/images/{{name:.+}}/diff", diff, interruptible=True),
    ]
