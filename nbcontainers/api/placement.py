"""Where a container stands in its networks and what of it is published, in Docker's JSON.

Source: Docker Engine API v1.47, ``NetworkSettings``, ``EndpointSettings``, ``PortMap``, ``Port``.
"""

from collections.abc import Mapping

from nbcontainers.engine.configuration import EndpointConfig, HostConfig
from nbcontainers.engine.model import Attachment, Container, NetworkEndpoint
from nbcontainers.networks.model import PREDEFINED

Json = dict[str, object]


def network_settings(container: Container, *, own_names: bool) -> Json:
    """Return where a container stands in its networks; empty texts while it does not run.

    Args:
        container: The container.
        own_names: Whether a running container's id and host name are among its aliases: so it was before API 1.45.
    """
    own = (container.id[:12], container.config.hostname) if own_names and container.state.pid else ()
    # As in Docker, what stands here beside the networks is about the default bridge alone.
    attachment = container.networks.get("bridge")
    endpoint = attachment.endpoint if attachment else NetworkEndpoint()
    return {
        "Bridge": "",
        "SandboxID": container.id if container.state.pid else "",
        "SandboxKey": f"/proc/{container.state.pid}/ns/net" if container.state.pid else "",
        "Ports": port_map(container),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": endpoint.endpoint_id,
        **_addresses(endpoint),
        "Networks": networks(container, own),
    }


def networks(container: Container, own_names: tuple[str, ...] = ()) -> Json:
    """Return a container's places by the names of their networks; with names of its own in those of the user's."""
    return {
        name: _attachment(container, one, () if name in PREDEFINED else own_names)
        for name, one in container.networks.items()
    }


def _attachment(container: Container, attachment: Attachment, own_names: tuple[str, ...]) -> Json:
    config, endpoint = attachment.config, attachment.endpoint
    aliases = list(dict.fromkeys((*config.aliases, *own_names)))
    names = [container.name, *config.aliases, container.id[:12], container.config.hostname]
    return {
        "IPAMConfig": _wanted(config),
        "Links": config.links or None,
        "Aliases": aliases or None,
        "DriverOpts": config.driver_opts or None,
        "NetworkID": attachment.network_id,
        "EndpointID": endpoint.endpoint_id,
        **_addresses(endpoint),
        "MacAddress": endpoint.mac_address or config.mac_address,
        "DNSNames": list(dict.fromkeys(names)) if endpoint.interface else None,
    }


def _addresses(endpoint: NetworkEndpoint) -> Json:
    return {
        "Gateway": endpoint.gateway,
        "GlobalIPv6Address": endpoint.ipv6_address,
        "GlobalIPv6PrefixLen": endpoint.ipv6_prefix_length,
        "IPAddress": endpoint.address,
        "IPPrefixLen": endpoint.prefix_length,
        "IPv6Gateway": endpoint.ipv6_gateway,
        "MacAddress": endpoint.mac_address,
    }


def _wanted(config: EndpointConfig) -> Json | None:
    shown: Json = {}
    if config.ipv4_address:
        shown["IPv4Address"] = config.ipv4_address
    if config.ipv6_address:
        shown["IPv6Address"] = config.ipv6_address
    if config.link_local_ips:
        shown["LinkLocalIPs"] = config.link_local_ips
    return shown or None


def port_map(container: Container) -> Json:
    """Return which ports of a running container are exposed, each with where it is published."""
    if not container.state.pid:
        return {}
    shown: dict[str, list[Json] | None] = dict.fromkeys(_exposed(container))
    for port in container.ports:
        binding: Json = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
        key = f"{port.port}/{port.protocol}"
        shown[key] = [*(shown.get(key) or ()), binding]
    return dict(shown)


def port_summary(container: Container) -> list[Json]:
    """Return the column PORTS of ``docker ps``."""
    if not container.state.pid:
        return []
    rows: list[Json] = [
        {"IP": port.host_ip, "PrivatePort": port.port, "PublicPort": port.host_port, "Type": port.protocol}
        for port in container.ports
    ]
    published = {f"{port.port}/{port.protocol}" for port in container.ports}
    for exposed in _exposed(container):
        if exposed not in published:
            number, _, protocol = exposed.partition("/")
            rows.append({"PrivatePort": int(number), "Type": protocol})
    return rows


def _exposed(container: Container) -> tuple[str, ...]:
    """Return what a container exposes where it can be reached; as in Docker, nothing on ``none`` and ``host``."""
    reachable = any(one.endpoint.interface for one in container.networks.values())
    return container.config.exposed_ports if reachable else ()


def port_bindings(asked: HostConfig) -> Json:
    """Return published ports as they were asked for."""
    shown: dict[str, list[Json]] = {}
    for binding in asked.port_bindings:
        key = f"{binding.port}/{binding.protocol}"
        shown.setdefault(key, []).append({"HostIp": binding.host_ip, "HostPort": binding.host_port})
    return dict(shown)


def links(container: Container, containers: Mapping[str, Container]) -> list[str] | None:
    """Return the containers of the default bridge that this one knows by a name of its choice.

    Args:
        container: The container.
        containers: All there are, by their ids.
    """
    found = [(containers.get(link.container_id), link) for link in container.links]
    return [
        f"/{other.name if other else link.container_id}:/{container.name}/{link.alias}" for other, link in found
    ] or None
