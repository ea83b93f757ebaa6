"""Preparing the start of a container that nobody has asked for yet, in the expectation that it comes next.

While the client of a ``create`` is on its way to ask for the start, as with ``docker run``, the container gets its
network and its mounts. Nothing of it can be seen, only what lies ready is used for it, and it is undone when the start
does not come soon.
"""

import asyncio
import os
from collections.abc import Callable, Mapping

from nbcontainers import errors
from nbcontainers.engine import sharing, volume_mounts
from nbcontainers.engine.admission import Attachments
from nbcontainers.engine.model import Container
from nbcontainers.engine.networking import Networking
from nbcontainers.engine.specification import Specification
from nbcontainers.runtime.launching import Launcher, Prepared

ANTICIPATION_SECONDS = 0.25
_MOST = 2


class Anticipation:
    """The starts that are prepared, by their containers' ids.

    Args:
        containers: All there are.
        launcher: Has prepared shims.
        networking: Has prepared network namespaces.
        specification: Turns a container into what the launcher wants.
        remove_group: Has a container's control group removed.
    """

    def __init__(
        self,
        containers: Mapping[str, Container],
        *,
        launcher: Launcher,
        networking: Networking,
        specification: Specification,
        remove_group: Callable[[Container], None],
    ) -> None:
        self._containers = containers
        self._launcher = launcher
        self._networking = networking
        self._specification = specification
        self._remove_group = remove_group
        self._anticipated: dict[str, _Anticipated] = {}

    def prepare(self, container: Container) -> None:
        """Prepare a new container's start, where all that it takes lies ready."""
        if (
            container.state.status != "created"
            or container.id not in self._containers
            or len(self._anticipated) >= _MOST
            or not self._launcher.has_prepared()
            or sharing.wanted(container)
            or volume_mounts.of(container)
            or not self._networking.is_ready(container)
        ):
            return
        namespace_fd = self._networking.attach_at_once(container)
        try:
            request, rootfs_fd = self._specification.request(container)
        except (OSError, errors.Error):
            # The start itself will find the same, and say so to somebody.
            if namespace_fd is not None:
                os.close(namespace_fd)
            self._networking.leave(container)
            return
        prepared = self._launcher.prepare_at_once(request, rootfs_fd=rootfs_fd, network_namespace_fd=namespace_fd)
        timer = asyncio.get_running_loop().call_later(ANTICIPATION_SECONDS, self.give_up, container)
        self._anticipated[container.id] = _Anticipated(prepared, container.networks, timer)
        container.networks = self._networking.without_places(container)

    def take(self, container: Container) -> Prepared | None:
        """Return what was prepared, to be started or closed, with the container in its network; None for nothing."""
        if anticipated := self._anticipated.pop(container.id, None):
            container.networks = anticipated.networks
            return anticipated.take()
        return None

    def give_up(self, container: Container) -> None:
        """Undo what was prepared."""
        if anticipated := self._anticipated.pop(container.id, None):
            anticipated.take().close()
            self._undo(container)

    async def give_up_wholly(self, container: Container) -> None:
        """Undo what was prepared, and return when nothing holds the container's file system any more."""
        if anticipated := self._anticipated.pop(container.id, None):
            await anticipated.take().give_up()
            self._undo(container)

    def _undo(self, container: Container) -> None:
        self._networking.leave(container)
        self._remove_group(container)
        self._launcher.refill()

    def close(self) -> None:
        """Undo all that was prepared."""
        for container in [self._containers[key] for key in self._anticipated]:
            self.give_up(container)


class _Anticipated:
    """One start that is prepared."""

    __slots__ = ("_prepared", "_timer", "networks")

    def __init__(self, prepared: Prepared, networks: Attachments, timer: asyncio.TimerHandle) -> None:
        self._prepared = prepared
        self._timer = timer
        self.networks = networks

    def take(self) -> Prepared:
        self._timer.cancel()
        return self._prepared
