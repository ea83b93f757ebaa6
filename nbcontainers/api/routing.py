"""From method, path and API version to a handler, and from whatever it raises to an answer.

A table of our own rather than aiohttp's application: every path exists with and without a version in front, image names
hold slashes, and a request costs two dictionary look-ups and a few regular expressions.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import failures, responses
from nbcontainers.api.calls import Call

if TYPE_CHECKING:
    from nbcontainers.engine.engine import Engine

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

_VERSIONED = re.compile(r"/v(\d{1,3})\.(\d{1,3})(/.*)")


class Route(NamedTuple):
    """One endpoint.

    Args:
        method: HTTP method.
        pattern: Path without a version; ``{name}`` stands for one segment, ``{name:.+}`` for any.
        handler: Answers it.
        interruptible: Whether the work may be dropped when the client goes away (streams, waits, plain reads), or who
            says so of a request; everything else is finished first, so that a half-done change never stays.
    """

    method: str
    pattern: str
    handler: Handler
    interruptible: bool | Callable[[Call], bool] = False


class _Entry(NamedTuple):
    method: str
    match: Callable[[str], re.Match[str] | None]
    route: Route


class Router:
    """Dispatches requests to handlers.

    Args:
        engine: The engine that handlers ask.
        routes: All endpoints; where two fit, the first one counts.
    """

    def __init__(self, engine: "Engine", routes: list[Route]) -> None:
        self._engine = engine
        self._entries: dict[str, list[_Entry]] = {}
        self._unfinished: set[asyncio.Future[web.StreamResponse]] = set()
        for route in routes:
            first = route.pattern.split("/")[1]
            expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.pattern)
            expression = re.sub(r"\{(\w+):([^}]+)\}", r"(?P<\1>\2)", expression)
            entry = _Entry(route.method, re.compile(expression).fullmatch, route)
            self._entries.setdefault(first, []).append(entry)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever happens."""
        try:
            version, path = split_version(request.path)
            route, parameters = self._find(request.method, path)
            call = Call(self._engine, request, parameters, version)
            if route.interruptible is True or (route.interruptible and route.interruptible(call)):
                return await route.handler(call)
            response = await self._finished(route.handler(call))
            if call.afterwards is not None:  # the answer is written before the loop comes to this
                asyncio.get_running_loop().call_soon(call.afterwards)
            return response
        except asyncio.CancelledError:
            raise
        except ConnectionError:
            raise  # the client went away in the middle of a stream; aiohttp closes the connection
        except Exception as raw:
            error = failures.explained(raw, getattr(self._engine, "root", ""))
            if responses.STREAMING in request:
                failures.message_of(error)
                raise ConnectionAbortedError("the stream broke off") from raw
            return responses.message(failures.status_of(error), failures.message_of(error))

    async def _finished(self, work: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        """Do work that goes on when its client goes away; the event loop alone would not keep it alive."""
        task = asyncio.ensure_future(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_note_failure)
            raise

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        segments = path.split("/", 2)
        for entry in self._entries.get(segments[1], ()) if len(segments) > 1 else ():
            if entry.method == method and (found := entry.match(path)):
                return entry.route, found.groupdict()
        raise errors.NotFound("page not found")


def _note_failure(task: "asyncio.Future[web.StreamResponse]") -> None:
    """Log why work has failed that nobody waits for any more; that its client is gone is no news."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ConnectionError):
        failures.message_of(error)


def split_version(path: str) -> tuple[tuple[int, int], str]:
    """Split ``/v1.47/info`` into version and path; without a version it is the newest.

    Raises:
        errors.InvalidArgument: This engine does not speak that version; the words are Docker's.
    """
    newest, oldest = _numbers(responses.API_VERSION), _numbers(responses.MINIMUM_API_VERSION)
    found = _VERSIONED.fullmatch(path)
    if found is None:
        return newest, path
    version = (int(found[1]), int(found[2]))
    text = f"{version[0]}.{version[1]}"
    if version < oldest:
        raise errors.InvalidArgument(
            f"client version {text} is too old. Minimum supported API version is {responses.MINIMUM_API_VERSION}, "
            f"please upgrade your client to a newer version"
        )
    if version > newest:
        raise errors.InvalidArgument(
            f"client version {text} is too new. Maximum supported API version is {responses.API_VERSION}"
        )
    return version, found[3]


def _numbers(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)
