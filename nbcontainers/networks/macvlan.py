"""The driver ``macvlan``: containers stand beside the host, in the network that one of its interfaces is in.

There is no bridge and there are no rules: packets go straight to the wire, and the host itself is the one machine
that such a container does not reach (ip-link(8) § MACVLAN).
"""

import secrets

from nbcontainers import errors
from nbcontainers.linux.netlink import Netlink
from nbcontainers.networks import addresses as addressing
from nbcontainers.networks.addresses import Book, mac_address
from nbcontainers.networks.ground import Ground
from nbcontainers.networks.model import OPTION_MACVLAN_MODE, OPTION_PARENT, Endpoint, Network, Wish

MODES = ("bridge", "private", "vepa", "passthru")


class Macvlan:
    """One such network.

    Args:
        ground: What it stands on.
        network: The network; its option ``parent`` names an interface of the host.
    """

    segment = None

    def __init__(self, ground: Ground, network: Network) -> None:
        self.network = network
        self.book: Book
        self._ground = ground
        self._mode = network.options.get(OPTION_MACVLAN_MODE) or "bridge"

    def open(self) -> None:
        """Open the book of addresses; nothing is made on the host.

        Raises:
            errors.InvalidArgument: There is no such interface.
        """
        self.book = addressing.book(self.network.subnets)
        self._parent()

    def _parent(self) -> int:
        name = self.network.options.get(OPTION_PARENT, "")
        index = self._ground.netlink.link_index(name) if name else 0
        if not index:
            raise errors.InvalidArgument(
                f"invalid subinterface vlan name {name}, the option parent must name an interface of this host"
            )
        return index

    def plug(self, inside: Netlink, namespace_fd: int, interface: str, wish: Wish) -> Endpoint:
        """Make an interface in a namespace and give it addresses.

        Raises:
            SyscallError: The parent cannot bear one.
            errors.InvalidArgument: An address is not in this network.
            errors.Forbidden: Somebody has the address.
            errors.Unavailable: No address is free.
        """
        ipv4 = self.book.ipv4
        ipv6_address, address = self.book.take_ipv6(wish.ipv6_address), ""
        try:
            if wish.address:
                ipv4.take_this(wish.address)
            address = wish.address or ipv4.take()
            mac = wish.mac_address or mac_address(address)
            self._ground.netlink.add_macvlan(
                interface,
                self._parent(),
                mode=self._mode,
                namespace_fd=namespace_fd,
                mac=mac,
                mtu=self.network.mtu,
            )
            index = inside.link_index(interface)
            inside.add_address(index, address, ipv4.subnet.prefixlen)
            if self.book.ipv6 is not None:
                inside.add_address(index, ipv6_address, self.book.ipv6.subnet.prefixlen)
            inside.set_up(index)
        except BaseException:
            self.give_back(address, ipv6_address)
            raise
        ipv6, internal = self.book.ipv6, self.network.internal
        return Endpoint(
            network_id=self.network.id,
            endpoint_id=secrets.token_hex(32),
            namespace_fd=namespace_fd,
            interface=interface,
            address=address,
            prefix_length=ipv4.subnet.prefixlen,
            gateway="" if internal else ipv4.gateway,
            mac_address=mac,
            host_interface="",
            ipv6_address=ipv6_address,
            ipv6_prefix_length=ipv6.subnet.prefixlen if ipv6 else 0,
            ipv6_gateway=ipv6.gateway if ipv6 and not internal else "",
        )

    def unplug(self, endpoint: Endpoint) -> None:
        """Take the interface out of a namespace that lives on."""
        with self._ground.inside(endpoint.namespace_fd) as inside:
            inside.delete_link(endpoint.interface)
        self.give_back(endpoint.address, endpoint.ipv6_address)

    def give_back(self, address: str, ipv6_address: str) -> None:
        """Let somebody else have an endpoint's addresses: its namespace has gone."""
        self.book.give_back(address, ipv6_address)

    def close(self, *, purge: bool) -> None:
        """There is nothing to let go of."""
