"""The driver ``bridge``: a switch in the kernel, and the cables that are plugged into it.

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
import socket
from collections.abc import Iterator
from dataclasses import replace

from nbcontainers.errors import SyscallError, Unavailable
from nbcontainers.linux.netlink import Netlink
from nbcontainers.networks import addresses as addressing
from nbcontainers.networks import ownership
from nbcontainers.networks.addresses import Book, mac_address
from nbcontainers.networks.ground import Ground, add_default_routes
from nbcontainers.networks.model import (
    OPTION_BRIDGE_NAME,
    OPTION_ICC,
    OPTION_MASQUERADE,
    Endpoint,
    Network,
    Subnet,
    Wish,
)
from nbcontainers.networks.rules import Segment

FIRST_INTERFACE = "eth0"


def bridge_name(identity: str, network: Network) -> str:
    """Return the name of a network's bridge: the user's, or one of the engine's own."""
    chosen = network.options.get(OPTION_BRIDGE_NAME, "")
    return chosen or ownership.bridge_name(identity, "" if network.is_predefined else network.id)


class Bridge:
    """One bridge with its subnets.

    Args:
        ground: What it stands on.
        network: The network; without subnets it takes the one that an earlier engine has left, or one that is free.
    """

    def __init__(self, ground: Ground, network: Network) -> None:
        self.network = network
        self.name = bridge_name(ground.identity, network)
        self.book: Book
        self._ground = ground
        self._index = 0
        self._is_ours = True
        self._isolated = not network.flag(OPTION_ICC, True)

    def open(self) -> None:
        """Make the bridge, or take over the one that is there; call it while ``ownership.alone``.

        Raises:
            SyscallError: The kernel has no bridges.
            Unavailable: No subnet is free.
        """
        netlink = self._ground.netlink
        found = next((link for link in netlink.links() if link.name == self.name), None)
        if found is not None:
            self._is_ours = not self.network.options.get(OPTION_BRIDGE_NAME) or ownership.is_mark(found.alias)
            self._index = found.index
            self._settle_subnets(netlink.addresses(found.index))
            self._prepare()
            return
        self._check_still_free()
        self._settle_subnets([])
        # A name of the user's tells nobody whose it is: the bridge has it only when it bears our mark.
        first_name = ownership.bridge_name(self._ground.identity, "" if self.network.is_predefined else self.network.id)
        self._index = netlink.add_bridge(first_name)
        try:
            if self.name != first_name:
                netlink.set_alias(self._index, ownership.mark())
                netlink.rename(self._index, self.name)
            self._prepare()
        except BaseException:
            self._index = 0
            netlink.delete_link(first_name)
            netlink.delete_link(self.name)
            raise

    def _check_still_free(self) -> None:
        """Refuse to make a bridge whose subnet was free when it was chosen, but which others on this host have by now.

        A reboot, and a dockerd that starts before the engine, are enough. What the user has chosen is the user's own.
        """
        netlink = self._ground.netlink
        for subnet in self.network.subnets:
            family = socket.AF_INET6 if subnet.is_ipv6 else socket.AF_INET
            if not subnet.asked and addressing.is_used(
                subnet.subnet, [*netlink.routes(family), *netlink.all_addresses(family)]
            ):
                raise Unavailable(
                    f"the subnet {subnet.subnet}",
                    "somebody else on this host has it by now",
                    "remove the network and create it again",
                )

    def _settle_subnets(self, existing: list[tuple[str, int]]) -> None:
        """Find the subnets, where the network does not say, and open the book of addresses."""
        if not self.network.subnets:
            if existing:
                subnet = ipaddress.IPv4Network(f"{existing[0][0]}/{existing[0][1]}", strict=False)
            else:
                netlink = self._ground.netlink
                subnet = addressing.choose_subnet([*netlink.routes(), *netlink.all_addresses()])
            gateway = existing[0][0] if existing else str(subnet.network_address + 1)
            self.network = replace(self.network, subnets=(Subnet(subnet=str(subnet), gateway=gateway, asked=False),))
        self.book = addressing.book(self.network.subnets)

    def _prepare(self) -> None:
        """Mark the bridge as ours, give it its addresses, unless it has them already, and switch it on."""
        netlink, index = self._ground.netlink, self._index
        if self._is_ours:
            netlink.set_alias(index, ownership.mark())
            # Without one of its own its hardware address would change as containers come and go, and every container
            # would send to the old one until its neighbour table forgets it.
            netlink.set_mac(index, mac_address(self.book.ipv4.gateway))
            if self.network.mtu:
                netlink.set_mtu(index, self.network.mtu)
        for addresses in (self.book.ipv4, self.book.ipv6):
            if addresses is not None:
                with _existing_is_fine():
                    netlink.add_address(index, addresses.gateway, addresses.subnet.prefixlen)
        netlink.set_up(index)
        self._set_sysctls()

    def _set_sysctls(self) -> None:
        ground = self._ground
        try:
            # What the host sends to 127.0.0.1 may be led to a container; ``rules`` keep containers from coming here.
            ground.write_sysctl(f"ipv4/conf/{self.name}/route_localnet", "1")
            if self.book.ipv6 is not None and not self.network.internal:
                ground.forward_ipv6()
        except OSError as error:
            lacking = f"{error.filename}: {error.strerror}"
            ground.problems[self.network.id] = f"network '{self.network.name}' lacks something: {lacking}"

    @property
    def segment(self) -> Segment:
        """What the rules know of it."""
        return Segment(
            bridge=self.name,
            subnets=tuple(subnet.subnet for subnet in self.network.subnets),
            internal=self.network.internal,
            masquerade=self.network.flag(OPTION_MASQUERADE, True),
        )

    def make_endpoint(self) -> Endpoint:
        """Make a namespace with a cable to the bridge, an address and a route.

        Raises:
            SyscallError: A limit of the kernel is reached.
            Unavailable: No address is free.
        """
        inside, namespace_fd = self._ground.new_namespace()
        with inside:
            try:
                endpoint = self.plug(inside, namespace_fd, FIRST_INTERFACE, Wish(network_id=self.network.id))
                try:
                    add_default_routes(inside, endpoint)
                except BaseException:
                    self.give_back(endpoint.address, endpoint.ipv6_address)
                    raise
            except BaseException:
                os.close(namespace_fd)
                raise
        return endpoint

    def plug(self, inside: Netlink, namespace_fd: int, interface: str, wish: Wish) -> Endpoint:
        """Lay a cable into a namespace and give its far end addresses.

        Args:
            inside: A socket in that namespace.
            namespace_fd: A descriptor of it.
            interface: The name of the far end.
            wish: What the container wants.

        Raises:
            SyscallError: A limit of the kernel is reached.
            InvalidArgument: An address is not in this network.
            Forbidden: Somebody has the address.
            Unavailable: No address is free.
        """
        ipv6_address = self.book.take_ipv6(wish.ipv6_address)
        address = ""
        try:
            address, name, mac = self._lay_cable(namespace_fd, interface, wish)
            if self._isolated:
                self._ground.netlink.set_isolated(self._ground.netlink.link_index(name))
            self._configure(inside, interface, address, ipv6_address, wish)
        except BaseException:
            self.give_back(address, ipv6_address)
            raise
        ipv4, ipv6, internal = self.book.ipv4, self.book.ipv6, self.network.internal
        return Endpoint(
            network_id=self.network.id,
            endpoint_id=secrets.token_hex(32),
            namespace_fd=namespace_fd,
            interface=interface,
            address=address,
            prefix_length=ipv4.subnet.prefixlen,
            gateway="" if internal else ipv4.gateway,
            mac_address=mac,
            host_interface=name,
            ipv6_address=ipv6_address,
            ipv6_prefix_length=ipv6.subnet.prefixlen if ipv6 else 0,
            ipv6_gateway=ipv6.gateway if ipv6 and not internal else "",
        )

    def _lay_cable(self, namespace_fd: int, interface: str, wish: Wish) -> tuple[str, str, str]:
        """Lay a cable for the address that is wanted; return the address, the near end's name and the far end's mac."""
        if not wish.address:
            return self._lay_next_cable(namespace_fd, interface, wish)
        self.book.ipv4.take_this(wish.address)
        name = self._cable_name(wish.address)
        mac = wish.mac_address or mac_address(wish.address)
        try:
            # A cable of that name belongs to a container that has ended: the book knows of all others.
            self._ground.netlink.delete_link(name)
            self._add_veth(name, namespace_fd, interface, mac)
        except BaseException:
            self.book.ipv4.give_back(wish.address)
            raise
        return wish.address, name, mac

    def _lay_next_cable(self, namespace_fd: int, interface: str, wish: Wish) -> tuple[str, str, str]:
        """Lay a cable for the first address that nobody has."""
        passed = []
        try:
            while True:
                address = self.book.ipv4.take()
                passed.append(address)
                name, mac = self._cable_name(address), wish.mac_address or mac_address(address)
                try:
                    self._add_veth(name, namespace_fd, interface, mac)
                except SyscallError as error:
                    if error.errno != errno.EEXIST:
                        raise
                else:
                    passed.remove(address)
                    return address, name, mac
        finally:
            # Not sooner: they would be offered again before all others were tried.
            for address in passed:
                self.book.ipv4.give_back(address)

    def _cable_name(self, address: str) -> str:
        return f"nbv{self._ground.identity[:4]}{int(ipaddress.ip_address(address)):08x}"

    def _add_veth(self, name: str, namespace_fd: int, interface: str, mac: str) -> None:
        self._ground.netlink.add_veth(
            name,
            self._index,
            peer=interface,
            peer_namespace_fd=namespace_fd,
            peer_mac=mac,
            mtu=self.network.mtu,
        )

    def _configure(self, inside: Netlink, interface: str, address: str, ipv6_address: str, wish: Wish) -> None:
        index = inside.link_index(interface)
        inside.add_address(index, address, self.book.ipv4.subnet.prefixlen)
        if self.book.ipv6 is not None:
            inside.add_address(index, ipv6_address, self.book.ipv6.subnet.prefixlen)
        for extra in wish.link_local:
            inside.add_address(index, extra, 64 if ":" in extra else 16)
        inside.set_up(index)

    def unplug(self, endpoint: Endpoint) -> None:
        """Pull a cable out of a namespace that lives on."""
        self._ground.netlink.delete_link(endpoint.host_interface)
        self.give_back(endpoint.address, endpoint.ipv6_address)

    def give_back(self, address: str, ipv6_address: str) -> None:
        """Let somebody else have an endpoint's addresses: its namespace has gone."""
        self.book.give_back(address, ipv6_address)

    def close(self, *, purge: bool) -> None:
        """Let go of the bridge; ``purge`` removes it. What is not open, or no longer, is no error.

        Raises:
            SyscallError: The kernel does not remove the bridge.
        """
        index, self._index = self._index, 0
        if purge and index and self._is_ours:
            with ownership.alone():
                self._ground.netlink.delete_link(self.name)


@contextlib.contextmanager
def _existing_is_fine() -> Iterator[None]:
    try:
        yield
    except SyscallError as error:
        if error.errno != errno.EEXIST:
            raise
