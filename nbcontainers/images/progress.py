"""Something that takes long, and tells how far it is while it is being done."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Work(Generic[T]):
    """Something that is being done, and tells how far it is; see ``working``."""

    def __init__(self, begin: Callable[[Callable[[T], None]], Awaitable[object]]) -> None:
        self._events: asyncio.Queue[T | None] = asyncio.Queue()
        self.task = asyncio.ensure_future(begin(self._events.put_nowait))
        self.task.add_done_callback(lambda _: self._events.put_nowait(None))

    async def next(self) -> T | None:
        """Return what is told next; None at the end."""
        return await self._events.get()

    @property
    def has_news(self) -> bool:
        """Whether ``next`` has something to return at once."""
        return not self._events.empty()


@contextlib.asynccontextmanager
async def working(begin: Callable[[Callable[[T], None]], Awaitable[object]]) -> AsyncIterator[Work[T]]:
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
