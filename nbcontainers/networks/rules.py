"""What packets may do: one nftables table per engine, made once; what changes are the elements of its sets and maps.

What holds, in the order in which a packet meets it:

- ``loopback``: nobody reaches the host's 127.0.0.0/8 from a container, although packets that leave it are forwarded
  there (``route_localnet``, for published ports).
- ``prerouting`` and ``output``: a port of the host that is published leads to the container. All addresses of the
  host or one of them; from outside, from the host itself, from another container.
- ``forward``: within a network everything, out of it everything unless it is internal, into it only what was asked
  for from inside or came through a published port. So networks do not reach each other, and who has a route to this
  host reaches no port that is not published.
- ``postrouting``: who leaves a network does so under the host's address; who comes through a published port from
  within the container's own network, or from the host's loopback, under the bridge's, so that the answer comes back
  the same way.

Only this table is touched, whatever others there are; it goes with the engine. Every change is one transaction.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from nbcontainers.linux import nftables


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What the rules know of a network: its bridge, its subnets, whether it has a way out, and under which address."""

    bridge: str
    subnets: tuple[str, ...]
    internal: bool
    masquerade: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """One published port: where it is reached, and where it leads.

    Args:
        protocol: ``tcp``, ``udp`` or ``sctp``.
        host_address: An address of the host; ``0.0.0.0`` or ``::`` for all of them.
        host_port: The port there.
        address: The container's address, of the same family.
        port: Its port.
    """

    protocol: str
    host_address: str
    host_port: int
    address: str
    port: int


_SKELETON = """
    set bridges {{ type ifname; }}
    set internal {{ type ifname; }}
    set within {{ type ifname . ifname; }}
    set own4 {{ type ifname . ipv4_addr; flags interval; }}
    set own6 {{ type ifname . ipv6_addr; flags interval; }}
    set leaving4 {{ type ipv4_addr; flags interval; }}
    set leaving6 {{ type ipv6_addr; flags interval; }}
    map published4 {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
    map published6 {{ type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }}
    map published4_everywhere {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
    map published6_everywhere {{ type inet_proto . inet_service : ipv6_addr . inet_service; }}
    chain loopback {{
        type filter hook prerouting priority raw; policy accept;
        iifname @bridges ip daddr 127.0.0.0/8 drop
        iifname @bridges ip saddr 127.0.0.0/8 drop
    }}
    chain published {{
        dnat ip to ip daddr . meta l4proto . th dport map @published4
        dnat ip to meta l4proto . th dport map @published4_everywhere
        ip6 daddr ::1 return
        dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6
        dnat ip6 to meta l4proto . th dport map @published6_everywhere
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local jump published
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        fib daddr type local jump published
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname != @bridges oifname != @bridges accept
        ct state established,related accept
        iifname . oifname @within accept
        iifname @internal drop
        oifname @internal drop
        ct status dnat accept
        oifname @bridges drop
        oifname {{ "nbc-*", "docker0" }} drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname . ip saddr @own4 ct status dnat masquerade
        oifname . ip6 saddr @own6 ct status dnat masquerade
        oifname . ip saddr @own4 accept
        oifname . ip6 saddr @own6 accept
        oifname @bridges ip saddr 127.0.0.0/8 masquerade
        oifname @bridges ip6 saddr ::1 masquerade
        ip saddr @leaving4 masquerade
        ip6 saddr @leaving6 masquerade
    }}
"""


class Rules:
    """One engine's table.

    Args:
        table: Its name.
    """

    def __init__(self, table: str) -> None:
        self._table = f"inet {table}"

    def make(self, segments: Iterable[Segment], forwardings: Iterable[Forwarding]) -> None:
        """Make the table anew, with all that is in it; what an earlier engine has left is replaced at once.

        Raises:
            Unavailable: The kernel cannot, or the library is missing.
        """
        elements = [*_of_segments(segments), *_of_forwardings(forwardings)]
        nftables.run(
            f"add table {self._table}\ndelete table {self._table}\n"
            f"table {self._table} {{{_SKELETON.format()}}}\n" + self._change("add", elements)
        )

    def add(self, segment: Segment) -> None:
        """Let a network in.

        Raises:
            Unavailable: The kernel refuses.
        """
        nftables.run(self._change("add", _of_segments([segment])))

    def remove(self, segment: Segment) -> None:
        """Forget a network.

        Raises:
            Unavailable: The kernel refuses.
        """
        nftables.run(self._change("delete", _of_segments([segment])))

    def publish(self, forwardings: Iterable[Forwarding]) -> None:
        """Lead ports of the host to containers.

        Raises:
            Unavailable: The kernel refuses.
        """
        nftables.run(self._change("add", _of_forwardings(forwardings)))

    def unpublish(self, forwardings: Iterable[Forwarding]) -> None:
        """Take back what ``publish`` did.

        Raises:
            Unavailable: The kernel refuses.
        """
        nftables.run(self._change("delete", _of_forwardings(forwardings)))

    def delete(self) -> None:
        """Remove the table; one that is not there is no error.

        Raises:
            Unavailable: The kernel refuses.
        """
        nftables.run(f"add table {self._table}\ndelete table {self._table}\n")

    def _change(self, verb: str, elements: list[tuple[str, str]]) -> str:
        return "".join(f"{verb} element {self._table} {name} {{ {element} }}\n" for name, element in elements)


def _of_segments(segments: Iterable[Segment]) -> list[tuple[str, str]]:
    """Return what networks are in the table: the name of a set and an element, each."""
    found = []
    for segment in segments:
        name = f'"{segment.bridge}"'
        found += [("bridges", name), ("within", f"{name} . {name}")]
        if segment.internal:
            found.append(("internal", name))
        for subnet in segment.subnets:
            kind = _kind(subnet)
            found.append((f"own{kind}", f"{name} . {subnet}"))
            if segment.masquerade and not segment.internal:
                found.append((f"leaving{kind}", subnet))
    return found


def _of_forwardings(forwardings: Iterable[Forwarding]) -> list[tuple[str, str]]:
    found = []
    for one in forwardings:
        kind, key = _kind(one.address), f"{one.protocol} . {one.host_port}"
        everywhere = ipaddress.ip_address(one.host_address).is_unspecified
        name = f"published{kind}_everywhere" if everywhere else f"published{kind}"
        key = key if everywhere else f"{one.host_address} . {key}"
        found.append((name, f"{key} : {one.address} . {one.port}"))
    return found


def _kind(address: str) -> int:
    return 6 if ":" in address else 4
