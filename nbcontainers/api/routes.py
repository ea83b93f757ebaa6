"""All endpoints, in the order in which they are tried."""

from nbcontainers.api import (
    archive,
    attach,
    builds,
    containers,
    extensions,
    image_archives,
    images,
    logs,
    networks,
    stats,
    system,
    unsupported,
    updates,
    volumes,
)
from nbcontainers.api.routing import Route

_ROOMS = (
    system,
    containers,
    archive,
    logs,
    attach,
    stats,
    updates,
    image_archives,
    images,
    builds,
    networks,
    volumes,
    extensions,
    unsupported,
)


def routes() -> list[Route]:
    """Return every route; what is not built stands last, so that a path of its own goes before a pattern."""
    return [route for room in _ROOMS for route in room.routes()]
