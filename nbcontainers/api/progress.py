"""How far something is, as Docker's streams tell it: numbers for programs, and a bar for people.

Source: Docker Engine API v1.47, ``ProgressDetail``; moby, pkg/jsonmessage, for the bar.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Generic, TypeVar

from aiohttp import web

from nbcontainers.api import failures, responses

_BAR = 50
Json = dict[str, object]
T = TypeVar("T")


class Work(Generic[T]):
    """Something that is being done, and tells how far it is; see ``working``."""

    def __init__(self, begin: Callable[[Callable[[T], None]], Coroutine[Any, Any, object]]) -> None:
        self._events: asyncio.Queue[T | None] = asyncio.Queue()
        self.task = asyncio.ensure_future(begin(self._events.put_nowait))
        self.task.add_done_callback(lambda _: self._events.put_nowait(None))

    async def next(self) -> T | None:
        """Return what is told next; None at the end."""
        return await self._events.get()

    async def relay(
        self, response: web.StreamResponse, event: T | None, lines: Callable[[T], list[Json]], root: object
    ) -> None:
        """Write what is told to the end, and why it has failed if it has; what has come meanwhile goes in one piece.

        Args:
            response: A stream that has begun.
            event: What was told already; the rest follows.
            lines: Returns what a stream says of an event.
            root: The engine's directory.
        """
        while event is not None:
            said: list[Json] = []
            while event is not None:
                said += lines(event)
                if self._events.empty():
                    break
                event = self._events.get_nowait()
            await response.write(b"".join(responses.encode(line) + b"\r\n" for line in said))
            if event is not None:
                event = await self.next()
        try:
            await self.task
        except Exception as raw:
            await responses.write_json_line(response, failures.in_stream(raw, root))


@contextlib.asynccontextmanager
async def working(begin: Callable[[Callable[[T], None]], Coroutine[Any, Any, object]]) -> AsyncIterator[Work[T]]:
    """Have something done until it ends, or until nobody looks on any more: the client has gone away.

    Args:
        begin: Does it, and calls what it is given to tell how far it is.
    """
    work = Work(begin)
    try:
        yield work
    finally:
        work.task.cancel()
        await asyncio.gather(work.task, return_exceptions=True)


def line(status: str, name: str, current: int | None = None, total: int | None = None) -> Json:
    """Return one message of a stream.

    Args:
        status: What is being done.
        name: What to, such as the beginning of a layer's digest.
        current: How many bytes of it are done, None where that says nothing.
        total: How many there are.
    """
    if current is None or total is None:
        return {"status": status, "progressDetail": {}, "id": name}
    share = min(current / total, 1.0) if total else 1.0
    arrow = f"{'=' * int(share * _BAR)}>".ljust(_BAR)
    bar = f"[{arrow}] {size(current):>8}/{size(total)}"
    return {"status": status, "progressDetail": {"current": current, "total": total}, "progress": bar, "id": name}


def size(value: float) -> str:
    """Return a size as Docker has it: four digits, decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.4g}{unit}"
        value /= 1000
    return f"{value:.4g}TB"
