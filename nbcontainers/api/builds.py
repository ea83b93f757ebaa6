"""``POST /build``: Docker's classic builder, as JSON on a stream.

Source: Docker Engine API v1.47, ``POST /build``; the texts are those of ``docker build`` with ``DOCKER_BUILDKIT=0``.

``version=2`` asks for BuildKit. It is the same builder, which does what BuildKit's Dockerfiles ask for; of the stream
only the message with the image's id is BuildKit's, the rest is what its clients show as it is.

Beside Docker's parameters there is ``cacheto``, a JSON list of places as ``--cache-to`` has them, and ``cachefrom``
takes places as ``--cache-from`` has them as well as names of images (see ``build.cachespecs``).

Each message of a step has, beside Docker's keys, ``nbcontainers``: the step's number and stage, and at its end when it
began and how long it took. Docker's clients ignore what they do not know.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import contexts, failures, pulls, registry_config, responses
from nbcontainers.api.calls import Call, decode
from nbcontainers.api.routing import Route
from nbcontainers.build import BuildEvent, BuildOptions, cachespecs, events
from nbcontainers.engine import limits
from nbcontainers.engine.configuration import HostConfig

_BUILDKIT = "2"
_IN_SESSION = "client-session"
# Query parameters that ask for what this builder does not do, with the values that ask for nothing, and why not.
_REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "cgroupparent": (("",), "steps belong to the engine's own group"),
    "isolation": (("", "default"), "it is for Windows"),
    "outputs": (("", "null", "[]"), "images are stored, and nothing else"),
    "securityopt": (("", "null", "[]"), "steps run with the default profile"),
    "ulimits": (("", "null", "[]"), "set limits in the step with ulimit"),
    "version": (("", "1", _BUILDKIT), "1 and 2 are known"),
}
SECRETS_ARG = "NBCONTAINERS_SECRETS"
"""The build argument that holds what ``POST /nbcontainers/v1/build/secrets`` has answered."""
CACHE_TO_ARG = "NBCONTAINERS_CACHE_TO"
"""The build argument that says where the cache goes, for clients that cannot give the query's ``cacheto``."""
_MOST_WAITING = 100
_RED, _PLAIN = b"\x1b[91m", b"\x1b[0m"


async def build(call: Call) -> web.StreamResponse:
    """Take the context in, then stream the build; what fails before the first step has an HTTP status of its own."""
    options = _options(call)
    with call.engine.builder.workspace() as context:
        if remote := call.text("remote"):
            if remote == _IN_SESSION:
                raise errors.Unsupported("a build's context from a session is not supported, set DOCKER_BUILDKIT=0")
            options = replace(options, dockerfile=await contexts.fetch(remote, context, options.dockerfile))
        else:
            await contexts.receive(call.request.content.iter_any(), context)
        build_events = call.engine.build(context, options)
        async with contextlib.aclosing(build_events):
            return await _stream(call, build_events)


async def _stream(call: Call, build_events: AsyncIterator[BuildEvent]) -> web.StreamResponse:
    first = await anext(build_events, None)
    response = await responses.stream(call, "application/json")
    teller = _Teller(response, quiet=call.flag("q"), buildkit=call.text("version") == _BUILDKIT)
    try:
        if first is not None:
            await teller.tell(first)
        async for event in build_events:
            await teller.tell(event)
        await teller.flush()
    except ConnectionError:
        raise  # the client went away
    except Exception as raw:
        line = failures.in_stream(raw, call.engine.root, coded=True)
        await teller.flush()
        await responses.write_json_line(response, line)
    finally:
        await teller.close()
    await response.write_eof()  # the client need not wait for the context to be taken away
    return response


class _Teller:
    """Writes events as the classic builder does; a quiet build says its image's id and nothing else."""

    def __init__(self, response: web.StreamResponse, *, quiet: bool, buildkit: bool) -> None:
        self._response = response
        self._quiet = quiet
        self._image: dict[str, object] = {"id": "moby.image.id"} if buildkit else {}
        self._step: dict[str, object] = {}
        self._waiting: list[bytes] = []
        self._writing: asyncio.Task[None] | None = None

    async def tell(self, event: BuildEvent) -> None:
        """Write one event."""
        if isinstance(event, events.Built):
            await self._write({**self._image, "aux": {"ID": event.image_id}})
            lines = [f"Successfully built {short(event.image_id)}\n"]
            lines += [f"Successfully tagged {tag}\n" for tag in event.tags]
            for line in [f"{event.image_id}\n"] if self._quiet else lines:
                await self._write({"stream": line})
        elif isinstance(event, events.Pulling):
            for told in [] if self._quiet else pulls.lines(event.event):
                await self._write(told)
        elif not self._quiet:
            if isinstance(event, events.Step):
                self._step = {"step": event.n, "stage": event.stage}
            lines = _lines(event)
            for number, line in enumerate(lines, 1):
                message: dict[str, object] = {"stream": line, "nbcontainers": self._step}
                if isinstance(event, events.StepDone) and number == len(lines):
                    times = {"began_ms": event.began_ms, "ms": event.ms, "cached": event.cached}
                    message["nbcontainers"] = {**self._step, **times}
                await self._write(message)

    async def _write(self, message: dict[str, object]) -> None:
        """Have a message written, together with what is told in the same moment."""
        self._waiting.append(responses.encode(message) + b"\r\n")
        if len(self._waiting) > _MOST_WAITING:
            await self.flush()
        elif self._writing is None:
            self._writing = asyncio.ensure_future(self._write_waiting())

    async def _write_waiting(self) -> None:
        while self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            await self._response.write(data)
        self._writing = None

    async def flush(self) -> None:
        """Wait until everything is written.

        Raises:
            ConnectionError: The client went away.
        """
        while self._writing is not None:
            await self._writing

    async def close(self) -> None:
        """Write no more."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])


def _lines(event: BuildEvent) -> list[str]:
    """Return what the classic builder prints for an event."""
    match event:
        case events.Step():
            return [f"Step {event.n}/{event.total} : {event.text}\n"]
        case events.Triggers():
            return [f"# Executing {event.count} build trigger{'s' if event.count > 1 else ''}\n"]
        case events.CacheHit():
            return [" ---> Using cache\n"]
        case events.Running():
            return [f" ---> Running in {event.container}\n"]
        case events.Output():
            data = event.data if event.stream == "stdout" else _RED + event.data + _PLAIN
            return [data.decode(errors="replace")]
        case events.StepDone():
            gone = [f"Removing intermediate container {event.container}\n"] if event.container else []
            return [*gone, f" ---> {event.result}\n"] if event.result else []
        case events.Warning():
            place = f" (line {event.line})" if event.line else ""
            return [f"[Warning] {event.rule + ': ' if event.rule else ''}{event.text}{place}\n"]
        case events.Note():
            return [f"{event.text}\n"]
        case events.Built() | events.Pulling():
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
    for name, (nothing, reason) in _REFUSED.items():
        if call.text(name) not in nothing:
            raise errors.Unsupported(f"the build parameter '{name}' is not supported: '{call.text(name)}': {reason}")
    if call.flag("squash"):
        raise errors.Unsupported("squash is not supported: copy what is wanted into a last stage instead")
    buildargs = call.string_map("buildargs")
    token = buildargs.pop(SECRETS_ARG, None)
    asked = _limits(call)
    limits.check(asked)
    return BuildOptions(
        dockerfile=call.text("dockerfile").lstrip("/") or "Dockerfile",
        tags=tuple(tag for tag in call.texts("t") if tag),
        buildargs=buildargs,
        labels={name: value or "" for name, value in call.string_map("labels").items()},
        nocache=call.flag("nocache"),
        cache_from=cachespecs.sources(_list(call, "cachefrom")),
        cache_to=cachespecs.targets([*_list(call, "cacheto"), *_of_argument(buildargs.pop(CACHE_TO_ARG, None))]),
        target=call.text("target"),
        platform=call.text("platform"),
        network_mode=call.text("networkmode") or "default",
        resources=limits.resources(asked, swap_limit=call.engine.swap_limit),
        shm_bytes=asked.shm_size_bytes,
        extra_hosts=_extra_hosts(call),
        pull=call.flag("pull"),
        logins=registry_config.logins(call),
        secrets=call.engine.secrets.take(token) if token else {},
    )


def _limits(call: Call) -> HostConfig:
    return HostConfig(
        memory_bytes=call.integer("memory"),
        memory_swap_bytes=call.integer("memswap"),
        cpu_shares=call.integer("cpushares"),
        cpu_period_usec=call.integer("cpuperiod"),
        cpu_quota_usec=call.integer("cpuquota"),
        cpuset_cpus=call.text("cpusetcpus"),
        cpuset_mems=call.text("cpusetmems"),
        shm_size_bytes=call.integer("shmsize"),
    )


def _list(call: Call, name: str) -> list[str]:
    """Return a query value that is a JSON list of texts, or nothing."""
    text = call.text(name)
    return decode(text.encode(), list[str] | None, name) or [] if text else []  # type: ignore[arg-type]


def _of_argument(text: str | None) -> list[str]:
    """Return what a build argument says that is a JSON list of texts, or one of them."""
    if not text:
        return []
    return decode(text.encode(), list[str], CACHE_TO_ARG) if text.startswith("[") else [text]


def _extra_hosts(call: Call) -> tuple[str, ...]:
    """Return more names of hosts: a value each, or all in one as a JSON list."""
    found: list[str] = []
    for text in call.texts("extrahosts"):
        if text.startswith("[") or text == "null":
            found += decode(text.encode(), list[str] | None, "extrahosts") or []  # type: ignore[arg-type]
        elif text:
            found.append(text)
    for entry in found:
        name, separator, address = entry.replace("=", ":", 1).partition(":")
        if not separator or not name or not address:
            raise errors.InvalidArgument(f"bad format for add-host: '{entry}': name:address is wanted")
    return tuple(found)


async def secrets(call: Call) -> web.Response:
    """``POST /build/secrets``: keep secrets, in memory only, for the one build that names the answer's token."""
    given = await call.body(dict[str, bytes])
    return responses.json({"Token": call.engine.secrets.keep(given)})


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("POST", "/build", build, interruptible=True),
        Route("POST", "/nbcontainers/v1/build/secrets", secrets),
    ]
