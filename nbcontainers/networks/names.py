"""Who is called what: the names of containers in each network, and what they stand for now."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A network as the resolver of one container sees it.

    Args:
        network_id: The network.
        network_name: Its name, with which names can be qualified.
        links: Names that only this container has for others: alias → name, in lower case.
    """

    network_id: str
    network_name: str
    links: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bearer:
    """A container that bears names in a network; without addresses it does not run."""

    name: str
    names: frozenset[str]
    addresses: tuple[str, ...]


class Names:
    """The names of all networks.

    Attributes:
        generation: Another number after every change: what was looked up before may be so no more.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._bearers: dict[str, dict[str, _Bearer]] = {}

    def enter(self, network_id: str, container_id: str, names: Sequence[str], addresses: Iterable[str]) -> None:
        """Say what a container is called in a network, the name that it is known by first.

        Args:
            network_id: The network.
            container_id: The container.
            names: Its names, in any case.
            addresses: Its addresses of both families; none while it does not run.
        """
        bearer = _Bearer(
            name=names[0],
            names=frozenset(name.lower() for name in names),
            addresses=tuple(address for address in addresses if address),
        )
        self._bearers.setdefault(network_id, {})[container_id] = bearer
        self.generation += 1

    def leave(self, network_id: str, container_id: str) -> None:
        """Forget a container's names in a network."""
        bearers = self._bearers.get(network_id, {})
        if bearers.pop(container_id, None):
            self.generation += 1
        if not bearers:
            self._bearers.pop(network_id, None)

    def lookup(self, seats: Iterable[Seat], name: str) -> list[str] | None:
        """Return the addresses, of both families, that a name stands for.

        Args:
            seats: The networks to look in, in this order; the first one that knows the name counts.
            name: In lower case, without a dot at its end.

        Returns:
            Addresses, none where all who bear the name have ended; None where nobody has ever borne it.
        """
        known = False
        for seat in seats:
            for candidate in (name, _unqualified(name, seat.network_name)):
                found = self._find(seat.network_id, seat.links.get(candidate, candidate)) if candidate else None
                if found:
                    return found
                known = known or found is not None
        return [] if known else None

    def _find(self, network_id: str, name: str) -> list[str] | None:
        bearers = [one for one in self._bearers.get(network_id, {}).values() if name in one.names]
        return [address for one in bearers for address in one.addresses] if bearers else None

    def reverse(self, seats: Iterable[Seat], address: str) -> str:
        """Return the name of who has an address, qualified with the network's; empty when nobody has it."""
        for seat in seats:
            for bearer in self._bearers.get(seat.network_id, {}).values():
                if address in bearer.addresses:
                    return f"{bearer.name}.{seat.network_name}"
        return ""


def _unqualified(name: str, network_name: str) -> str:
    suffix = f".{network_name.lower()}"
    return name.removesuffix(suffix) if name.endswith(suffix) else ""


def address_of_pointer(name: str) -> str:
    """Return the address that a name such as ``2.0.18.172.in-addr.arpa`` asks about; empty when it is none.

    Source: RFC 1035 § 3.5, RFC 3596 § 2.5.
    """
    labels = name.split(".")
    try:
        if name.endswith(".in-addr.arpa") and len(labels) == 6:
            return str(ipaddress.IPv4Address(".".join(reversed(labels[:4]))))
        if name.endswith(".ip6.arpa") and len(labels) == 34:
            digits = "".join(reversed(labels[:32]))
            return str(ipaddress.IPv6Address(int(digits, 16)))
    except ValueError:
        return ""
    return ""
