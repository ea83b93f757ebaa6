"""What the engine holds of containers that have a process: the way to their shims, and their control groups."""

import asyncio
import os

from nbcontainers import errors
from nbcontainers.engine.metrics import Metrics
from nbcontainers.engine.model import Container
from nbcontainers.linux import cgroups
from nbcontainers.runtime.cleanup import Cleanup
from nbcontainers.runtime.client import ShimConnection

LETTING_GO_SECONDS = 0.01


class Live:
    """What the engine holds of a container that has a process."""

    __slots__ = ("cgroup", "connection")

    def __init__(self, connection: ShimConnection, cgroup: cgroups.Cgroup) -> None:
        self.connection = connection
        self.cgroup = cgroup


class LiveContainers:
    """The containers that have a process, running or paused.

    Args:
        metrics: Watches what they use.
        cleanup: Removes their control groups.
    """

    def __init__(self, metrics: Metrics, cleanup: Cleanup) -> None:
        self._metrics = metrics
        self._cleanup = cleanup
        self._live: dict[str, Live] = {}
        self._ended: dict[str, tuple[asyncio.TimerHandle, cgroups.Cgroup]] = {}

    def add(self, container: Container, connection: ShimConnection, cgroup: cgroups.Cgroup) -> None:
        """Take in a container whose process runs, and watch what it uses."""
        self._live[container.id] = Live(connection, cgroup)
        self._metrics.watch(container.id, cgroup, connection.pid)

    def __contains__(self, container: Container) -> bool:
        return container.id in self._live

    def find(self, container: Container) -> Live | None:
        """Return what there is of a container, if it has a process."""
        return self._live.get(container.id)

    def get(self, container: Container) -> Live:
        """Return what there is of a container that has a process.

        Raises:
            errors.Conflict: It has none; the words are Docker's.
        """
        if live := self._live.get(container.id):
            return live
        if container.state.status == "restarting":
            raise errors.Conflict(f"container {container.id} is restarting, wait until the container is running")
        raise errors.Conflict(f"container {container.id} is not running")

    def process_fd(self, container: Container | None) -> int | None:
        """Return a new pidfd of a container's first process; None when it does not run."""
        live = self._live.get(container.id) if container is not None else None
        return None if live is None else os.dup(live.connection.pidfd)

    def end(self, container: Container) -> bool:
        """Strike off a container whose process has ended; False where it was not among these.

        It is not let go at once, for those who wait for the end are to hear of it first.
        """
        live = self._live.pop(container.id, None)
        if live is None:
            return False
        live.connection.close()
        later = asyncio.get_running_loop().call_later(LETTING_GO_SECONDS, self.let_go, container.id)
        self._ended[container.id] = (later, live.cgroup)
        return True

    def let_go(self, container_id: str) -> None:
        """Take the last sample of a container that has ended, and have its control group removed."""
        if ended := self._ended.pop(container_id, None):
            later, cgroup = ended
            later.cancel()
            self._metrics.unwatch(container_id)
            cgroup.close()
            self._cleanup.remove_group(cgroup)

    def close(self) -> None:
        """Let go of all; those that run go on."""
        for container_id in list(self._ended):
            self.let_go(container_id)
        for live in self._live.values():
            live.connection.close()
            live.cgroup.close()
        self._live.clear()
