"""The bridge and the namespaces plugged into it; every function here works in one thread of its own.

A namespace is made by unsharing the worker thread, keeping a descriptor, and returning. It has no name and no mount:
it lives as long as a descriptor or a process holds it, and its cable vanishes with it. So whoever is killed, nothing
is left behind.
"""

import contextlib
import ipaddress
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from nbcontainers.errors import Unavailable
from nbcontainers.linux import namespaces, nftables
from nbcontainers.linux.netlink import LOOPBACK_INDEX, Netlink
from nbcontainers.networks.addresses import Addresses, choose_subnet, mac_address

CONTAINER_INTERFACE = "eth0"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A place in a network, ready to be entered.

    Args:
        network_id: The network's id.
        endpoint_id: 64 hexadecimal digits.
        namespace_fd: The network namespace; whoever takes the endpoint closes it.
        address: The IPv4 address in it.
        prefix_length: Of the subnet.
        gateway: The bridge's address.
        mac_address: The hardware address.
        host_interface: The name of the cable's end on the host.
    """

    network_id: str
    endpoint_id: str
    namespace_fd: int
    address: str
    prefix_length: int
    gateway: str
    mac_address: str
    host_interface: str


class Bridge:
    """One bridge with its subnet.

    Args:
        name: The bridge's name, 15 characters at most.
        network_id: The id that endpoints carry.
        table: The name of the nftables table.
    """

    def __init__(self, name: str, network_id: str, table: str) -> None:
        self.name = name
        self.problems: list[str] = []
        self.addresses: Addresses
        self._network_id = network_id
        self._table = table
        self._prefix = name.replace("nbc-", "nbv")[:7]

    def open(self) -> None:
        """Make the bridge, or take over the one that an earlier engine has left.

        Raises:
            SyscallError: The kernel has no bridges.
            Unavailable: No subnet is free.
        """
        self._home_fd = namespaces.open_namespace("net", "thread-self")
        self._netlink = Netlink()
        self._index = self._netlink.link_index(self.name)
        existing = self._netlink.addresses(self._index) if self._index else []
        if existing:
            address, prefix_length = existing[0]
            subnet = ipaddress.IPv4Network(f"{address}/{prefix_length}", strict=False)
        else:
            subnet = choose_subnet(self._netlink.routes())
        self.addresses = Addresses(subnet)
        if not self._index:
            self._index = self._netlink.add_bridge(self.name)
        if not existing:
            self._netlink.add_address(self._index, self.addresses.gateway, subnet.prefixlen)
        self._netlink.set_up(self._index)
        self._masquerade()

    def _masquerade(self) -> None:
        """Let containers out under the host's address; where that cannot be, say so and go on without."""
        subnet = self.addresses.subnet
        try:
            if _FORWARDING.read_text().strip() != "1":
                _FORWARDING.write_text("1")
        except OSError as error:
            self.problems.append(f"containers have no way out: {_FORWARDING}: {error.strerror}")
        try:
            nftables.run(
                f"add table ip {self._table}; delete table ip {self._table}; add table ip {self._table}\n"
                f"add chain ip {self._table} postrouting {{ type nat hook postrouting priority srcnat; }}\n"
                f'add rule ip {self._table} postrouting ip saddr {subnet} oifname != "{self.name}" masquerade\n'
            )
        except Unavailable as error:
            self.problems.append(f"containers have no way out: {error}")

    def make_endpoint(self) -> Endpoint:
        """Make a namespace with a cable to the bridge, an address and a route.

        Raises:
            SyscallError: A limit of the kernel is reached.
            Unavailable: No address is free.
        """
        address = self.addresses.take()
        try:
            return self._make_endpoint(address)
        except BaseException:
            self.addresses.give_back(address)
            raise

    def _make_endpoint(self, address: str) -> Endpoint:
        interface = f"{self._prefix}{secrets.token_hex(4)}"
        inside, namespace_fd = _new_namespace(self._home_fd)
        try:
            mac = mac_address(address)
            self._netlink.add_veth(
                interface, self._index, peer=CONTAINER_INTERFACE, peer_namespace_fd=namespace_fd, peer_mac=mac
            )
            index = inside.link_index(CONTAINER_INTERFACE)
            inside.add_address(index, address, self.addresses.subnet.prefixlen)
            inside.set_up(index)
            inside.set_up(LOOPBACK_INDEX)
            inside.add_default_route(self.addresses.gateway)
        except BaseException:
            os.close(namespace_fd)
            raise
        finally:
            inside.close()
        return Endpoint(
            network_id=self._network_id,
            endpoint_id=secrets.token_hex(32),
            namespace_fd=namespace_fd,
            address=address,
            prefix_length=self.addresses.subnet.prefixlen,
            gateway=self.addresses.gateway,
            mac_address=mac,
            host_interface=interface,
        )

    def close(self, *, purge: bool) -> None:
        """Let go of the bridge; ``purge`` removes it, and the rules, where no container uses it."""
        if purge:
            self._netlink.delete_link(self.name)
            with contextlib.suppress(Unavailable):
                nftables.run(f"delete table ip {self._table}")
        self._netlink.close()
        os.close(self._home_fd)


def _new_namespace(home_fd: int) -> tuple[Netlink, int]:
    """Return a socket in a new network namespace and a descriptor of it; the calling thread comes home."""
    namespaces.unshare(namespaces.CLONE_NEWNET)
    try:
        return Netlink(), namespaces.open_namespace("net", "thread-self")
    finally:
        namespaces.setns(home_fd, namespaces.CLONE_NEWNET)
