"""``POST /images/{name}/push``: push an image, with a line for each layer on its way; what fails is told in the stream.

Source: Docker Engine API v1.47, ``POST /images/{name}/push``; moby, distribution/push_v2.go, for what is told.
"""

from functools import partial

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import progress, registry_auth, responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.engine.pushes import Asked, PushEvent
from nbcontainers.images.fetching import LayerState
from nbcontainers.images.progress import working
from nbcontainers.images.pushing import Pushed
from nbcontainers.images.references import is_digest, locate, normalize


async def push(call: Call) -> web.StreamResponse:
    """Push an image, or all of a repository's; when the client goes away, that ends."""
    asked = _asked(call)
    location = locate(asked.name)
    async with working(partial(call.engine.pushes.push, asked)) as work:
        response = await responses.stream(call, "application/json")
        full = f"{location.registry}/{location.repository}"
        await responses.write_json_line(response, {"status": f"The push refers to repository [{full}]"})
        await progress.relay(work, response, await work.next(), lines, call.engine.root)
        return response


def _asked(call: Call) -> Asked:
    """Read the request.

    Raises:
        errors.InvalidReference: The name is none.
        errors.InvalidArgument: It has a digest.
    """
    name, tag = call.parameters["name"], call.text("tag")
    if is_digest(normalize(name)) or ":" in tag:
        raise errors.InvalidArgument("cannot push a digest reference")
    head, colon, last = name.rpartition(":")
    if colon and "/" not in last:
        name, tag = head, tag or last
    return Asked(name=name, tag=tag, credentials=registry_auth.credentials(call))


def lines(event: PushEvent) -> list[progress.Json]:
    """Return what a stream says of an event."""
    match event:
        case LayerState():
            return [progress.line(event.status, event.name, event.current, event.total)]
        case Pushed():
            said = f"{event.tag}: digest: {event.digest} size: {event.size}"
            aux = {"Tag": event.tag, "Digest": event.digest, "Size": event.size}
            return [{"status": said}, {"progressDetail": {}, "aux": aux}]


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("POST", "/images/{name:.+}/push", push, interruptible=True)]
