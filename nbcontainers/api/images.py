"""The endpoints of images, but for building them (see ``builds``)."""

from aiohttp import web

from nbcontainers.api import image_archives, image_documents, pulls, responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.images import history as steps


async def list_images(call: Call) -> web.Response:
    """``GET /images/json``."""
    return responses.json([image_documents.summary(call, image) for image in image_documents.selected(call)])


async def inspect(call: Call) -> web.Response:
    """``GET /images/{name}/json``."""
    return responses.json(image_documents.inspect(call, call.engine.images.get(call.parameters["name"])))


async def history(call: Call) -> web.Response:
    """``GET /images/{name}/history``: the newest layer first."""
    rows = steps.history(call.engine.images, call.parameters["name"])
    return responses.json(
        [
            {
                "Id": row.id,
                "Created": row.created_ns // 10**9,
                "CreatedBy": row.created_by,
                "Tags": row.tags or None,
                "Size": row.size_bytes,
                "Comment": row.comment,
            }
            for row in rows
        ]
    )


async def tag(call: Call) -> web.Response:
    """``POST /images/{name}/tag``."""
    call.engine.tagging.tag(call.parameters["name"], image_archives.reference(call))
    return responses.empty(201)


async def remove(call: Call) -> web.Response:
    """``DELETE /images/{name}``."""
    done = await call.engine.tagging.remove(
        call.parameters["name"], force=call.flag("force"), prune=not call.flag("noprune")
    )
    return responses.json([{action: what} for action, what in done])


async def create(call: Call) -> web.StreamResponse:
    """``POST /images/create``: pull an image (``fromImage``), or import a root file system (``fromSrc``)."""
    return await (pulls.pull(call) if _is_pull(call) else image_archives.import_image(call))


def _is_pull(call: Call) -> bool:
    """Say whether an image is to be pulled; that ends when the client goes away, as in Docker."""
    return bool(call.text("fromImage"))


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/images/json", list_images, interruptible=True),
        Route("POST", "/images/create", create, interruptible=_is_pull),
        Route("GET", "/images/{name:.+}/json", inspect, interruptible=True),
        Route("GET", "/images/{name:.+}/history", history, interruptible=True),
        Route("POST", "/images/{name:.+}/tag", tag),
        Route("DELETE", "/images/{name:.+}", remove),
    ]
