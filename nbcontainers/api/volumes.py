"""The endpoints of volumes."""

import asyncio

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses, times
from nbcontainers.api.calls import Call
from nbcontainers.api.filters import labels_match
from nbcontainers.api.routing import Route
from nbcontainers.api.wire import requests as wire
from nbcontainers.engine.names import new_id
from nbcontainers.volumes import Volume

VOLUME_FILTERS = frozenset(("dangling", "driver", "label", "name"))


def summary(volume: Volume) -> dict[str, object]:
    """Return one volume in Docker's JSON."""
    return {
        "CreatedAt": times.rfc3339(volume.created_ns),
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": str(volume.mountpoint),
        "Name": volume.name,
        "Options": volume.driver_opts,
        "Scope": "local",
    }


async def list_volumes(call: Call) -> web.Response:
    """``GET /volumes``."""
    asked = call.filters(VOLUME_FILTERS)
    for value in asked.get("dangling", ()):
        if value.lower() not in ("0", "1", "true", "false"):
            raise errors.InvalidArgument(f"invalid filter 'dangling=[{value}]': true or false is wanted")
    used = _used(call)
    found = []
    for volume in call.engine.volumes.list():
        if "name" in asked and not any(name in volume.name for name in asked["name"]):
            continue
        if "driver" in asked and "local" not in asked["driver"]:
            continue
        if "dangling" in asked and (volume.name in used) == (asked["dangling"][0].lower() in ("1", "true")):
            continue
        if labels_match(volume.labels, asked.get("label", [])):
            found.append(summary(volume))
    return responses.json({"Volumes": found, "Warnings": None})


async def create(call: Call) -> web.Response:
    """``POST /volumes/create``: a name that is there already is not an error, as in Docker."""
    body = await call.body(wire.VolumeCreateRequest)
    if body.driver not in (None, "", "local"):
        raise errors.NotFound(
            f"create {body.name or new_id()}: error looking up volume plugin {body.driver}: "
            f'plugin "{body.driver}" not found'
        )
    if body.cluster_volume_spec:
        raise errors.Unsupported("cluster volumes are not supported")
    volumes = call.engine.volumes
    try:
        volume = volumes.get(body.name or "")
    except (errors.NotFound, errors.InvalidArgument):
        volume = await asyncio.to_thread(
            volumes.create, body.name or None, labels=body.labels or {}, driver_opts=body.driver_opts or {}
        )
        call.engine.telling.tell_volume(volume.name, "create")
    return responses.json(summary(volume), 201)


async def inspect(call: Call) -> web.Response:
    """``GET /volumes/{name}``."""
    return responses.json(summary(call.engine.volumes.get(call.parameters["name"])))


async def remove(call: Call) -> web.Response:
    """``DELETE /volumes/{name}``."""
    name = call.parameters["name"]
    if name in (used := _used(call)):
        raise errors.Conflict(f"remove {name}: volume is in use - [{used[name]}]")
    try:
        await asyncio.to_thread(call.engine.volumes.remove, name)
    except errors.NotFound:
        if not call.flag("force"):
            raise
    else:
        call.engine.telling.tell_volume(name, "destroy")
    return responses.empty()


def _used(call: Call) -> dict[str, str]:
    """Return the volumes that containers refer to, with one container each."""
    return {
        mount.name: container.id
        for container in call.engine.containers()
        for mount in container.mounts
        if mount.kind == "volume"
    }


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/volumes", list_volumes, interruptible=True),
        Route("POST", "/volumes/create", create),
        Route("GET", "/volumes/{name}", inspect, interruptible=True),
        Route("DELETE", "/volumes/{name}", remove),
    ]
