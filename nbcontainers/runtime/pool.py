"""Prepared processes of one kind: so many kept, each given to whoever has waited longest."""

import asyncio
import socket
from collections import deque


class Pool:
    """The prepared processes of one kind, each by the socket that leads to it.

    Args:
        kind: As ``protocol`` names it.
        keep: How many should lie ready.
    """

    def __init__(self, kind: str, keep: int) -> None:
        self.kind = kind
        self.keep = keep
        self.asked = 0
        self._ready: deque[socket.socket] = deque()
        self._waiting: deque[asyncio.Future[socket.socket | None]] = deque()

    def __bool__(self) -> bool:
        """Say whether one lies ready."""
        return bool(self._ready)

    def take(self) -> socket.socket:
        """Return one that lies ready."""
        return self._ready.popleft()

    def missing(self) -> int:
        """Return how many should be made so that enough lie ready."""
        return max(0, self.keep - len(self._ready) - self.asked + len(self._waiting))

    def lacks_for_waiting(self) -> bool:
        """Say whether one more that waits would wait for nothing that is being made."""
        return self.asked <= len(self._waiting)

    def offer(self, channel: socket.socket) -> None:
        """Take in one that is ready, for whoever has waited longest."""
        self.asked -= 1
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(channel)
                return
        self._ready.append(channel)

    async def next(self) -> socket.socket | None:
        """Wait for the next that is offered; None when nobody makes any more."""
        waiting: asyncio.Future[socket.socket | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return await waiting

    def lose(self) -> None:
        """Tell those who wait that whoever was to make it has ended."""
        self.asked = 0
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
