"""Which networks a container may be in, and what it may want of them: Docker's rules and words.

A network's name never changes, so a container's networks are kept by name, with the id of the one that was meant: a
network that was removed and made again under the same name is another one, as in Docker. Until a container is started
for the first time only the name counts, and the network need not be there.
"""

import contextlib
import ipaddress
from collections.abc import Mapping
from dataclasses import replace

from nbcontainers import errors
from nbcontainers.engine import linking, places
from nbcontainers.engine.configuration import EndpointConfig, HostConfig
from nbcontainers.engine.model import Attachment, Container, Link
from nbcontainers.networks import Network, Networks, Wish
from nbcontainers.networks.model import BRIDGE, HOST, NONE

Attachments = dict[str, Attachment]
_PRIVATE = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
_SHARED = "container sharing network namespace with another container or host cannot be connected to any other network"


class Admission:
    """Decides which networks a container is to be in.

    Args:
        networks: The networks.
        containers: All containers by their ids; read only.
    """

    def __init__(self, networks: Networks, containers: Mapping[str, Container]) -> None:
        self._networks = networks
        self._containers = containers

    def plan(self, host_config: HostConfig, endpoints: dict[str, EndpointConfig]) -> Attachments:
        """Return the networks of a new container.

        Args:
            host_config: Its network mode counts.
            endpoints: What the user wants, by name or id of networks; when there are any, they alone count. A network
                that is not there is looked for again at the start.

        Raises:
            errors.InvalidArgument: The networks do not go together, or cannot give what is wanted of them.
        """
        if host_config.network_mode.startswith("container:"):
            if endpoints:
                raise errors.InvalidArgument(_SHARED)
            return {}
        mode = self._named(host_config.network_mode)
        asked = {self._named(name): config for name, config in endpoints.items()} or {mode: EndpointConfig()}
        if len(asked) > 1 or mode not in asked:
            self._check_company([mode, *asked])
        attachments = {}
        for name, config in asked.items():
            network = self.found(name)
            _check_addresses(config)
            if network is not None:
                self.check(network, config)
            links = config.links if network and network.is_predefined else (*config.links, *host_config.links)
            attachments[name] = Attachment(
                network_id=network.id if network else "", config=replace(config, links=links)
            )
        return attachments

    def found(self, name: str) -> Network | None:
        """Return the network of this name or id, if it is there."""
        with contextlib.suppress(errors.NoSuchNetwork):
            return self._networks.get(name)
        return None

    def _named(self, name: str) -> str:
        """Return the name of a network that was given by its name or id; what is not there is taken for a name."""
        network = self.found(name)
        return network.name if network else name

    def resolve(self, container: Container) -> Attachments:
        """Return a container's networks, with those that were not there, or were others, when it was created.

        Raises:
            errors.NoSuchNetwork: One is not there now, either.
            errors.InvalidArgument: One cannot give what is wanted of it.
        """
        resolved = {}
        for name, attachment in container.networks.items():
            network = self.found(attachment.network_id)
            if network is None:
                network = self._networks.get(attachment.network_id if container.state.started_at_ns else name)
                self.check(network, attachment.config)
            resolved[network.name] = replace(attachment, network_id=network.id)
        return resolved

    def are_found(self, container: Container) -> bool:
        """Say whether all networks that a container is to be in are there, and are those that were meant."""
        return all(self.found(attachment.network_id) for attachment in container.networks.values())

    def plan_links(self, host_config: HostConfig) -> tuple[Link, ...]:
        """Return the links of a new container; in networks of the user's they are names, and part of ``plan``.

        Raises:
            errors.InvalidArgument: There is no such container, or the network has no links.
        """
        if host_config.links and host_config.network_mode in (HOST, NONE):
            raise errors.InvalidArgument("conflicting options: host type networking can't be used with links")
        return linking.plan(self._containers, host_config.links) if host_config.network_mode == BRIDGE else ()

    def _check_company(self, names: list[str]) -> None:
        for name in names:
            if name == NONE:
                raise errors.InvalidArgument(_PRIVATE)
            if name == HOST:
                raise errors.InvalidArgument(_SHARED)

    def check(self, network: Network, config: EndpointConfig) -> None:
        """Refuse what a network cannot give.

        Raises:
            errors.InvalidArgument: It cannot.
        """
        _check_addresses(config)
        addresses = [text for text in (config.ipv4_address, config.ipv6_address) if text]
        if network.is_predefined:
            if addresses:
                raise errors.InvalidArgument("user specified IP address is supported on user defined networks only")
            if config.aliases:
                raise errors.InvalidArgument(
                    "network-scoped alias is supported only for containers in user defined networks"
                )
        elif addresses:
            if not all(
                any(one.asked and one.is_ipv6 == (":" in text) for one in network.subnets) for text in addresses
            ):
                raise errors.InvalidArgument(
                    "user specified IP address is supported only when connecting to networks with user configured "
                    "subnets"
                )
            self._networks.check(network, places.wish(network, config))

    def check_connectable(self, container: Container, network: Network) -> None:
        """Refuse to put a container into one more network where it cannot be.

        Raises:
            errors.Forbidden: It is in that network.
            errors.InvalidArgument: The networks do not go together.
        """
        mode = container.host_config.network_mode
        if HOST in (mode, network.name):
            raise errors.InvalidArgument(
                "container cannot be disconnected from host network or connected to host network"
            )
        if mode.startswith("container:"):
            raise errors.InvalidArgument(_SHARED)
        if network.name in container.networks:
            raise errors.Forbidden(f"endpoint with name {container.name} already exists in network {network.name}")
        if network.name == NONE or NONE in container.networks:
            raise errors.InvalidArgument(_PRIVATE)

    def wishes(self, container: Container) -> list[Wish]:
        """Return what a container wants of networks that give it a cable: the one of its mode first."""
        names = sorted(container.networks, key=lambda name: (name != container.host_config.network_mode, name))
        wishes = []
        for name in names:
            attachment = container.networks[name]
            network = self._networks.get(attachment.network_id)
            if network.name not in (HOST, NONE):
                wishes.append(places.wish(network, attachment.config))
        return wishes


def _check_addresses(config: EndpointConfig) -> None:
    for text in (config.ipv4_address, config.ipv6_address, *config.link_local_ips):
        try:
            ipaddress.ip_address(text or "::")
        except ValueError:
            raise errors.InvalidArgument(f"invalid IP address: '{text}'") from None
