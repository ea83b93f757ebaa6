"""The endpoints that make, list, change and end containers."""

import asyncio
from functools import partial

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import creation, filters, inspection, responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.api.wire import requests as wire
from nbcontainers.engine.model import ContainerState
from nbcontainers.images import platforms

_PS = "/bin/ps"  # the host's: names of users are the host's too, as with Docker


async def list_containers(call: Call) -> web.Response:
    """``GET /containers/json``: the newest first; only those that run unless asked otherwise."""
    asked = filters.Containers(call)
    found = [container for container in reversed(call.engine.containers()) if asked.match(container)]
    limit = call.integer("limit", -1)
    if limit > 0:
        found = found[:limit]
    sizes = [await call.engine.sizes.of(container) if call.flag("size") else None for container in found]
    rows = [inspection.summary(call.engine, container, size) for container, size in zip(found, sizes, strict=True)]
    for container, row in zip(found, rows, strict=True):
        row["Names"] = [f"/{container.name}", *call.engine.networking.link_names(container)]
    return responses.json(rows)


async def create(call: Call) -> web.Response:
    """``POST /containers/create``."""
    body = await call.body(wire.CreateRequest)
    if body.image:
        _check_platform(call, body.image)
    config, host_config = creation.configuration(body, call.version)
    endpoints = creation.endpoints(body, host_config.network_mode)
    try:
        container, warnings = await call.engine.create(call.text("name"), config, host_config, endpoints)
    except errors.NoSuchContainer as error:
        # One whose namespaces or volumes are to be shared. To docker's CLI 404 means that the image is missing.
        raise errors.InvalidArgument(str(error)) from error
    call.afterwards = partial(call.engine.anticipate, container)
    return responses.json({"Id": container.id, "Warnings": warnings}, 201)


def _check_platform(call: Call, name: str) -> None:
    """Refuse an image for another machine than the client asks for.

    Raises:
        errors.InvalidArgument: What the client asks for is no platform.
        errors.NotFound: The image is missing, or for another one: on this docker's CLI pulls, with the platform.
    """
    if not (text := call.text("platform")):
        return
    wanted, config = platforms.parse(text), call.engine.images.get(name).config
    actual = platforms.normal(config.os, config.architecture, config.variant)
    if config.architecture and actual not in platforms.runnable(wanted):
        raise errors.NotFound(
            f"image with reference {name} was found but does not match the specified platform: "
            f"wanted {wanted}, actual: {actual}"
        )


async def inspect(call: Call) -> web.Response:
    """``GET /containers/{id}/json``."""
    container = call.engine.container(call.parameters["id"])
    sizes = await call.engine.sizes.of(container) if call.flag("size") else None
    return responses.json(inspection.inspect(call.engine, container, call.version, sizes))


async def start(call: Call) -> web.Response:
    """``POST /containers/{id}/start``."""
    if call.text("checkpoint"):
        raise errors.Unsupported("checkpoints are not supported")
    await call.engine.start_container(call.parameters["id"])
    return responses.empty()


async def stop(call: Call) -> web.Response:
    """``POST /containers/{id}/stop``."""
    await call.engine.stop(
        call.parameters["id"], signal=call.text("signal"), timeout_seconds=call.optional_integer("t")
    )
    return responses.empty()


async def restart(call: Call) -> web.Response:
    """``POST /containers/{id}/restart``."""
    await call.engine.restart(
        call.parameters["id"], signal=call.text("signal"), timeout_seconds=call.optional_integer("t")
    )
    return responses.empty()


async def kill(call: Call) -> web.Response:
    """``POST /containers/{id}/kill``."""
    await call.engine.kill(call.parameters["id"], call.text("signal") or "SIGKILL")
    return responses.empty()


async def pause(call: Call) -> web.Response:
    """``POST /containers/{id}/pause``."""
    await call.engine.pause(call.parameters["id"])
    return responses.empty()


async def unpause(call: Call) -> web.Response:
    """``POST /containers/{id}/unpause``."""
    await call.engine.unpause(call.parameters["id"])
    return responses.empty()


async def rename(call: Call) -> web.Response:
    """``POST /containers/{id}/rename``."""
    if not call.text("name"):
        raise errors.InvalidArgument("neither old nor new names may be empty")
    await call.engine.rename(call.parameters["id"], call.text("name"))
    return responses.empty()


async def remove(call: Call) -> web.Response:
    """``DELETE /containers/{id}``."""
    if call.flag("link"):
        raise errors.NotFound(f"cannot remove the link '{call.parameters['id']}': container/alias is wanted")
    await call.engine.remove(call.parameters["id"], force=call.flag("force"), volumes=call.flag("v"))
    return responses.empty()


async def unlink(call: Call) -> web.Response:
    """``DELETE /containers/{id}/{alias}?link=1``: a container's other name for another one is removed."""
    if not call.flag("link"):
        raise errors.NoSuchContainer(f"{call.parameters['id']}/{call.parameters['alias']}")
    call.engine.networking.unlink(call.engine.container(call.parameters["id"]), call.parameters["alias"])
    return responses.empty()


async def resize(call: Call) -> web.Response:
    """``POST /containers/{id}/resize``."""
    call.engine.resize(call.parameters["id"], rows=call.integer("h"), columns=call.integer("w"))
    return responses.empty(200)


async def wait(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/wait``: the head is sent at once, when the wait has begun.

    The docker CLI starts the container only after it has seen the head, so that no exit is missed.
    """
    container = call.engine.container(call.parameters["id"])
    waiting = asyncio.ensure_future(call.engine.wait(container.id, call.text("condition") or "not-running"))
    await asyncio.sleep(0)  # lets the wait begin, so that it is in force before the client goes on
    try:
        if waiting.done():
            return responses.raw_json(_exit(waiting.result()))
        response = await responses.stream(call, "application/json")
        await response.write(_exit(await waiting))
        return response
    finally:
        waiting.cancel()


def _exit(state: ContainerState) -> bytes:
    return responses.encode({"StatusCode": state.exit_code}) + b"\n"


async def top(call: Call) -> web.Response:
    """``GET /containers/{id}/top``: the container's processes, as the host's ``ps`` shows them."""
    container = call.engine.container(call.parameters["id"])
    processes = set(call.engine.processes(container.id))
    arguments = call.text("ps_args").split() or ["-ef"]
    child = await asyncio.create_subprocess_exec(
        _PS,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaint = await child.communicate()
    if child.returncode:
        first = complaint.decode(errors="replace").strip().partition("\n")[0].removeprefix("error: ")
        raise errors.InvalidArgument(f"ps: {first}: '{' '.join(arguments)}'")
    call.engine.tell(container, "top")
    titles, rows = _table(output.decode(errors="replace"))
    if "PID" not in titles:
        raise errors.InvalidArgument(f"couldn't find PID field in ps output of '{' '.join(arguments)}'")
    place = titles.index("PID")
    return responses.json({"Titles": titles, "Processes": [row for row in rows if int(row[place]) in processes]})


def _table(text: str) -> tuple[list[str], list[list[str]]]:
    """Split what ``ps`` prints; the last column may hold spaces."""
    first, *lines = text.splitlines()
    titles = first.split()
    return titles, [line.split(None, len(titles) - 1) for line in lines if line.strip()]


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/containers/json", list_containers, interruptible=True),
        Route("POST", "/containers/create", create),
        Route("GET", "/containers/{id}/json", inspect, interruptible=True),
        Route("GET", "/containers/{id}/top", top, interruptible=True),
        Route("POST", "/containers/{id}/start", start),
        Route("POST", "/containers/{id}/stop", stop),
        Route("POST", "/containers/{id}/restart", restart),
        Route("POST", "/containers/{id}/kill", kill),
        Route("POST", "/containers/{id}/pause", pause),
        Route("POST", "/containers/{id}/unpause", unpause),
        Route("POST", "/containers/{id}/rename", rename),
        Route("POST", "/containers/{id}/resize", resize),
        Route("POST", "/containers/{id}/wait", wait, interruptible=True),
        Route("DELETE", "/containers/{id}", remove),
        Route("DELETE", "/containers/{id}/{alias}", unlink),
    ]
