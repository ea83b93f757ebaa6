"""Which ports of a container are published: what was asked for, and what came of it."""

from nbcontainers.engine.configuration import PortBinding
from nbcontainers.engine.model import Container, PublishedPort
from nbcontainers.networks import Forwarding, PortWish


def wishes(container: Container, default_address: str) -> list[PortWish]:
    """Return the ports to publish: those asked for, and where all are to be published, those that are exposed.

    Args:
        container: The container.
        default_address: The address of the host where none is named; empty for all of them.
    """
    asked = container.host_config
    found = [_wish(binding, default_address) for binding in asked.port_bindings]
    if asked.publish_all_ports:
        named = {(wish.port, wish.protocol) for wish in found}
        for exposed in container.config.exposed_ports:
            number, _, protocol = exposed.partition("/")
            if (int(number), protocol) not in named:
                found.append(PortWish(port=int(number), protocol=protocol, host_address=default_address))
    return found


def _wish(binding: PortBinding, default_address: str) -> PortWish:
    first, _, last = binding.host_port.partition("-")
    return PortWish(
        port=binding.port,
        protocol=binding.protocol,
        host_address=binding.host_ip or default_address,
        host_ports=range(int(first), int(last or first) + 1) if first else range(0),
    )


def published(forwardings: list[Forwarding]) -> tuple[PublishedPort, ...]:
    """Return what is published, as it is shown and saved."""
    return tuple(
        PublishedPort(
            port=one.port,
            protocol=one.protocol,
            host_ip=one.host_address,
            host_port=one.host_port,
            address=one.address,
        )
        for one in forwardings
    )


def forwardings(container: Container) -> list[Forwarding]:
    """Return what a container has published, as the rules have it."""
    return [
        Forwarding(
            protocol=one.protocol,
            host_address=one.host_ip,
            host_port=one.host_port,
            address=one.address,
            port=one.port,
        )
        for one in container.ports
    ]
