"""What goes on between this engine and registries, so that it ends with its client, and with the engine."""

import asyncio
from collections.abc import Coroutine

from nbcontainers.images.fetching import ended


class Transfers:
    """The pulls, or the pushes, that are going on."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[None]] = set()

    async def run(self, work: Coroutine[object, object, None]) -> None:
        """Do some work; when the caller is cancelled it has been stopped, and has cleaned up, as this returns."""
        running = asyncio.ensure_future(work)
        self._running.add(running)
        try:
            await running
        finally:
            self._running.discard(running)
            running.cancel()
            await ended(running)

    async def stop(self) -> None:
        """Stop all that is going on."""
        for running in list(self._running):
            running.cancel()
            await ended(running)
