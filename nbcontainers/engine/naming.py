"""What containers are called in the networks of the user, and who answers them when they ask.

Source: Docker documentation, "Networking overview" § DNS services, "Bridge network driver" § Differences between
user-defined bridges and the default bridge.
"""

from collections.abc import Callable
from functools import partial

from nbcontainers.engine import files
from nbcontainers.engine.model import Attachment, Container
from nbcontainers.networks import Networks
from nbcontainers.networks.model import PREDEFINED
from nbcontainers.networks.names import Seat

SHORT_ID_DIGITS = 12
Servers = Callable[[], list[str]] | None


class Naming:
    """Keeps the names of containers, and their name servers.

    Args:
        networks: The networks.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    def know(self, container: Container) -> None:
        """Take in what a container is called now; while it does not run its names lead nowhere, at once."""
        for name, attachment in container.networks.items():
            if name not in PREDEFINED and attachment.network_id:
                endpoint = attachment.endpoint
                addresses = (endpoint.address, endpoint.ipv6_address)
                self._networks.names.enter(
                    attachment.network_id, container.id, _names(container, attachment), addresses
                )

    def forget(self, container: Container) -> None:
        """Let a container's names be free."""
        for attachment in container.networks.values():
            self._networks.names.leave(attachment.network_id, container.id)

    async def serve(self, container: Container, namespace_fd: int) -> None:
        """Answer a container that runs, or is about to, if it is in a network with names.

        Raises:
            OSError: A limit of the kernel is reached.
        """
        seats, servers = _seats(container), _servers(container)
        if self._networks.has_name_server(container.id):
            self._networks.change_name_server(container.id, seats, servers)
        elif files.has_name_server(container):
            await self._networks.open_name_server(container.id, namespace_fd, seats, servers)


def _names(container: Container, attachment: Attachment) -> list[str]:
    names = [container.name, container.id[:SHORT_ID_DIGITS], container.id, container.config.hostname]
    return [name for name in (*names, *attachment.config.aliases) if name]


def _seats(container: Container) -> list[Seat]:
    """Return the networks in which names mean something to a container: that of its mode first."""
    mode = container.host_config.network_mode
    return [
        Seat(network_id=attachment.network_id, network_name=name, links=_links(attachment))
        for name, attachment in sorted(container.networks.items(), key=lambda item: (item[0] != mode, item[0]))
        if name not in PREDEFINED
    ]


def _links(attachment: Attachment) -> dict[str, str]:
    found = {}
    for link in attachment.config.links:
        name, _, alias = link.partition(":")
        found[(alias or name).lower()] = name.removeprefix("/").lower()
    return found


def _servers(container: Container) -> Servers:
    """Return who knows about the world; nobody may be asked from a network that has no way out."""
    if not any(attachment.endpoint.gateway for attachment in container.networks.values()):
        return None
    return partial(files.name_servers, container)
