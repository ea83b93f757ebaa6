"""What happens to containers: Docker's events, read in a thread, handed to the server's event loop.

``GET /events`` is a stream without an end, and docker-py reads it by blocking. So each follower has a thread, which
lives as long as the follower does: closing shuts the connection's socket down, and the thread's read returns.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from docker.errors import DockerException
from docker.types import CancellableStream

from nbcontainers.client import Client
from nbcontainers.errors import Unavailable

# What changes a line of the list; commands executed in a container, for one, do not.
ACTIONS = frozenset("create destroy die health_status kill oom pause rename restart start stop unpause update".split())
_BACKLOG = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """One event of one container.

    Args:
        action: Docker's name for it, such as ``start``.
        id: The container's.
        name: The container's.
        time_ns: Nanoseconds since 1970.
    """

    action: str
    id: str
    name: str
    time_ns: int


class Changes:
    """An asynchronous context manager, and iterator of changes; it ends when the engine ends it, or when closed.

    Args:
        connect: Returns a client; called in the thread.
        opening_seconds: How long the engine may take to begin.

    Raises:
        Unavailable: On entering: no engine answers.
    """

    def __init__(self, connect: Callable[[], Client], opening_seconds: float) -> None:
        self._connect = connect
        self._opening_seconds = opening_seconds
        self._queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._lock = threading.Lock()
        self._stream: CancellableStream | None = None
        self._closed = False

    async def __aenter__(self) -> "Changes":
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._read, name="nbcontainers-events", daemon=True).start()
        try:
            async with asyncio.timeout(self._opening_seconds):
                await self._opened
        except TimeoutError:
            self.close()
            raise Unavailable("the engine", "it does not begin to tell its events", "try again") from None
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> "Changes":
        return self

    async def __anext__(self) -> Change:
        change = await self._queue.get()
        if change is None:
            raise StopAsyncIteration
        return change

    def close(self) -> None:
        """End the stream, its connection and its thread; harmless when it has ended."""
        self._queue.put_nowait(None)
        with self._lock:
            self._closed = True
            if self._stream is not None:
                _shut(self._stream)

    def _read(self) -> None:
        """Run the thread: every way out tells the loop that there is nothing more."""
        try:
            with contextlib.closing(self._connect()) as client:
                if self._open(client):
                    self._tell(self._settle, None)
                    for event in self._stream or ():
                        if change := _change(event):
                            self._tell(self._take, change)
        except (Unavailable, DockerException, OSError) as error:
            self._tell(self._settle, error)
        finally:
            self._tell(self._take, None)

    def _open(self, client: Client) -> bool:
        """Ask for the events, and say whether somebody still wants them."""
        stream = client.api.events(filters={"type": "container"}, decode=True)
        with self._lock:
            if self._closed:
                _shut(stream)
            else:
                self._stream = stream
            return not self._closed

    def _tell(self, function: Callable[[Any], None], value: object) -> None:
        # The server may have stopped in the meantime, and its loop with it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, value)

    def _settle(self, error: Exception | None) -> None:
        if self._opened.done():
            return
        if error is None:
            self._opened.set_result(None)
        else:
            self._opened.set_exception(error)

    def _take(self, change: Change | None) -> None:
        # One who does not read is told the end, rather than kept in memory; who wants more asks again.
        if change is not None and self._queue.qsize() >= _BACKLOG:
            self.close()
        else:
            self._queue.put_nowait(change)


def _shut(stream: CancellableStream) -> None:
    with contextlib.suppress(OSError, DockerException, AttributeError):
        stream.close()


def _change(event: dict[str, Any]) -> Change | None:
    action, _, _ = str(event.get("Action", "")).partition(":")
    if action not in ACTIONS:
        return None
    actor = event["Actor"]
    return Change(action, actor["ID"], actor.get("Attributes", {}).get("name", ""), event.get("timeNano", 0))
