"""A network as it is: what it is made of, who is in it, and by which cable; as a table, a text and a picture.

Example:
    >>> web = nbcontainers.network("web")
    >>> web.df[["name", "ipv4_address", "host_interface"]]
"""

import base64
import html
from dataclasses import dataclass
from typing import Any

from docker import DockerClient

from nbcontainers.client import extension
from nbcontainers.client.connect import Client, connect
from nbcontainers.client.tables import Table, table
from nbcontainers.client.units import human_delay, human_rate

_TYPES = {
    **dict.fromkeys(("id", "name", "image", "ipv4_address", "ipv6_address", "mac_address"), "object"),
    **dict.fromkeys(("interface", "host_interface", "ports", "other_networks"), "object"),
    "namespace": "int64",
    **dict.fromkeys(("rate_bits_per_second", "delay_usec"), "int64"),
    "loss_percent": "float64",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A running container in a network; what the engine does not tell is empty, as most of the cable with Docker.

    Args:
        id: The container's.
        name: The container's.
        image: What it was made from.
        ipv4_address: With the length of its prefix; likewise the other one.
        ipv6_address: Empty for none.
        mac_address: Of the interface.
        interface: The cable's end in the container.
        host_interface: Its end on the host.
        namespace: The number of its network namespace, as ``lsns`` shows it; 0 for unknown.
        ports: What of it is published, such as ``0.0.0.0:8080→80/tcp``.
        other_networks: The names of the others that it is in.
        rate_bits_per_second: How fast its packets go at most, each way; 0 for no limit.
        delay_usec: How much later they arrive.
        loss_percent: How many of a hundred are lost.
    """

    id: str
    name: str
    image: str = ""
    ipv4_address: str = ""
    ipv6_address: str = ""
    mac_address: str = ""
    interface: str = ""
    host_interface: str = ""
    namespace: int = 0
    ports: tuple[str, ...] = ()
    other_networks: tuple[str, ...] = ()
    rate_bits_per_second: int = 0
    delay_usec: int = 0
    loss_percent: float = 0.0

    @property
    def limits(self) -> str:
        """How its link is limited, for people; empty for not at all."""
        loss = f"{self.loss_percent:g}% lost" if self.loss_percent else ""
        parts = (human_rate(self.rate_bits_per_second), human_delay(self.delay_usec), loss)
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A network with all that is in it at one moment.

    Args:
        name: The network's.
        id: The network's.
        driver: What it is made of.
        bridge: The bridge's interface on the host; of a macvlan network the interface it stands on.
        subnets: Such as ``172.18.0.0/16``.
        gateways: By which containers leave it.
        internal: Whether there is no way out.
        masquerade: Whether containers appear outside under the host's address.
        icc: Whether its containers reach each other.
        members: Who is in it, by name.
    """

    name: str
    id: str
    driver: str
    bridge: str = ""
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    internal: bool = False
    masquerade: bool = True
    icc: bool = True
    members: tuple[Member, ...] = ()

    @property
    def df(self) -> Table:
        """The members, one row each.

        Columns id, name, image, ipv4_address, ipv6_address, mac_address, interface, host_interface (the two ends of the
        cable), ports, other_networks (texts), namespace, rate_bits_per_second, delay_usec (whole numbers), loss_percent
        (float).
        """
        rows: list[dict[str, object]] = []
        for member in self.members:
            row = {name: getattr(member, name) for name in _TYPES}
            rows.append({**row, "ports": ", ".join(member.ports), "other_networks": ", ".join(member.other_networks)})
        return table(rows, _TYPES)

    @property
    def svg(self) -> str:
        """The picture."""
        from nbcontainers.client.drawing import draw

        return draw(self)

    def _repr_html_(self) -> str:
        # As an image, for JupyterLab takes SVG out of a notebook that it does not trust, but not images.
        data = base64.b64encode(self.svg.encode()).decode()
        shown = html.escape(str(self))
        return f'<img src="data:image/svg+xml;base64,{data}" alt="{shown}" style="width:100%;max-width:960px">'

    @property
    def way_out(self) -> str:
        """How containers leave the network, in a few words."""
        if self.driver == "null":
            return "none"
        if self.internal:
            return "none: the network is internal"
        if self.driver == "host":
            return "the host's own"
        if self.driver != "bridge":
            return f"straight to the wire, by {self.bridge}" if self.bridge else "straight to the wire"
        return "under the host's address" if self.masquerade else "under their own addresses"

    def __str__(self) -> str:
        facts = [self.name, self.driver, *self.subnets]
        lines = ["  ".join(facts), f"way out: {self.way_out}"]
        if self.driver in ("bridge", "macvlan"):
            lines.append("  ".join(part for part in (self.bridge or self.driver, *self.gateways) if part))
        widths = [max((len(cells[i]) for cells in map(_cells, self.members)), default=0) for i in range(4)]
        for number, member in enumerate(self.members, 1):
            branch = "└─" if number == len(self.members) else "├─"
            cells = (cell.ljust(width) for cell, width in zip(_cells(member), widths, strict=True) if width)
            lines.append(f"{branch} {'  '.join(cells)}  {'  '.join(_remarks(member))}".rstrip())
        if not self.members:
            lines.append("└─ nobody is in it")
        return "\n".join(lines)

    __repr__ = __str__


def _cells(member: Member) -> tuple[str, str, str, str]:
    return member.host_interface, member.interface, member.name, member.ipv4_address


def _remarks(member: Member) -> list[str]:
    limits = [f"[{member.limits}]"] if member.limits else []
    others = [f"also in {', '.join(member.other_networks)}"] if member.other_networks else []
    return [*([member.ipv6_address] if member.ipv6_address else []), *member.ports, *limits, *others]


def topology(client: DockerClient, name: str) -> Topology:
    """Return a network with all that is in it.

    Raises:
        docker.errors.NotFound: There is no such network.
    """
    api: Any = client.api
    network = api.inspect_network(name)
    pools = (network.get("IPAM") or {}).get("Config") or []
    listed = {row["Id"]: row for row in api.containers(filters={"network": [network["Id"]]})}
    extra = extension.get_json(client, f"/networks/{network['Id']}/topology") if extension.is_ours(client) else {}
    options = network.get("Options") or {}
    members = [
        _member(network["Name"], identifier, member, listed.get(identifier) or {}, extra)
        for identifier, member in (network["Containers"] or {}).items()
    ]
    return Topology(
        name=network["Name"],
        id=network["Id"],
        driver=network["Driver"],
        bridge=extra.get("bridge") or options.get("com.docker.network.bridge.name") or options.get("parent") or "",
        subnets=tuple(pool["Subnet"] for pool in pools),
        gateways=tuple(pool["Gateway"] for pool in pools if pool.get("Gateway")),
        internal=network["Internal"],
        masquerade=extra.get("masquerade", not network["Internal"]),
        icc=extra.get("icc", True),
        members=tuple(sorted(members, key=lambda member: member.name)),
    )


def _member(
    network: str, identifier: str, member: dict[str, Any], listed: dict[str, Any], extra: dict[str, Any]
) -> Member:
    told = extra.get("members", {}).get(identifier)
    cable: dict[str, Any] = dict(told or {})
    ports = cable.pop("ports", None)
    if ports is None:
        ports = [
            {"host_ip": one["IP"], "host_port": one["PublicPort"], "port": one["PrivatePort"], "protocol": one["Type"]}
            for one in listed.get("Ports") or ()
            if one.get("PublicPort")
        ]
    others = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    return Member(
        id=identifier,
        name=member["Name"],
        image=listed.get("Image", ""),
        ipv4_address=member["IPv4Address"],
        ipv6_address=member["IPv6Address"],
        mac_address=member["MacAddress"],
        ports=tuple(_port(one) for one in ports),
        other_networks=tuple(sorted(name for name in others if name != network)),
        **cable,
    )


def _port(port: dict[str, Any]) -> str:
    host = f"[{port['host_ip']}]" if ":" in port["host_ip"] else port["host_ip"]
    return f"{host}:{port['host_port']}→{port['port']}/{port['protocol']}"


def network(name: str, client: Client | None = None) -> Topology:
    """Return a network as it is now; ``.df`` has its members, and a notebook shows it as a picture.

    Args:
        name: Its name or id.
        client: The engine; this user's own by default.

    Raises:
        docker.errors.NotFound: There is no such network.
    """
    if client is not None:
        return topology(client, name)
    own = connect()
    try:
        return topology(own, name)
    finally:
        own.close()
