"""Links, addresses and routes: what a network is made of, set through the kernel's netlink sockets by pyroute2.

A *bridge* is a switch in the kernel; a *veth* is a cable with two ends, of which one can be put into another network
namespace. A container's network is a namespace with one end of a veth, whose other end is plugged into a bridge.

Source: rtnetlink(7), veth(4), bridge(8).
"""

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nbcontainers.errors import SyscallError
from nbcontainers.linux import namespaces

LOOPBACK_INDEX = 1
IFA_F_NODAD = 0x02


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface.

    Args:
        index: Its number.
        name: Its name.
        kind: ``bridge``, ``veth`` and so on; empty for a physical one.
        master: The number of the bridge it is plugged into, 0 for none.
        alias: A text that somebody has put on it; the kernel gives it no meaning.
        mac: Its hardware address.

    Source: rtnetlink(7) § RTM_GETLINK.
    """

    index: int
    name: str
    kind: str
    master: int
    alias: str
    mac: str


class Netlink:
    """A netlink socket in the network namespace that the calling thread is in when it is opened.

    Source: netlink(7).
    """

    def __init__(self) -> None:
        self._socket = IPRoute()

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket.

        Source: close(2).
        """
        self._socket.close()

    def link_index(self, name: str) -> int:
        """Return an interface's number, 0 when there is none of that name.

        Source: rtnetlink(7) § RTM_GETLINK.
        """
        found = self._socket.link_lookup(ifname=name)
        return int(found[0]) if found else 0

    def links(self) -> list[Link]:
        """Return all interfaces.

        Source: rtnetlink(7) § RTM_GETLINK.
        """
        return [
            Link(
                index=int(row["index"]),
                name=str(row.get("ifname")),
                kind=str(row.get(("linkinfo", "kind")) or ""),
                master=int(row.get("master") or 0),
                alias=str(row.get("ifalias") or ""),
                mac=str(row.get("address") or ""),
            )
            for row in self._socket.get_links()
        ]

    def add_bridge(self, name: str) -> int:
        """Make a bridge and return its number.

        Raises:
            SyscallError: EEXIST when the name is taken, EOPNOTSUPP when the kernel has no bridges.

        Source: rtnetlink(7) § RTM_NEWLINK.
        """
        self._call("add bridge", name, self._socket.link, "add", ifname=name, kind="bridge")
        return self.link_index(name)

    def set_mac(self, index: int, mac: str) -> None:
        """Give an interface a hardware address of its own: a bridge without one takes the lowest of its ports'.

        Raises:
            SyscallError: ENODEV when there is no such interface, EADDRNOTAVAIL for a multicast address.

        Source: rtnetlink(7) § RTM_SETLINK, ip-link(8) § ip link set.
        """
        self._call("set address", mac, self._socket.link, "set", index=index, address=mac)

    def set_alias(self, index: int, alias: str) -> None:
        """Put a text on an interface, 255 bytes at most, for whoever looks at it.

        Raises:
            SyscallError: ENODEV when there is no such interface.

        Source: rtnetlink(7) § RTM_SETLINK, ip-link(8) § ip link set.
        """
        self._call("set alias", alias, self._socket.link, "set", index=index, ifalias=alias)

    def add_veth(
        self, name: str, bridge: int, *, peer: str, peer_namespace_fd: int, peer_mac: str, mtu: int = 0
    ) -> None:
        """Make a cable between a bridge and another network namespace, its near end up.

        Args:
            name: The near end's name.
            bridge: The bridge's number.
            peer: The far end's name.
            peer_namespace_fd: The namespace that the far end is born in.
            peer_mac: The far end's hardware address.
            mtu: The longest packet of both ends in bytes; 0 for the kernel's choice.

        Raises:
            SyscallError: EEXIST when a name is taken, EINVAL for an mtu that is out of range.

        Source: veth(4), rtnetlink(7) § RTM_NEWLINK.
        """
        far: dict[str, object] = {"ifname": peer, "net_ns_fd": peer_namespace_fd, "address": peer_mac}
        near: dict[str, object] = {"ifname": name, "kind": "veth", "master": bridge, "state": "up"}
        if mtu:
            far["mtu"] = near["mtu"] = mtu
        self._call("add veth", name, self._socket.link, "add", peer=far, **near)

    def add_macvlan(self, name: str, parent: int, *, mode: str, namespace_fd: int, mac: str, mtu: int = 0) -> None:
        """Make an interface with a hardware address of its own on another one, born in another network namespace.

        Args:
            name: Its name.
            parent: The number of the interface it stands on.
            mode: ``bridge``, ``private``, ``vepa`` or ``passthru``: how those on one parent reach each other.
            namespace_fd: The namespace that it is born in.
            mac: Its hardware address.
            mtu: The longest packet in bytes; 0 for the parent's.

        Raises:
            SyscallError: EOPNOTSUPP when the kernel has no macvlan, EINVAL when the parent cannot bear one, EBUSY when
                the parent is plugged into a bridge.

        Source: ip-link(8) § MACVLAN and MACVTAP Type Support, rtnetlink(7) § RTM_NEWLINK.
        """
        options: dict[str, object] = {"mtu": mtu} if mtu else {}
        self._call(
            "add macvlan",
            name,
            self._socket.link,
            "add",
            ifname=name,
            kind="macvlan",
            link=parent,
            macvlan_mode=mode,
            net_ns_fd=namespace_fd,
            address=mac,
            **options,
        )

    def add_ipvlan(self, name: str, parent: int) -> None:
        """Make an interface that has addresses of its own, and the hardware address of the one it stands on.

        Args:
            name: Its name.
            parent: The number of the interface it stands on.

        Raises:
            SyscallError: EOPNOTSUPP when the kernel has no ipvlan.

        Source: ip-link(8) § IPVLAN and IPVTAP Type Support, rtnetlink(7) § RTM_NEWLINK.
        """
        self._call("add ipvlan", name, self._socket.link, "add", ifname=name, kind="ipvlan", link=parent)

    def set_isolated(self, index: int) -> None:
        """Let a port of a bridge exchange packets with the bridge itself only, not with other such ports.

        Raises:
            SyscallError: EOPNOTSUPP when it is plugged into no bridge.

        Source: bridge(8) § bridge link set, isolated.
        """
        self._call("isolate port", str(index), self._socket.brport, "set", index=index, isolated=1)

    def set_hairpin(self, index: int) -> None:
        """Let a port of a bridge send packets back where they came from.

        Raises:
            SyscallError: EOPNOTSUPP when it is plugged into no bridge.

        Source: bridge(8) § bridge link set, hairpin.
        """
        self._call("set hairpin", str(index), self._socket.brport, "set", index=index, mode=1)

    def set_mtu(self, index: int, mtu: int) -> None:
        """Set an interface's longest packet, in bytes.

        Raises:
            SyscallError: EINVAL when it is out of the interface's range.

        Source: ip-link(8) § ip link set, netdevice(7) § SIOCSIFMTU.
        """
        self._call("set mtu", str(mtu), self._socket.link, "set", index=index, mtu=mtu)

    def rename(self, index: int, name: str) -> None:
        """Give an interface that is down another name.

        Raises:
            SyscallError: EEXIST when the name is taken, EINVAL when it is not a valid one.

        Source: ip-link(8) § ip link set, netdevice(7) § SIOCSIFNAME.
        """
        self._call("rename", name, self._socket.link, "set", index=index, ifname=name)

    def set_up(self, index: int) -> None:
        """Switch an interface on.

        Raises:
            SyscallError: ENODEV when there is none.

        Source: rtnetlink(7) § RTM_SETLINK.
        """
        self._call("set link up", str(index), self._socket.link, "set", index=index, state="up")

    def delete_link(self, name: str) -> None:
        """Remove an interface; one that is not there is no error.

        Raises:
            SyscallError: EOPNOTSUPP for a physical one.

        Source: rtnetlink(7) § RTM_DELLINK.
        """
        if index := self.link_index(name):
            try:
                self._call("delete link", name, self._socket.link, "del", index=index)
            except SyscallError as error:
                if error.errno != errno.ENODEV:  # the kernel has taken it away with its namespace just now
                    raise

    def add_address(self, index: int, address: str, prefix_length: int) -> None:
        """Give an interface an address; one of IPv6 can be used at once, without asking whether others have it.

        Raises:
            SyscallError: EEXIST when it has it already, EACCES for IPv6 where that is switched off.

        Source: rtnetlink(7) § RTM_NEWADDR, ip-address(8) § nodad.
        """
        flags = {"flags": IFA_F_NODAD} if ":" in address else {}
        self._call(
            "add address",
            address,
            self._socket.addr,
            "add",
            index=index,
            address=address,
            prefixlen=prefix_length,
            **flags,
        )

    def add_default_route(self, gateway: str, interface: str = "") -> None:
        """Send all packets for elsewhere, of the gateway's family, to a gateway.

        Args:
            gateway: Its address.
            interface: Where it is; that of a link-local address of IPv6 must be said.

        Raises:
            SyscallError: ENETUNREACH when the gateway is in no subnet of ours.

        Source: rtnetlink(7) § RTM_NEWROUTE.
        """
        way = _default_route(gateway)
        if interface and ipaddress.ip_address(gateway).is_link_local:
            way["oif"] = self.link_index(interface)
        self._call("add default route", gateway, self._socket.route, "add", **way)

    def delete_default_route(self, gateway: str) -> None:
        """Take back what ``add_default_route`` did; a route that is not there is no error.

        Raises:
            SyscallError: EPERM without CAP_NET_ADMIN.

        Source: rtnetlink(7) § RTM_DELROUTE.
        """
        try:
            self._call("delete default route", gateway, self._socket.route, "del", **_default_route(gateway))
        except SyscallError as error:
            if error.errno != errno.ESRCH:
                raise

    def queueing(self, verb: str, kind: str | None, index: int, **options: object) -> None:
        """Change what orders the packets that leave by an interface: a *queueing discipline*; see ``traffic``.

        Args:
            verb: ``add`` or ``del``.
            kind: The discipline's name; None for whichever is there.
            index: The interface's number.
            options: The discipline's own, and ``handle`` and ``parent``, as tc(8) calls them.

        Raises:
            SyscallError: ENOENT when the kernel has no such discipline, or there is none to be removed; EEXIST when
                another one is there.

        Source: tc(8), rtnetlink(7) § RTM_NEWQDISC.
        """
        self._call(f"{verb} queueing discipline", kind or "", self._socket.tc, verb, kind, index, **options)

    def addresses(self, index: int, family: int = socket.AF_INET) -> list[tuple[str, int]]:
        """Return an interface's addresses of one family with the lengths of their prefixes.

        Source: rtnetlink(7) § RTM_GETADDR.
        """
        rows = self._socket.get_addr(index=index, family=family)
        return [(str(row.get("address")), int(row["prefixlen"])) for row in rows if row["index"] == index]

    def all_addresses(self, family: int = socket.AF_INET) -> list[str]:
        """Return the addresses of all interfaces, also of those that are down, such as ``10.1.2.3/8``.

        Source: rtnetlink(7) § RTM_GETADDR.
        """
        return [f"{row.get('address')}/{row['prefixlen']}" for row in self._socket.get_addr(family=family)]

    def routes(self, family: int = socket.AF_INET) -> list[str]:
        """Return the destinations of all routes of one family but default ones, such as ``10.0.0.0/8``.

        Source: rtnetlink(7) § RTM_GETROUTE.
        """
        rows = self._socket.get_routes(family=family)
        return [f"{row.get('dst')}/{row['dst_len']}" for row in rows if row.get("dst")]

    def _call(self, what: str, name: str, function: Any, *arguments: object, **options: object) -> None:
        try:
            function(*arguments, **options)
        except NetlinkError as error:
            raise SyscallError(error.code, os.strerror(error.code), f"netlink: {what}", name) from error


def _default_route(gateway: str) -> dict[str, object]:
    return {"gateway": gateway, "dst": "::/0" if ":" in gateway else "0.0.0.0/0"}


def check_ipvlan(netlink: Netlink) -> None:
    """Try whether an ipvlan can be made; call it with a socket in a network namespace of your own.

    Raises:
        SyscallError: EOPNOTSUPP when the kernel lacks it.

    Source: ip-link(8) § IPVLAN and IPVTAP Type Support.
    """
    netlink.add_ipvlan("check0", netlink.add_bridge("check1"))


def check_bridge_and_veth() -> None:
    """Try whether a bridge and a veth can be made; call it in a network namespace of your own.

    Raises:
        SyscallError: EOPNOTSUPP when the kernel lacks one of them.

    Source: veth(4).
    """
    namespace_fd = namespaces.open_namespace("net", "thread-self")
    try:
        with Netlink() as netlink:
            bridge = netlink.add_bridge("check0")
            netlink.add_veth(
                "check1", bridge, peer="check2", peer_namespace_fd=namespace_fd, peer_mac="02:42:00:00:00:01"
            )
    finally:
        os.close(namespace_fd)
