"""The engine, as the server's event loop may ask it: every question is put in a thread, with a limit of time.

Each question makes a client of its own. That costs a millisecond on a Unix socket, and leaves nothing to go stale when
the engine goes, comes back, or is another one.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from docker.errors import DockerException, NotFound

from nbcontainers.client.connect import Client, address, connect, own_address, start_engine
from nbcontainers.client.listing import ListedContainer, containers
from nbcontainers.errors import Conflict, InvalidArgument, Unavailable
from nbcontainers.server.changes import Changes

ANSWER_SECONDS = 5
ACTION_SECONDS = 60  # a container may take its time to end
LOG_LINES = 2000
_THREADS = 4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

_Result = TypeVar("_Result")


def _check(container: str) -> None:
    """Refuse what is no name or id: the client would make it a part of another address."""
    if not _NAME.fullmatch(container):
        raise InvalidArgument(f"invalid container: '{container}'")


def _remove(client: Client, container: str) -> None:
    with suppress(NotFound):  # somebody else was first
        client.api.remove_container(container)


ACTIONS: dict[str, Callable[[Client, str], object]] = {
    "start": lambda client, container: client.api.start(container),
    "stop": lambda client, container: client.api.stop(container),
    "unpause": lambda client, container: client.api.unpause(container),
    "remove": _remove,
}
"""What can be done to a container."""


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
        # And containers that take their time to end must not keep the list from being asked for.
        self._acting = ThreadPoolExecutor(_THREADS, thread_name_prefix="nbcontainers-acting")

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

    async def act(self, container: str, action: str) -> None:
        """Do something to a container; what is so already is no error.

        Args:
            container: Its id.
            action: One of ``ACTIONS``.

        Raises:
            InvalidArgument: There is no such action, or a container cannot be called so.
            docker.errors.APIError: The engine refuses.
            Unavailable: No engine answers.
        """
        if action not in ACTIONS:
            raise InvalidArgument(f"invalid action: '{action}': {', '.join(ACTIONS)}")
        _check(container)
        await asyncio.get_running_loop().run_in_executor(self._acting, self._act, container, action)

    def _act(self, container: str, action: str) -> None:
        with closing(connect(self.address, start=False, timeout_seconds=ACTION_SECONDS)) as client:
            ACTIONS[action](client, container)

    async def logs(self, container: str) -> bytes:
        """Return the last lines that a container has written.

        Raises:
            InvalidArgument: A container cannot be called so.
            docker.errors.APIError: The engine refuses.
            Unavailable: No engine answers.
        """
        _check(container)
        return await self._in_thread(lambda: self._logs(container))

    def _logs(self, container: str) -> bytes:
        with closing(self._connect()) as client:
            return bytes(client.api.logs(container, tail=LOG_LINES))

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
