"""Who may change a container now, and who waits for what becomes of it.

One lock per container makes its changes follow one another. Who waits for an exit or a removal waits on a future, and
holds no lock.
"""

import asyncio

from nbcontainers import errors
from nbcontainers.engine.model import Container, ContainerState


class Turns:
    """The locks and the futures of all containers."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[tuple[str, str], asyncio.Future[ContainerState]] = {}

    def add(self, container: Container) -> None:
        """Take in a container."""
        self._locks[container.id] = asyncio.Lock()

    def remove(self, container: Container) -> None:
        """Forget a container; who comes for its lock from now on is told that it is no more."""
        self._locks.pop(container.id, None)

    def lock(self, container: Container) -> asyncio.Lock:
        """Return the lock that makes the container's changes follow one another.

        Raises:
            errors.NoSuchContainer: It was removed meanwhile.
        """
        lock = self._locks.get(container.id)
        if lock is None:
            raise errors.NoSuchContainer(container.name)
        return lock

    def future(self, container: Container, condition: str) -> asyncio.Future[ContainerState]:
        """Return what is settled when the container next exits (``next-exit``) or is ``removed``."""
        key = (container.id, condition)
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
        return self._waiting[key]

    def settle(self, container: Container, condition: str) -> None:
        """Let those go on who wait for this."""
        if waiting := self._waiting.pop((container.id, condition), None):
            waiting.set_result(container.state)


class Held:
    """A container's lock, which is held."""

    __slots__ = ("_lock",)

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock: asyncio.Lock | None = lock

    def release(self) -> None:
        """Let the container go its way; a second time does nothing."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
