"""``network …``: networks made, joined, left, listed and removed."""

from typing import Any

import click
import docker.errors

from nbcontainers.cli import formats
from nbcontainers.cli.face import Face
from nbcontainers.cli.listing import filter_option, format_option, inspector, quiet_option
from nbcontainers.cli.printing import short
from nbcontainers.cli.system import force_option, prune_filter_option, pruned
from nbcontainers.cli.tree import each, filters_of, pairs, pass_face, tree
from nbcontainers.client import tables
from nbcontainers.client.topology import topology


@tree.group()
def network() -> None:
    """Commands of networks."""


@network.command()
@click.option("-d", "--driver", default="bridge", help="bridge or macvlan.")
@click.option("-o", "--opt", "options", multiple=True, help="NAME=value for the driver.")
@click.option("--label", "labels", multiple=True, help="NAME=value.")
@click.option("--subnet", "subnets", multiple=True, help="Subnet, such as 10.1.0.0/16.")
@click.option("--gateway", "gateways", multiple=True, help="Address by which the subnet is left.")
@click.option("--ip-range", "ranges", multiple=True, help="Part of the subnet that addresses are given out of.")
@click.option("--aux-address", "auxiliary", multiple=True, help="NAME=address that is somebody else's.")
@click.option("--internal", is_flag=True, help="Without a way out.")
@click.option("--attachable", is_flag=True, help="Docker's word for swarms; a note here.")
@click.option("--ipv6", is_flag=True, help="With addresses of IPv6, too.")
@click.argument("name")
@pass_face
def create(face: Face, /, name: str, **options: Any) -> str:
    """Make a network, and return its id."""
    made = face.client.api.create_network(
        name,
        driver=options["driver"],
        options=pairs(options["options"], "--opt"),
        ipam={"Driver": "default", "Config": _pools(options)},
        internal=options["internal"],
        labels=pairs(options["labels"], "--label"),
        enable_ipv6=options["ipv6"],
        attachable=options["attachable"],
    )
    return str(made["Id"])


def _pools(options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the subnets; what belongs to one is known by its family."""
    pools: dict[bool, dict[str, Any]] = {}
    for option, field in (("subnets", "Subnet"), ("gateways", "Gateway"), ("ranges", "IPRange")):
        for value in options[option]:
            pool = pools.setdefault(":" in value, {})
            if field in pool:
                raise click.UsageError(f"invalid second value '{value}': one of each kind for each family is wanted")
            pool[field] = value
    for name, address in pairs(options["auxiliary"], "--aux-address").items():
        pools.setdefault(":" in address, {}).setdefault("AuxiliaryAddresses", {})[name] = address
    return list(pools.values())


@network.command("ls")
@quiet_option
@filter_option
@click.option("--no-trunc", "whole", is_flag=True, help="Whole ids.")
@format_option
@pass_face
def list_networks(face: Face, quiet: bool, filters: tuple[str, ...], whole: bool, wanted: str) -> Any:
    """List networks."""
    if not wanted:
        table = tables.networks(face.client, filters=filters_of(filters))
        return "\n".join(one if whole else short(one) for one in table["id"]) if quiet else table
    rows = [formats.network(raw, whole=whole) for raw in face.client.api.networks(filters=filters_of(filters))]
    return formats.formatted(rows, wanted, "NETWORK ID")


@network.command()
@click.argument("name")
@pass_face
def members(face: Face, name: str) -> Any:
    """List the running containers that are in a network."""
    return tables.network_members(face.client, name)


@network.command()
@click.argument("name")
@pass_face
def show(face: Face, name: str) -> Any:
    """Draw a network: its bridge, cables, namespaces, addresses, ports and limits."""
    return topology(face.client, name)


@network.command()
@click.option("--alias", "aliases", multiple=True, help="Another name in the network.")
@click.option("--ip", default=None, help="IPv4 address.")
@click.option("--ip6", default=None, help="IPv6 address.")
@click.option("--link", "links", multiple=True, help="CONTAINER[:ALIAS] to know by another name.")
@click.option("--link-local-ip", "link_local_ips", multiple=True, help="Link-local address.")
@click.option("--driver-opt", "driver_options", multiple=True, help="NAME=value.")
@click.argument("name")
@click.argument("container")
@pass_face
def connect(face: Face, /, name: str, container: str, **options: Any) -> str:
    """Put a container into a network."""
    linked = [link.partition(":") for link in options["links"]]
    face.client.api.connect_container_to_network(
        container,
        name,
        aliases=list(options["aliases"]) or None,
        ipv4_address=options["ip"],
        ipv6_address=options["ip6"],
        links=[(other, alias or other) for other, _, alias in linked] or None,
        link_local_ips=list(options["link_local_ips"]) or None,
        driver_opt=pairs(options["driver_options"], "--driver-opt") or None,
    )
    return container


@network.command()
@force_option
@click.argument("name")
@click.argument("container")
@pass_face
def disconnect(face: Face, name: str, container: str, force: bool) -> str:
    """Take a container out of a network."""
    face.client.api.disconnect_container_from_network(container, name, force=force)
    return container


@network.command()
@click.option("-f", "--force", is_flag=True, help="One that is not there is no error.")
@click.argument("names", nargs=-1, required=True)
@pass_face
def rm(face: Face, names: tuple[str, ...], force: bool) -> str:
    """Remove networks."""

    def remove(name: str) -> None:
        try:
            face.client.api.remove_network(name)
        except docker.errors.NotFound:
            if not force:
                raise

    return each(names, remove)


@network.command()
@prune_filter_option
@force_option
@pass_face
def prune(face: Face, filters: tuple[str, ...], force: bool) -> Any:
    """Remove the networks that no running container is in."""
    return pruned({"networks": face.client.api.prune_networks(filters=filters_of(filters))})


network.add_command(inspector("network"))
