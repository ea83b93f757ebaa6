"""``POST /images/create?fromImage=``: pull an image, with a line for each layer on its way.

What the registry refuses has an HTTP status of its own; once the image was found, what goes wrong is told in the
stream.

Source: Docker Engine API v1.47, ``POST /images/create``; moby, distribution/pull_v2.go, for what is told.
"""

from functools import partial

from aiohttp import web

from nbcontainers.api import progress, registry_auth, responses
from nbcontainers.api.calls import Call
from nbcontainers.engine.pulls import Asked
from nbcontainers.images import platforms
from nbcontainers.images.fetching import LayerState
from nbcontainers.images.progress import working
from nbcontainers.images.pulling import Finished, Found, PullEvent, Stored
from nbcontainers.images.references import DEFAULT_TAG


async def pull(call: Call) -> web.StreamResponse:
    """Pull an image, or all of a repository's; when the client goes away, that ends."""
    asked = _asked(call)
    async with working(partial(call.engine.pulls.pull, asked)) as work:
        first = await work.next()
        if first is None:
            await work.task  # it has failed before the image was found
        response = await responses.stream(call, "application/json")
        await progress.relay(work, response, first, lines, call.engine.root)
        return response


def _asked(call: Call) -> Asked:
    """Read the query.

    Raises:
        errors.InvalidReference: The name is none.
        errors.InvalidArgument: The platform is none.
    """
    name, tag, text = call.text("fromImage").removesuffix(":"), call.text("tag"), call.text("platform")
    reference = name if not tag else f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"
    has_mark = "@" in reference or ":" in reference.rpartition("/")[2]
    return Asked(
        reference=reference if has_mark else f"{reference}:{DEFAULT_TAG}",
        everything=not has_mark,
        platform=platforms.parse(text) if text else platforms.this(),
        credentials=registry_auth.credentials(call),
    )


def lines(event: PullEvent) -> list[progress.Json]:
    """Return what a stream says of an event."""
    match event:
        case LayerState():
            return [progress.line(event.status, event.name, event.current, event.total)]
        case Found():
            location = event.location
            name = f"{location.registry}/{location.repository}@{location.digest}" if location.digest else location.tag
            return [{"status": f"Pulling from {location.repository}", "id": name}]
        case Stored():
            return [{"status": f"Digest: {event.digest}"}]
        case Finished():
            what = "Downloaded newer image" if event.is_new else "Image is up to date"
            return [{"status": f"Status: {what} for {event.name}"}]
