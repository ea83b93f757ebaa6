"""Where the commands of a build are in the network: one place for all commands of a stage that want the same.

Making a network namespace with its cable takes the kernel longer than all else that a step needs. Nothing that a
command leaves in one outlives it, for it may change no interface, route or rule; so the next command of the stage gets
the same.
"""

import ipaddress
import os
from pathlib import Path

from nbcontainers.networks import Networks
from nbcontainers.networks.model import BRIDGE, HOST, NONE, Wish
from nbcontainers.networks.names import Seat
from nbcontainers.networks.nameserver import NAME_SERVER


class Place:
    """A place in a network.

    Args:
        networks: Where it is given back to.
        key: Its name there.
        namespace_fd: The network namespace, or -1 for none of its own.
        is_host: It is the host's own network.
        is_named: A name server answers in it.
    """

    def __init__(self, networks: Networks, key: str, namespace_fd: int, *, is_host: bool, is_named: bool) -> None:
        self._networks = networks
        self._key = key
        self._namespace_fd = namespace_fd
        self.is_host = is_host
        self._is_named = is_named

    @property
    def has_namespace(self) -> bool:
        """Say whether it has a network namespace of its own that was made before."""
        return self._namespace_fd >= 0

    def namespace_fd(self) -> int | None:
        """Return a descriptor of its network namespace, the caller's to close."""
        return os.dup(self._namespace_fd) if self.has_namespace else None

    def resolv_conf(self) -> str:
        """Return the text of /etc/resolv.conf: its own name server, or those of the host's that it can reach.

        Source: resolv.conf(5).
        """
        if self._is_named:
            return f"nameserver {NAME_SERVER}\noptions ndots:0\n"
        lines = _host_resolver()
        if not self.is_host:
            lines = [line for line in lines if not _is_loopback(line)]
        return "".join(f"{line}\n" for line in lines)

    def leave(self) -> None:
        """Give it back."""
        if self.has_namespace:
            os.close(self._namespace_fd)
            self._namespace_fd = -1
            self._networks.release(self._key)


class Places:
    """The places of one stage.

    Args:
        networks: Gives them.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._places: dict[str, Place] = {}

    async def enter(self, name: str) -> Place:
        """Return a place in a network: ``default``, ``none``, ``host``, or a name or id.

        Raises:
            NoSuchNetwork: There is none of this name.
            Unavailable: No address is free.
        """
        if name not in self._places:
            self._places[name] = await self._new(name)
        return self._places[name]

    async def _new(self, name: str) -> Place:
        network = self._networks.get(BRIDGE if name == "default" else name)
        key = os.urandom(32).hex()
        if network.name in (HOST, NONE):
            return Place(self._networks, key, -1, is_host=network.name == HOST, is_named=False)
        endpoints = await self._networks.join(key, [Wish(network_id=network.id)])
        is_named = network.name != BRIDGE
        place = Place(self._networks, key, endpoints[0].namespace_fd, is_host=False, is_named=is_named)
        if is_named:
            seats = [Seat(network_id=network.id, network_name=network.name)]
            try:
                await self._networks.open_name_server(key, endpoints[0].namespace_fd, seats, _host_name_servers)
            except BaseException:
                place.leave()
                raise
        return place

    def leave(self) -> None:
        """Give all places back."""
        while self._places:
            self._places.popitem()[1].leave()


def _host_resolver() -> list[str]:
    try:
        return Path("/etc/resolv.conf").read_text(errors="replace").splitlines()
    except OSError:
        return []


def _host_name_servers() -> list[str]:
    """Return whom the host asks about the world."""
    words = [line.split() for line in _host_resolver()]
    return [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]


def _is_loopback(line: str) -> bool:
    words = line.split()
    if len(words) < 2 or words[0] != "nameserver":
        return False
    try:
        return ipaddress.ip_address(words[1].partition("%")[0]).is_loopback
    except ValueError:
        return False
