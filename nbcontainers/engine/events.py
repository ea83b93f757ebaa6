"""What happened, told to whoever listens, and the last of it kept for those who come late.

Emitting costs an append per listener and never waits: a listener that does not keep up loses its oldest events
rather than holding up the engine. Docker keeps the last 256 events too (Docker Engine API, ``GET /events``).
"""

import asyncio
import time
from collections import deque

from nbcontainers.engine.model import Event

KEPT_EVENTS = 1024
LISTENER_BACKLOG = 16384


class Events:
    """The engine's event stream."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._listeners: set[Subscription] = set()
        self._last_ns = 0

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def emit(self, kind: str, action: str, actor_id: str, attributes: dict[str, str]) -> None:
        """Tell all listeners; times never repeat, so that a time names an event."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        event = Event(type=kind, action=action, actor_id=actor_id, attributes=attributes, time_ns=self._last_ns)
        self._kept.append(event)
        for listener in self._listeners:
            listener.put(event)

    def kept(self, since_ns: int = 0, until_ns: int | None = None) -> list[Event]:
        """Return the kept events of ``[since_ns, until_ns)``, oldest first."""
        return [
            event
            for event in self._kept
            if event.time_ns >= since_ns and (until_ns is None or event.time_ns < until_ns)
        ]

    def subscribe(self, since_ns: int | None = None) -> "Subscription":
        """Listen from now on, to the events kept since ``since_ns`` first (None: only to new ones).

        The subscription is in force when this returns; use it in a ``with`` statement, and iterate over it with
        ``async for``.
        """
        return Subscription(self._listeners, [] if since_ns is None else self.kept(since_ns))


class Subscription:
    """One listener's bounded queue of events, whose oldest entries give way."""

    def __init__(self, listeners: "set[Subscription]", events: list[Event]) -> None:
        self._listeners = listeners
        self._events = deque(events, maxlen=LISTENER_BACKLOG)
        self._arrived = asyncio.Event()
        listeners.add(self)

    def put(self, event: Event) -> None:
        """Append one event and wake the reader."""
        self._events.append(event)
        self._arrived.set()

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self._listeners.discard(self)

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()
