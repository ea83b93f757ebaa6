"""All endpoints, in the order in which they are tried."""

from nbcontainers.api import (
    archive,
    attach,
    attach_socket,
    build_cache,
    builds,
    captures,
    containers,
    distribution,
    events,
    exec,
    extensions,
    image_archives,
    images,
    layers,
    logs,
    networks,
    prune,
    pushes,
    registry_auth,
    shaping,
    stats,
    system,
    topology,
    unsupported,
    updates,
    usage,
    volume_files,
    volumes,
)
from nbcontainers.api.routing import Route

_ROOMS = (
    system,
    events,
    containers,
    archive,
    exec,
    logs,
    attach,
    attach_socket,
    build_cache,
    stats,
    updates,
    image_archives,
    usage,
    distribution,
    images,
    builds,
    networks,
    prune,
    pushes,
    registry_auth,
    volumes,
    volume_files,
    extensions,
    shaping,
    captures,
    layers,
    topology,
    unsupported,
)


def routes() -> list[Route]:
    """Return every route; what is not built stands last, so that a path of its own goes before a pattern."""
    return [route for room in _ROOMS for route in room.routes()]
