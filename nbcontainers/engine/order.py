"""Which container is started before which, where several start by themselves: with a new engine, or by their policies.

A container that has a namespace from another, or is linked to it, can only start while that one runs. So it waits for
the attempt that is to come for each of these, however that ends; for nobody of whom no attempt is to come, and in a
circle for nobody. What the user starts waits for nobody.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from nbcontainers.engine import linking, sharing
from nbcontainers.engine.model import Container


def needs(container: Container, containers: Mapping[str, Container]) -> Iterator[Container]:
    """Yield the other containers that have to run when one starts."""
    namespaces = container.host_config.namespaces
    modes = (container.host_config.network_mode, namespaces.pid, namespaces.ipc)
    names = [name for name in map(sharing.donor_of, modes) if name]
    for name in (*names, *(link.container_id for link in container.links)):
        found = linking.find(containers, name)
        if found is not None and found is not container:
            yield found


def ordered(containers: Iterable[Container]) -> list[Container]:
    """Return containers so that each comes after those that it needs, and otherwise as they were given."""
    by_id = {container.id: container for container in containers}
    placed: dict[str, Container] = {}
    entered: set[str] = set()

    def place(container: Container) -> None:
        if container.id in entered:
            return
        entered.add(container.id)
        for other in needs(container, by_id):
            place(other)
        placed[container.id] = container

    for container in by_id.values():
        place(container)
    return list(placed.values())


class Attempts:
    """The starts that are to come by themselves.

    Args:
        containers: All there are, by their ids.
    """

    def __init__(self, containers: Mapping[str, Container]) -> None:
        self._containers = containers
        self._expected: dict[str, asyncio.Future[None]] = {}

    def expect(self, container: Container) -> None:
        """Note that a container is to be started."""
        if container.id not in self._expected:
            self._expected[container.id] = asyncio.get_running_loop().create_future()

    def over(self, container: Container) -> None:
        """Let those go on who wait for a container: it runs, or could not be started, or is not to be any more."""
        if expected := self._expected.pop(container.id, None):
            expected.set_result(None)

    async def come_before(self, container: Container) -> None:
        """Wait until the attempts at all that a container needs are over."""
        for other in needs(container, self._containers):
            expected = self._expected.get(other.id)
            if expected is not None and not self._waits_for(other, container, set()):
                await asyncio.shield(expected)

    def _waits_for(self, container: Container, other: Container, seen: set[str]) -> bool:
        """Say whether a container that is to be started needs another one, itself or by those that it needs."""
        if container.id in seen or container.id not in self._expected:
            return False
        seen.add(container.id)
        return any(one is other or self._waits_for(one, other, seen) for one in needs(container, self._containers))
