"""Addresses: a subnet that nobody here uses, and who has which address in it."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from nbcontainers import errors

DEFAULT_POOLS: tuple[ipaddress.IPv4Network, ...] = tuple(
    ipaddress.IPv4Network(f"172.{second}.0.0/16") for second in range(18, 32)
) + tuple(ipaddress.IPv4Network(f"192.168.{third}.0/24") for third in range(96, 256))
"""Where default networks come from, in this order: like Docker's, one after its first."""

_HALF_OF_ALL = 1
"""The prefix length of 0.0.0.0/1 and 128.0.0.0/1: a default route in two halves, as VPNs set it to outdo the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """An address that a container has."""

    container_id: str
    address: str


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


class Addresses:
    """The addresses of one subnet; the first one is the gateway's.

    Addresses are given out in turn, so that one that was given back rests as long as possible before somebody else
    has it: caches out there have time to forget.

    Args:
        subnet: The subnet.
    """

    def __init__(self, subnet: ipaddress.IPv4Network) -> None:
        self.subnet = subnet
        self._first = int(subnet.network_address) + 1
        self._last = int(subnet.broadcast_address) - 1
        self._next = self._first + 1
        self._taken = {self._first}

    @property
    def gateway(self) -> str:
        """The bridge's own address."""
        return str(ipaddress.ip_address(self._first))

    def take(self) -> str:
        """Return a free address.

        Raises:
            errors.Unavailable: There is none.
        """
        for _ in range(self._last - self._first + 1):
            candidate = self._next
            self._next = candidate + 1 if candidate < self._last else self._first
            if candidate not in self._taken:
                self._taken.add(candidate)
                return str(ipaddress.ip_address(candidate))
        raise errors.Unavailable("an address", f"all of {self.subnet} are in use", "remove some containers")

    def reserve(self, address: str) -> None:
        """Mark an address as taken, as one is that a container still has from an earlier engine."""
        self._taken.add(int(ipaddress.ip_address(address)))

    def give_back(self, address: str) -> None:
        """Let somebody else have an address."""
        self._taken.discard(int(ipaddress.ip_address(address)))


def mac_address(address: str) -> str:
    """Return the hardware address that goes with an IPv4 address, as Docker makes them: no two are the same."""
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))
