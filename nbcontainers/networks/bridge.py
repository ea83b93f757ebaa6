"""The bridge and the namespaces plugged into it; every function here works in one thread of its own.

A namespace is made by unsharing the worker thread, keeping a descriptor, and returning. It has no name and no mount:
it lives as long as a descriptor or a process holds it, and its cable vanishes with it. So whoever is killed, nothing
is left behind.

Nobody is given an address that somebody still has: the near end of a cable is named after the address at its far
end, and the kernel makes no two interfaces of one name. Cables go later than one would think (the kernel cleans up
after the last process of a namespace in the background), and an engine that was killed may have told nobody who had
which address; the name is there for exactly as long as the address is.
"""

import contextlib
import errno
import ipaddress
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from nbcontainers.errors import SyscallError, Unavailable
from nbcontainers.linux import namespaces, nftables
from nbcontainers.linux.netlink import LOOPBACK_INDEX, Netlink
from nbcontainers.networks import addresses as addressing
from nbcontainers.networks import ownership
from nbcontainers.networks.addresses import Addresses, mac_address

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
        identity: The engine's eight hexadecimal digits.
        network_id: The id that endpoints carry.
    """

    def __init__(self, identity: str, network_id: str) -> None:
        self.name = ownership.bridge_name(identity)
        self.problems: list[str] = []
        self.addresses: Addresses
        self._identity = identity
        self._network_id = network_id
        self._table = ownership.table_name(identity)
        self._held = contextlib.ExitStack()
        self._netlink: Netlink
        self._home_fd = -1
        self._index = 0

    def open(self) -> None:
        """Make the bridge, or take over the one that an earlier engine has left; ``close`` it also when this fails.

        Raises:
            SyscallError: The kernel has no bridges.
            Unavailable: No subnet is free.
        """
        with ownership.alone():
            self._open()

    def _open(self) -> None:
        self._home_fd = namespaces.open_namespace("net", "thread-self")
        self._held.callback(os.close, self._home_fd)
        self._netlink = Netlink()
        self._held.callback(self._netlink.close)
        ownership.sweep(self._netlink, self._identity)
        self._index = self._netlink.link_index(self.name)
        if self._index:
            self._prepare()
        else:
            subnet = self._free_subnet()
            self._index = self._netlink.add_bridge(self.name)
            try:
                self._prepare(subnet)
            except BaseException:
                self._netlink.delete_link(self.name)
                raise
        self._masquerade()

    def _free_subnet(self) -> ipaddress.IPv4Network:
        return addressing.choose_subnet([*self._netlink.routes(), *self._netlink.all_addresses()])

    def _prepare(self, subnet: ipaddress.IPv4Network | None = None) -> None:
        """Mark the bridge as ours, give it its addresses, unless it has some already, and switch it on."""
        self._netlink.set_alias(self._index, ownership.mark())
        existing = self._netlink.addresses(self._index)
        if existing:
            address, prefix_length = existing[0]
            subnet = ipaddress.IPv4Network(f"{address}/{prefix_length}", strict=False)
        subnet = subnet or self._free_subnet()
        self.addresses = Addresses(subnet)
        # Without one of its own its hardware address would change as containers come and go, and every container
        # would send to the old one until its neighbour table forgets it.
        self._netlink.set_mac(self._index, mac_address(self.addresses.gateway))
        if not existing:
            self._netlink.add_address(self._index, self.addresses.gateway, subnet.prefixlen)
        self._netlink.set_up(self._index)

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
        inside, namespace_fd = _new_namespace(self._home_fd)
        try:
            address, interface = self._plug(namespace_fd)
            try:
                self._configure(inside, address)
            except BaseException:
                self.addresses.give_back(address)
                raise
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
            mac_address=mac_address(address),
            host_interface=interface,
        )

    def _plug(self, namespace_fd: int) -> tuple[str, str]:
        """Lay a cable into a namespace, for the first address that nobody has; return it and the near end's name."""
        passed = []
        try:
            while True:
                address = self.addresses.take()
                passed.append(address)
                interface = f"nbv{self._identity[:4]}{int(ipaddress.ip_address(address)):08x}"
                try:
                    self._netlink.add_veth(
                        interface,
                        self._index,
                        peer=CONTAINER_INTERFACE,
                        peer_namespace_fd=namespace_fd,
                        peer_mac=mac_address(address),
                    )
                except SyscallError as error:
                    if error.errno != errno.EEXIST:
                        raise
                else:
                    passed.remove(address)
                    return address, interface
        finally:
            # Not sooner: they would be offered again before all others were tried.
            for address in passed:
                self.addresses.give_back(address)

    def _configure(self, inside: Netlink, address: str) -> None:
        index = inside.link_index(CONTAINER_INTERFACE)
        inside.add_address(index, address, self.addresses.subnet.prefixlen)
        inside.set_up(index)
        inside.set_up(LOOPBACK_INDEX)
        inside.add_default_route(self.addresses.gateway)

    def close(self, *, purge: bool) -> None:
        """Let go of the bridge; ``purge`` removes it, and the rules. What is not open, or no longer, is no error.

        Raises:
            SyscallError: The kernel does not remove the bridge.
        """
        index, self._index = self._index, 0
        with self._held:
            if purge and index:
                with ownership.alone():
                    self._netlink.delete_link(self.name)
                    with contextlib.suppress(Unavailable):
                        nftables.run(f"delete table ip {self._table}")


def _new_namespace(home_fd: int) -> tuple[Netlink, int]:
    """Return a socket in a new network namespace and a descriptor of it; the calling thread comes home."""
    namespaces.unshare(namespaces.CLONE_NEWNET)
    try:
        namespace_fd = namespaces.open_namespace("net", "thread-self")
        try:
            return Netlink(), namespace_fd
        except BaseException:
            os.close(namespace_fd)
            raise
    finally:
        namespaces.setns(home_fd, namespaces.CLONE_NEWNET)
