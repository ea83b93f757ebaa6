"""The engine, as the server's event loop may ask it: every question is put in a thread, with a limit of time.

Each question makes a client of its own. That costs a millisecond on a Unix socket, and leaves nothing to go stale when
the engine goes, comes back, or is another one.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from docker.errors import DockerException

from nbcontainers.client.connect import Client, address, connect, own_address, start_engine
from nbcontainers.client.listing import ListedContainer, containers
from nbcontainers.errors import Conflict, Unavailable
from nbcontainers.server.changes import Changes

ANSWER_SECONDS = 5
_THREADS = 4

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class EngineState:
    """Whether the engine answers.

    Args:
        answers: It does.
        address: Where it was asked.
        message: Why it does not answer, or empty.
        startable: Whether ``Engine.start`` could help.
    """

    answers: bool
    address: str
    message: str
    startable: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """An engine and its containers, the newest first; without an answer there are none."""

    engine: EngineState
    containers: list[ListedContainer] = field(default_factory=list)


class Engine:
    """One engine, for all handlers.

    Args:
        url: As ``connect`` takes it; None for this user's own.
        may_start: Whether this user's own engine is started when it is asked for and does not run.
    """

    def __init__(self, url: str | None = None, *, may_start: bool = False) -> None:
        self.address = address(url)
        self._may_start = may_start
        # Threads of its own: an engine that hangs must not take those that Jupyter reads files with.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="nbcontainers")

    @property
    def is_own(self) -> bool:
        """Whether it is this user's own engine, the one that can be started from here."""
        return self.address == own_address()

    async def overview(self) -> Overview:
        """Ask for all containers; that no engine answers is an answer, too."""
        try:
            listed = await self._in_thread(self._list)
        except (Unavailable, DockerException, OSError) as error:
            return Overview(EngineState(False, self.address, str(error), startable=self.is_own))
        return Overview(EngineState(True, self.address, "", startable=False), listed)

    async def start(self) -> None:
        """Start this user's engine; a running one is left as it is.

        Raises:
            Conflict: It is not this user's own.
            Unavailable: It could not start; the message is its own.
        """
        if not self.is_own:
            raise Conflict(f"the engine at '{self.address}' is not this user's own: start it where it is")
        await self._in_thread(start_engine)

    def changes(self) -> Changes:
        """Return what happens to containers from now on, to be used as a context manager."""
        return Changes(self._connect, ANSWER_SECONDS)

    def _list(self) -> list[ListedContainer]:
        with closing(self._connect(start=self._may_start)) as client:
            return containers(client, all=True)

    def _connect(self, *, start: bool = False) -> Client:
        return connect(self.address, start=start, timeout_seconds=ANSWER_SECONDS)

    async def _in_thread(self, function: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)
