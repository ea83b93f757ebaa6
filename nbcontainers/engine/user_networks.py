"""The networks that users make and remove: saved, told, and only removed when nobody is in them."""

from collections.abc import Mapping

from nbcontainers import errors
from nbcontainers.engine.model import Container, NetworkEndpoint
from nbcontainers.engine.state import State
from nbcontainers.engine.telling import Telling
from nbcontainers.networks import Network, Networks


class UserNetworks:
    """Makes and removes networks.

    Args:
        networks: The networks.
        state: Where they are saved.
        telling: Tells of them.
        containers: All containers by their ids; read only.
    """

    def __init__(self, networks: Networks, state: State, telling: Telling, containers: Mapping[str, Container]) -> None:
        self._networks = networks
        self._state = state
        self._telling = telling
        self._containers = containers

    async def create(self, network: Network) -> Network:
        """Make a network; see ``Networks.create``."""
        if network.is_predefined:
            raise errors.Forbidden(f"operation is not permitted on predefined {network.name} network ")
        if network.driver in ("host", "null"):
            raise errors.Forbidden(f'only one instance of "{network.driver}" network is allowed')
        made = await self._networks.create(network)
        try:
            self._state.save_network(made)
        except BaseException:
            await self._networks.remove(made)
            raise
        self._telling.tell_network(made, "create")
        return made

    async def remove(self, network: Network) -> None:
        """Remove a network.

        Raises:
            errors.Forbidden: It is one of those that are always there, or a running container is in it.
        """
        if network.is_predefined:
            raise errors.Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        if self._networks.is_used(network):
            raise errors.Forbidden(
                f"error while removing network: network {network.name} id {network.id} has active endpoints"
            )
        self._state.forget_network(network.id)
        await self._networks.remove(network)
        self._telling.tell_network(network, "destroy")

    def is_dangling(self, network: Network) -> bool:
        """Say whether no container that runs is in a network, and it is not one of those that are always there."""
        return not network.is_predefined and not self._networks.is_used(network)

    def members(self, network: Network) -> list[tuple[Container, NetworkEndpoint]]:
        """Return the running containers that are in a network, with their places."""
        return [
            (container, attachment.endpoint)
            for container in self._containers.values()
            for attachment in container.networks.values()
            if attachment.network_id == network.id and attachment.endpoint.endpoint_id
        ]
