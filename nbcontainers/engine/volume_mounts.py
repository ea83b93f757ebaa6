"""Which running containers have the volumes that are file systems of their own, and so what has to be mounted.

The first container that is started mounts a volume, and after the last one that has ended it is unmounted. What is done
to one volume is done in the order in which it was wanted, each in a thread of its own: a file server that does not
answer holds up nobody else. An engine that was killed leaves what it had mounted; the next one unmounts what no running
container has, before it starts any.

A container without such volumes pays nothing for all this.
"""

import asyncio
import contextlib
import functools
from collections import defaultdict
from collections.abc import Callable, Iterable

from nbcontainers import errors
from nbcontainers.engine.model import Container, MountPoint
from nbcontainers.engine.threads import run_apart
from nbcontainers.volumes import Volumes

CLOSING_SECONDS = 5.0


def of(container: Container) -> list[MountPoint]:
    """Return the mounts of a container whose volumes have file systems of their own."""
    return [mount for mount in container.mounts if mount.own_file_system]


def used(containers: Iterable[Container]) -> set[str]:
    """Return the names of the volumes with file systems of their own that containers have."""
    return {mount.name for container in containers for mount in of(container)}


class VolumeMounts:
    """Mounts and unmounts the volumes of one engine.

    Args:
        volumes: The volumes.
    """

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        self._last: dict[str, asyncio.Task[None]] = {}

    async def take(self, container: Container) -> None:
        """Mount what a container that is about to run has; ``leave`` gives it back, also when this has failed.

        Raises:
            errors.Internal: One cannot be mounted, with Docker's words.
            errors.NoSuchVolume: One is no more.
        """
        for mount in of(container):
            self._users[mount.name].add(container.id)
            try:
                await asyncio.shield(self._after_others(mount.name, self._volumes.mount))
            except errors.Internal as error:
                raise errors.Internal(f"error while mounting volume '{mount.source}': {error}") from error

    def know(self, container: Container) -> None:
        """Take in a container that runs; one that was started by this engine is known already."""
        for mount in of(container):
            self._users[mount.name].add(container.id)

    def leave(self, container: Container) -> None:
        """Let go of what a container had that runs no more, and have it unmounted after the last one."""
        for mount in of(container):
            users = self._users.get(mount.name)
            if users is not None:
                users.discard(container.id)
                if not users:
                    del self._users[mount.name]
                    self._after_others(mount.name, self._unmount)

    def _unmount(self, name: str) -> None:
        with contextlib.suppress(errors.NoSuchVolume, OSError):  # the next engine tries again
            self._volumes.unmount(name)

    def _after_others(self, name: str, work: Callable[[str], None]) -> asyncio.Task[None]:
        """Do something to a volume when all is done that was wanted of it before."""
        before = self._last.get(name)

        async def do() -> None:
            if before is not None:
                await asyncio.wait((before,))
            await run_apart(functools.partial(work, name), "volume")

        def forget(task: asyncio.Task[None]) -> None:
            task.exception()  # should nobody wait for it any more
            if self._last.get(name) is task:
                del self._last[name]

        task = self._last[name] = asyncio.get_running_loop().create_task(do())
        task.add_done_callback(forget)
        return task

    async def close(self) -> None:
        """Wait until what is to be unmounted is, but not for ever."""
        if self._last:
            await asyncio.wait(self._last.values(), timeout=CLOSING_SECONDS)
