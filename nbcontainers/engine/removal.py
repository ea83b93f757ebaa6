"""The end of a container: out of the engine with it, and with all that was its own."""

import asyncio
import contextlib
from collections.abc import Callable

from nbcontainers import errors
from nbcontainers.engine.model import Container
from nbcontainers.engine.register import Register
from nbcontainers.engine.specification import Specification
from nbcontainers.engine.state import State
from nbcontainers.engine.telling import Telling
from nbcontainers.engine.turns import Turns
from nbcontainers.runtime.cleanup import Cleanup
from nbcontainers.volumes import Volumes


class Removal:
    """Removes containers that have no process any more.

    Args:
        register: Has all containers.
        state: Where they are saved.
        specification: Knows where a container's files are.
        volumes: Has the volumes that go with them.
        cleanup: Removes what they leave.
        telling: Tells of it.
        turns: Knows who waits for it.
        forget: Has the engine's other rooms forget a container.

    Attributes:
        when_removed: What to call when a container is removed, before it is.
    """

    def __init__(  # noqa: PLR0913  the engine's rooms, each by its name
        self,
        *,
        register: Register,
        state: State,
        specification: Specification,
        volumes: Volumes,
        cleanup: Cleanup,
        telling: Telling,
        turns: Turns,
        forget: Callable[[Container], None],
    ) -> None:
        self._register = register
        self._state = state
        self._specification = specification
        self._volumes = volumes
        self._cleanup = cleanup
        self._telling = telling
        self._turns = turns
        self._forget = forget
        self.when_removed: list[Callable[[Container], None]] = []

    async def remove(self, container: Container, *, volumes: bool | None = None) -> None:
        """Remove a container.

        Args:
            container: The container; the caller has its turn.
            volumes: Whether its anonymous volumes go with it; None for those of one that removes itself.
        """
        for tell in self.when_removed:
            tell(container)
        self._specification.discard(container)
        await self._strike_off(container)
        self._register.remove(container)
        self._turns.remove(container)
        self._forget(container)
        if volumes or (volumes is None and container.host_config.auto_remove):
            await self._remove_anonymous_volumes(container)
        self._telling.tell(container, "destroy")
        self._turns.settle(container, "removed")

    async def _strike_off(self, container: Container) -> None:
        """Take the container out of the database; on a full disk its own files make the room for that."""
        try:
            self._state.forget(container.id)
        except errors.Unavailable:
            await asyncio.to_thread(self._cleanup.settle)
            self._state.forget(container.id)

    async def _remove_anonymous_volumes(self, container: Container) -> None:
        """Remove the volumes that were made for a container, but those that others have from it."""
        of_others = {mount.name for other in self._register.by_id.values() for mount in other.mounts}
        for mount in container.mounts:
            if mount.kind != "volume" or mount.named or mount.name in of_others:
                continue
            if self._specification.is_anonymous(mount.name):
                with contextlib.suppress(errors.NotFound, errors.Conflict):
                    await asyncio.to_thread(self._volumes.remove, mount.name)
                    self._telling.tell_volume(mount.name, "destroy")
