"""``GET /system/df``: what takes room on the disk.

Source: Docker Engine API v1.47, ``GET /system/df``; what is not asked for is null.
"""

import asyncio

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import build_cache, image_documents, inspection, responses, volumes
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.images.snapshots import HOST_SNAPSHOT

TYPES = ("container", "image", "volume", "build-cache")
Json = dict[str, object]


async def usage(call: Call) -> web.Response:
    """Answer for all types, or for those asked for."""
    asked = call.texts("type") or list(TYPES)
    for kind in asked:
        if kind not in TYPES:
            raise errors.InvalidArgument(f"unknown object type: '{kind}': {', '.join(TYPES)} are known")
    return responses.json(
        {
            "LayersSize": await asyncio.to_thread(call.engine.usage.layers) if "image" in asked else 0,
            "Images": await _images(call) if "image" in asked else None,
            "Containers": await _containers(call) if "container" in asked else None,
            "Volumes": await _volumes(call) if "volume" in asked else None,
            "BuildCache": await build_cache.rows(call) if "build-cache" in asked else None,
        }
    )


async def _images(call: Call) -> list[Json]:
    found = [image for image in call.engine.images.list() if image.snapshot != HOST_SNAPSHOT]  # takes no room here
    shared = await asyncio.to_thread(call.engine.usage.shared, found)
    return [{**image_documents.summary(call, image), "SharedSize": shared[image.id]} for image in found]


async def _containers(call: Call) -> list[Json]:
    return [
        inspection.summary(call.engine, container, await call.engine.sizes.of(container))
        for container in reversed(call.engine.containers())
    ]


async def _volumes(call: Call) -> list[Json]:
    users = [
        mount.name for container in call.engine.containers() for mount in container.mounts if mount.kind == "volume"
    ]
    return [
        {
            **volumes.summary(volume),
            "UsageData": {
                "RefCount": users.count(volume.name),
                "Size": await asyncio.to_thread(call.engine.usage.volume, volume),
            },
        }
        for volume in call.engine.volumes.list()
        if not volume.driver_opts  # what those have lies elsewhere
    ]


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("GET", "/system/df", usage, interruptible=True)]
