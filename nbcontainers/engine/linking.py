"""Links: a container of the default bridge that knows others by names of its own choice, as Docker had it first.

The others have to run when it starts. It finds their addresses in /etc/hosts, and what they are in its environment.
In networks of the user's a link is a name and nothing more (see ``naming``).

Source: Docker documentation, "Legacy container links".
"""

from collections.abc import Mapping
from dataclasses import replace

from nbcontainers import errors
from nbcontainers.engine.model import Container, Link
from nbcontainers.networks.model import BRIDGE

_NOT_TOLD = frozenset(("HOME", "PATH"))


def find(containers: Mapping[str, Container], name: str) -> Container | None:
    """Return the container with this name or id, or beginning of an id that is long enough."""
    bare = name.removeprefix("/")
    for container in containers.values():
        if bare in (container.id, container.name) or (len(bare) >= 12 and container.id.startswith(bare)):
            return container
    return None


def plan(containers: Mapping[str, Container], links: tuple[str, ...]) -> tuple[Link, ...]:
    """Return the links of a new container, with the containers that are meant.

    Raises:
        errors.InvalidArgument: There is no such container.
    """
    found = []
    for link in links:
        name, _, alias = link.partition(":")
        target = find(containers, name)
        if target is None:
            raise errors.InvalidArgument(f"could not get container for {name}: no such container")
        found.append(Link(container_id=target.id, alias=(alias or name).rpartition("/")[2]))
    return tuple(found)


def resolve(containers: Mapping[str, Container], container: Container) -> tuple[Link, ...]:
    """Return a container's links with what they stand for now.

    Raises:
        errors.Conflict: One of the others does not run.
    """
    found = []
    for link in container.links:
        target = containers.get(link.container_id)
        place = target.networks.get(BRIDGE) if target else None
        if target is None or place is None or not place.endpoint.address or not target.state.pid:
            name = target.name if target else link.container_id
            raise errors.Conflict(f"Cannot link to a non running container: /{name} AS /{container.name}/{link.alias}")
        told = tuple(_environment(container, link, target, place.endpoint.address))
        found.append(replace(link, hosts=_hosts(link, target), environment=told))
    return tuple(found)


def readdressed(container: Container, target: Container) -> tuple[Link, ...]:
    """Return a running container's links when one that it is linked to was started again."""
    return tuple(
        replace(link, hosts=_hosts(link, target)) if link.container_id == target.id else link
        for link in container.links
    )


def _hosts(link: Link, target: Container) -> str:
    place = target.networks.get(BRIDGE)
    names = dict.fromkeys((link.alias, target.config.hostname, target.name))
    return f"{place.endpoint.address}\t{' '.join(names)}\n" if place and place.endpoint.address else ""


def _environment(container: Container, link: Link, target: Container, address: str) -> list[str]:
    """Return what the environment tells of another container: where it listens, and its own environment."""
    prefix = link.alias.upper().replace("-", "_")
    exposed = [port.partition("/") for port in target.config.exposed_ports]
    ports = sorted((int(number), protocol) for number, _, protocol in exposed)
    lines = []
    if ports:
        number, protocol = ports[0]
        lines.append(f"{prefix}_PORT={protocol}://{address}:{number}")
    for number, protocol in ports:
        port = f"{prefix}_PORT_{number}_{protocol.upper()}"
        lines.append(f"{port}={protocol}://{address}:{number}")
        lines += [f"{port}_ADDR={address}", f"{port}_PORT={number}", f"{port}_PROTO={protocol}"]
    lines.append(f"{prefix}_NAME=/{container.name}/{link.alias}")
    for entry in target.config.env:
        name, equals, value = entry.partition("=")
        if equals and name not in _NOT_TOLD:
            lines.append(f"{prefix}_ENV_{name}={value}")
    return lines


def names(containers: Mapping[str, Container], container: Container) -> list[str]:
    """Return the names that others have for a container, as ``docker ps`` shows them."""
    return [
        f"/{other.name}/{link.alias}"
        for other in containers.values()
        for link in other.links
        if link.container_id == container.id
    ]


def remove(container: Container, alias: str) -> None:
    """Take a link from a container.

    Raises:
        errors.NotFound: It has none of this name.
    """
    left = tuple(link for link in container.links if link.alias != alias)
    if len(left) == len(container.links):
        raise errors.NotFound(f"cannot get parent /{container.name} for name /{container.name}/{alias}")
    container.links = left
