"""Published ports: which ports of the host are whose.

The kernel forwards (see ``rules``); no process stands between. But a port that is forwarded is a port that nobody else
should be given, and a port that somebody listens on should not be taken away from him. So the engine binds a socket to
every port it publishes: the kernel then gives the port to nobody else, picks a free one where any will do, and
``ss -l`` shows who has it. No packet ever reaches these sockets; they go with the engine's process, and the next engine
binds them again.
"""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from nbcontainers import errors
from nbcontainers.networks.rules import Forwarding

EVERYWHERE = "0.0.0.0"
EVERYWHERE_IPV6 = "::"
_ATTEMPTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PortWish:
    """A port of a container that is to be published.

    Args:
        port: The container's port.
        protocol: ``tcp``, ``udp`` or ``sctp``.
        host_address: An address of the host; empty for all of them.
        host_ports: The ports that will do, of which the first free one is taken; empty for any.
    """

    port: int
    protocol: str
    host_address: str = ""
    host_ports: range = range(0)


class Ports:
    """The ports of the host that containers of this engine have."""

    def __init__(self) -> None:
        self._held: dict[str, list[tuple[Forwarding, socket.socket]]] = {}

    def take(self, container_id: str, wishes: Sequence[PortWish], address: str, ipv6_address: str) -> list[Forwarding]:
        """Take all ports that a container wants, or none.

        Args:
            container_id: Who wants them.
            wishes: What it wants.
            address: Its IPv4 address.
            ipv6_address: Its IPv6 address, or empty.

        Raises:
            errors.Conflict: A port is taken; the words are Docker's.
            errors.InvalidArgument: An address of the host cannot lead to this container.
            errors.Unavailable: The kernel does not know the protocol.
        """
        with contextlib.ExitStack() as undo:
            taken: list[tuple[Forwarding, socket.socket]] = []
            for wish in wishes:
                for forwarding, holder in self._take(wish, address, ipv6_address, [one for one, _ in taken]):
                    undo.callback(holder.close)
                    taken.append((forwarding, holder))
            undo.pop_all()
        self._held.setdefault(container_id, []).extend(taken)
        return [forwarding for forwarding, _ in taken]

    def _take(
        self, wish: PortWish, address: str, ipv6_address: str, own: list[Forwarding]
    ) -> list[tuple[Forwarding, socket.socket]]:
        """Take one port, for both families where that is what is asked for."""
        if wish.host_address:
            host = ipaddress.ip_address(wish.host_address)
            inner = ipv6_address if host.version == 6 else address
            if not inner:
                raise errors.InvalidArgument(
                    f"invalid host address '{host}' of port {wish.port}: "
                    f"the container has no address of IPv{host.version}"
                )
            hosts = [(str(host), inner)]
        else:
            hosts = [(EVERYWHERE, address)]
            if ipv6_address:
                hosts.append((EVERYWHERE_IPV6, ipv6_address))
        for _ in range(_ATTEMPTS):
            try:
                return self._take_everywhere(wish, hosts, own)
            except errors.Conflict:
                # A port that the kernel chose for one family may be taken in the other.
                if wish.host_ports or len(hosts) == 1:
                    raise
        return self._take_everywhere(wish, hosts, own)

    def _take_everywhere(
        self, wish: PortWish, hosts: list[tuple[str, str]], own: list[Forwarding]
    ) -> list[tuple[Forwarding, socket.socket]]:
        refusal = None
        for candidate in wish.host_ports or range(1):
            with contextlib.ExitStack() as undo:
                found: list[tuple[Forwarding, socket.socket]] = []
                try:
                    for host, inner in hosts:
                        host_port = found[0][0].host_port if found else candidate
                        found.append(self._take_one(wish, host, host_port, inner, own))
                        undo.callback(found[-1][1].close)
                except errors.Conflict as error:
                    refusal = error
                else:
                    undo.pop_all()
                    return found
        assert refusal is not None
        raise refusal

    def _take_one(
        self, wish: PortWish, host: str, host_port: int, inner: str, own: list[Forwarding]
    ) -> tuple[Forwarding, socket.socket]:
        if host_port and self._is_ours(wish.protocol, host, host_port, own):
            raise errors.Conflict(f"Bind for {_pair(host, host_port)} failed: port is already allocated")
        try:
            holder = bind(wish.protocol, host, host_port)
        except OSError as error:
            target = f"{_pair(host, host_port)}:{_pair(inner, wish.port)}/{wish.protocol}"
            reason = "address already in use" if error.errno == errno.EADDRINUSE else str(error.strerror).lower()
            raise errors.Conflict(f"failed to bind host port for {target}: {reason}") from error
        forwarding = Forwarding(
            protocol=wish.protocol,
            host_address=host,
            host_port=holder.getsockname()[1],
            address=inner,
            port=wish.port,
        )
        return forwarding, holder

    def _is_ours(self, protocol: str, host: str, port: int, own: list[Forwarding]) -> bool:
        held = [forwarding for holders in self._held.values() for forwarding, _ in holders]
        return any(
            one.protocol == protocol and one.host_port == port and _overlap(one.host_address, host)
            for one in (*held, *own)
        )

    def reclaim(self, container_id: str, forwardings: Sequence[Forwarding]) -> list[str]:
        """Take ports again that a container has from an earlier engine.

        Returns:
            What went wrong, one sentence each: the kernel forwards all the same.
        """
        problems = []
        for one in forwardings:
            try:
                holder = bind(one.protocol, one.host_address, one.host_port)
            except OSError as error:
                where = f"{_pair(one.host_address, one.host_port)}/{one.protocol}"
                problems.append(f"the published port {where} is somebody else's as well: {error.strerror}")
            else:
                self._held.setdefault(container_id, []).append((one, holder))
        return problems

    def give_back(self, container_id: str) -> None:
        """Let others have a container's ports."""
        for _, holder in self._held.pop(container_id, ()):
            holder.close()

    def close(self) -> None:
        """Give all ports back."""
        for container_id in list(self._held):
            self.give_back(container_id)


def bind(protocol: str, host: str, port: int) -> socket.socket:
    """Return a socket that has a port of the host, or any port where it is 0.

    Raises:
        errors.Unavailable: The kernel does not know the protocol.
        OSError: EADDRINUSE when somebody has the port, EADDRNOTAVAIL when the host has no such address.

    Source: bind(2), socket(7) § SO_REUSEADDR.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    number = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}[protocol]
    try:
        holder = socket.socket(family, kind | socket.SOCK_CLOEXEC, number)
    except OSError as error:
        raise errors.Unavailable(protocol, str(error.strerror).lower(), f"modprobe {protocol}, or use tcp") from error
    try:
        if family == socket.AF_INET6:
            # ::1 cannot be forwarded: who connects there is to be refused, so that he tries 127.0.0.1 next.
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        elif protocol != "udp":
            # Connections of a server that was here before may linger; whoever listens now is still in the way.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
        if family == socket.AF_INET and protocol != "udp":
            holder.listen(1)
    except BaseException:
        holder.close()
        raise
    return holder


def _overlap(one: str, two: str) -> bool:
    """Say whether a socket at one address is in the way of one at the other."""
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(two)
    if first.version != second.version:
        return False
    return first == second or first.is_unspecified or second.is_unspecified


def _pair(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
