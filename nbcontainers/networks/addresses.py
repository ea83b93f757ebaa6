"""Addresses: a subnet that nobody here uses, and who has which address in it."""

import hashlib
import ipaddress
from collections.abc import Iterable

from nbcontainers import errors
from nbcontainers.networks.model import Subnet

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_POOLS: tuple[ipaddress.IPv4Network, ...] = tuple(
    ipaddress.IPv4Network(f"172.{second}.0.0/16") for second in range(18, 32)
) + tuple(ipaddress.IPv4Network(f"192.168.{third}.0/24") for third in range(96, 256))
"""Where default networks come from, in this order: like Docker's, one after its first."""

_HALF_OF_ALL = 1
"""The prefix length of 0.0.0.0/1 and 128.0.0.0/1: a default route in two halves, as VPNs set it to outdo the other."""
_IPV6_SUBNETS = 1 << 16


def choose_subnet(used: Iterable[str]) -> ipaddress.IPv4Network:
    """Return the first default pool that this machine does not use for anything yet.

    Args:
        used: Destinations of the host's routes, and its addresses with their prefixes, such as ``10.0.0.0/8``.

    Raises:
        errors.Unavailable: All are taken.
    """
    networks = [ipaddress.IPv4Network(one, strict=False) for one in used]
    taken = [network for network in networks if network.prefixlen > _HALF_OF_ALL]
    for pool in DEFAULT_POOLS:
        if not any(pool.overlaps(network) for network in taken):
            return pool
    raise errors.Unavailable("a subnet", "the host has routes into all default pools", "remove one of them")


def is_used(subnet: str, used: Iterable[str]) -> bool:
    """Say whether this machine uses a subnet, or a part of it, for something.

    Args:
        subnet: Such as ``172.18.0.0/16``.
        used: As for ``choose_subnet``, of the subnet's family.
    """
    wanted = ipaddress.ip_network(subnet)
    others = (ipaddress.ip_network(one, strict=False) for one in used)
    return any(
        wanted.version == other.version and other.prefixlen > _HALF_OF_ALL and wanted.overlaps(other)
        for other in others
    )


def choose_ipv6_subnet(used: Iterable[str], identity: str) -> ipaddress.IPv6Network:
    """Return a local subnet of IPv6 that this machine does not use, out of a range that is the engine's own.

    Raises:
        errors.Unavailable: All are taken.

    Source: RFC 4193 § 3.2 (the 40 bits that make such a range unique, here not of chance but of the engine's identity).
    """
    taken = {ipaddress.IPv6Network(one, strict=False) for one in used}
    prefix = (0xFD << 120) | int(hashlib.sha256(identity.encode()).hexdigest()[:10], 16) << 80
    for number in range(_IPV6_SUBNETS):
        candidate = ipaddress.IPv6Network((prefix | number << 64, 64))
        if not any(candidate.overlaps(network) for network in taken if network.prefixlen > _HALF_OF_ALL):
            return candidate
    raise errors.Unavailable("an IPv6 subnet", "the host has routes into all of this engine's", "remove one of them")


class Addresses:
    """The addresses of one subnet, of IPv4 or IPv6.

    Addresses are given out in turn, so that one that was given back rests as long as possible before somebody else
    has it: caches out there have time to forget.

    Args:
        subnet: The subnet.
        gateway: The address of who leads out; the first one where it is not given.
        ip_range: The part that addresses are given out of; by default all of it.
        auxiliary: Addresses that others have.
    """

    def __init__(
        self,
        subnet: IPNetwork,
        *,
        gateway: str = "",
        ip_range: IPNetwork | None = None,
        auxiliary: Iterable[str] = (),
    ) -> None:
        self.subnet = subnet
        first, last = _ends(subnet)
        self._gateway = int(ipaddress.ip_address(gateway)) if gateway else first
        self._taken = {self._gateway, *(int(ipaddress.ip_address(one)) for one in auxiliary)}
        if ip_range is not None:
            first = max(first, int(ip_range.network_address))
            last = min(last, int(ip_range.broadcast_address))
        self._first, self._last = first, last
        self._next = first

    @property
    def gateway(self) -> str:
        """The bridge's own address."""
        return self._text(self._gateway)

    def _text(self, number: int) -> str:
        kind = ipaddress.IPv4Address if self.subnet.version == 4 else ipaddress.IPv6Address
        return str(kind(number))

    def take(self) -> str:
        """Return a free address.

        Raises:
            errors.Unavailable: There is none.
        """
        # So many tries find a free one if there is one; the range itself may be far too large to count through.
        for _ in range(min(self._last - self._first, len(self._taken)) + 1):
            candidate = self._next
            self._next = candidate + 1 if candidate < self._last else self._first
            if candidate not in self._taken:
                self._taken.add(candidate)
                return self._text(candidate)
        raise errors.Unavailable("an address", f"all of {self.subnet} are in use", "remove some containers")

    def check(self, address: str) -> None:
        """Refuse an address that nobody can be given.

        Raises:
            errors.InvalidArgument: It is not in the subnet.
        """
        if ipaddress.ip_address(address) not in self.subnet:
            raise errors.InvalidArgument(f"no configured subnet contains IP address {address}")

    def take_this(self, address: str) -> None:
        """Take an address of the user's choice.

        Raises:
            errors.InvalidArgument: It is not in the subnet.
            errors.Forbidden: Somebody has it.
        """
        self.check(address)
        number = int(ipaddress.ip_address(address))
        if number in self._taken:
            raise errors.Forbidden(f"Address already in use: {address}")
        self._taken.add(number)

    def reserve(self, address: str) -> None:
        """Mark an address as taken, as one is that a container still has from an earlier engine."""
        self._taken.add(int(ipaddress.ip_address(address)))

    def give_back(self, address: str) -> None:
        """Let somebody else have an address."""
        self._taken.discard(int(ipaddress.ip_address(address)))


def _ends(subnet: IPNetwork) -> tuple[int, int]:
    """Return the first and the last address that a host may have in a subnet."""
    last = int(subnet.broadcast_address)
    return int(subnet.network_address) + 1, last - 1 if subnet.version == 4 else last


def mac_address(address: str) -> str:
    """Return the hardware address that goes with an IPv4 address, as Docker makes them: no two are the same."""
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))


class Book:
    """Who has which addresses in a network: one subnet of IPv4, and perhaps one of IPv6.

    Args:
        ipv4: The addresses of the one.
        ipv6: Those of the other.
    """

    def __init__(self, ipv4: Addresses, ipv6: Addresses | None = None) -> None:
        self.ipv4 = ipv4
        self.ipv6 = ipv6

    def reserve(self, address: str, ipv6_address: str = "") -> None:
        """Mark what a container still has from an earlier engine."""
        if address:
            self.ipv4.reserve(address)
        if ipv6_address and self.ipv6 is not None:
            self.ipv6.reserve(ipv6_address)

    def give_back(self, address: str, ipv6_address: str = "") -> None:
        """Let somebody else have them."""
        if address:
            self.ipv4.give_back(address)
        if ipv6_address and self.ipv6 is not None:
            self.ipv6.give_back(ipv6_address)

    def take_ipv6(self, wanted: str) -> str:
        """Return a free IPv6 address, or the one that is wanted; empty where the network has none.

        Raises:
            errors.InvalidArgument: The one wanted cannot be had in this network.
            errors.Forbidden: Somebody has it.
            errors.Unavailable: None is free.
        """
        self.check_ipv6(wanted)
        if self.ipv6 is None:
            return ""
        if wanted:
            self.ipv6.take_this(wanted)
        return wanted or self.ipv6.take()

    def check_ipv6(self, wanted: str) -> None:
        """Refuse an IPv6 address that this network can never give; an empty one is fine.

        Raises:
            errors.InvalidArgument: It cannot.
        """
        if wanted and self.ipv6 is None:
            raise errors.InvalidArgument(f"no configured subnet contains IP address {wanted}")
        if wanted and self.ipv6 is not None:
            self.ipv6.check(wanted)


def book(subnets: Iterable[Subnet]) -> Book:
    """Open the book of a network whose subnets are known."""
    found: dict[int, Addresses] = {}
    for one in subnets:
        network = ipaddress.ip_network(one.subnet)
        ip_range = ipaddress.ip_network(one.ip_range, strict=False) if one.ip_range else None
        found[network.version] = Addresses(
            network, gateway=one.gateway, ip_range=ip_range, auxiliary=one.auxiliary.values()
        )
    return Book(found[4], found.get(6))
