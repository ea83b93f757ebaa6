"""Places in networks as they are saved, and as ``nbcontainers.networks`` knows them."""

import secrets

from nbcontainers.engine.configuration import EndpointConfig
from nbcontainers.engine.model import Container, NetworkEndpoint
from nbcontainers.networks import Endpoint, Network, Wish


def wish(network: Network, config: EndpointConfig) -> Wish:
    """Return what a container wants of a network."""
    return Wish(
        network_id=network.id,
        address=config.ipv4_address,
        ipv6_address=config.ipv6_address,
        mac_address=config.mac_address,
        link_local=config.link_local_ips,
    )


def without_cable(network_id: str) -> NetworkEndpoint:
    """Return a place in ``host`` or ``none``."""
    return NetworkEndpoint(network_id=network_id, endpoint_id=secrets.token_hex(32))


def noted(endpoint: Endpoint) -> NetworkEndpoint:
    """Return what of an endpoint outlives the engine."""
    return NetworkEndpoint(
        network_id=endpoint.network_id,
        endpoint_id=endpoint.endpoint_id,
        interface=endpoint.interface,
        address=endpoint.address,
        prefix_length=endpoint.prefix_length,
        gateway=endpoint.gateway,
        mac_address=endpoint.mac_address,
        host_interface=endpoint.host_interface,
        ipv6_address=endpoint.ipv6_address,
        ipv6_prefix_length=endpoint.ipv6_prefix_length,
        ipv6_gateway=endpoint.ipv6_gateway,
    )


def endpoint(noted: NetworkEndpoint) -> Endpoint:
    """Return an endpoint again."""
    return Endpoint(
        network_id=noted.network_id,
        endpoint_id=noted.endpoint_id,
        namespace_fd=-1,
        interface=noted.interface,
        address=noted.address,
        prefix_length=noted.prefix_length,
        gateway=noted.gateway,
        mac_address=noted.mac_address,
        host_interface=noted.host_interface,
        ipv6_address=noted.ipv6_address,
        ipv6_prefix_length=noted.ipv6_prefix_length,
        ipv6_gateway=noted.ipv6_gateway,
    )


def endpoints(container: Container) -> list[Endpoint]:
    """Return the places of a running container that have a cable."""
    return [endpoint(one.endpoint) for one in container.networks.values() if one.endpoint.interface]
