"""``POST /build``: Docker's classic builder, as JSON on a stream.

Source: Docker Engine API v1.47, ``POST /build``; the texts are those of ``docker build`` with ``DOCKER_BUILDKIT=0``.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import contexts, failures, responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.build import BuildEvent, BuildOptions, events

# Query parameters that ask for what this builder does not do, with the values that ask for nothing.
_REFUSED = {
    "remote": ("",),
    "extrahosts": ("", "null", "[]"),
    "cachefrom": ("", "null", "[]"),
    "cpusetmems": ("",),
    "cgroupparent": ("",),
    "isolation": ("", "default"),
    "platform": ("", "linux", "linux/amd64", "linux/arm64"),
    "outputs": ("", "null", "[]"),
    "securityopt": ("", "null", "[]"),
    "ulimits": ("", "null", "[]"),
    "version": ("", "1"),
    **dict.fromkeys(("memswap", "cpushares", "cpusetcpus", "cpuperiod", "cpuquota", "shmsize"), ("", "0")),
}
_REFUSED_FLAGS = ("squash",)


async def build(call: Call) -> web.StreamResponse:
    """Take the context in, then stream the build; what fails before the first step has an HTTP status of its own."""
    options = _options(call)
    place = call.engine.root / "contexts"
    archive = await contexts.spool(call.request.content.iter_any(), place)
    with archive, contexts.directory(place) as context:
        await asyncio.to_thread(contexts.unpack, archive, context)
        build_events = call.engine.build(context, options)
        async with contextlib.aclosing(build_events):
            return await _stream(call, build_events, options)


async def _stream(call: Call, build_events: AsyncIterator[BuildEvent], options: BuildOptions) -> web.StreamResponse:
    first = await anext(build_events, None)
    response = await responses.stream(call, "application/json")
    try:
        if first is not None:
            await _tell(response, first, options, call.flag("q"))
        async for event in build_events:
            await _tell(response, event, options, call.flag("q"))
    except ConnectionError:
        raise  # the client went away
    except Exception as error:
        code = getattr(error, "exit_code", None) or failures.status_of(error)
        text = failures.message_of(error)
        await responses.write_json_line(response, {"errorDetail": {"code": code, "message": text}, "error": text})
    return response


async def _tell(response: web.StreamResponse, event: BuildEvent, options: BuildOptions, quiet: bool) -> None:
    """Write one event; a quiet build says its image's id and nothing else."""
    if isinstance(event, events.Built):
        await responses.write_json_line(response, {"aux": {"ID": event.image_id}})
        lines = [f"Successfully built {short(event.image_id)}\n"]
        lines += [f"Successfully tagged {tag}\n" for tag in event.tags]
        if quiet:
            lines = [f"{event.image_id}\n"]
    else:
        lines = [] if quiet else _lines(event)
    for line in lines:
        await responses.write_json_line(response, {"stream": line})


def _lines(event: BuildEvent) -> list[str]:
    """Return what the classic builder prints for an event."""
    if isinstance(event, events.Step):
        return [f"Step {event.n}/{event.total} : {event.text}\n"]
    if isinstance(event, events.CacheHit):
        return [" ---> Using cache\n"]
    if isinstance(event, events.Output):
        return [event.data.decode(errors="replace")]
    if isinstance(event, events.StepDone):
        return [f" ---> {short(event.image_id)}\n"] if event.image_id else []
    if isinstance(event, events.Warning):
        return [f"[Warning] {event.text}\n"]
    return []


def short(image_id: str) -> str:
    """Return the twelve digits by which people know an image."""
    return image_id.removeprefix("sha256:")[:12]


def _options(call: Call) -> BuildOptions:
    """Read the query.

    Raises:
        errors.InvalidArgument: A value makes no sense.
        errors.Unsupported: A parameter asks for something this builder does not do.
    """
    for name, nothing in _REFUSED.items():
        if call.text(name) not in nothing:
            hint = ": set DOCKER_BUILDKIT=0" if name == "version" else ""
            raise errors.Unsupported(f"the build parameter '{name}' is not supported: '{call.text(name)}'{hint}")
    for name in _REFUSED_FLAGS:
        if call.flag(name):
            raise errors.Unsupported(f"the build parameter '{name}' is not supported")
    return BuildOptions(
        dockerfile=call.text("dockerfile") or "Dockerfile",
        tags=tuple(tag for tag in call.texts("t") if tag),
        buildargs={name: value for name, value in call.string_map("buildargs").items() if value is not None},
        labels={name: value or "" for name, value in call.string_map("labels").items()},
        nocache=call.flag("nocache"),
        pull=call.flag("pull"),
        target=call.text("target"),
        rm=call.flag("rm", True) or call.flag("forcerm"),
        network_mode=call.text("networkmode") or "default",
        memory_bytes=call.integer("memory"),
    )


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("POST", "/build", build, interruptible=True)]
