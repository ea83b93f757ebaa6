"""The name servers of containers: at 127.0.0.11 in every container of a network of the user's, as in Docker.

There is no process for it. The engine's worker thread enters a container's network namespace, opens two sockets there,
and comes back: the sockets belong to that namespace for good, and the engine's event loop serves them. They do not have
port 53 themselves, lest a name server that runs in the container finds it taken; a rule in the namespace leads there.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from nbcontainers.errors import Unavailable
from nbcontainers.linux import nftables
from nbcontainers.networks.names import Names, Seat
from nbcontainers.networks.resolver import Resolver
from nbcontainers.networks.upstream import Upstream

NAME_SERVER = "127.0.0.11"
_PORT = 53
_AT_ONCE = 64
_LARGEST_BYTES = 65535
_IDLE_SECONDS = 10.0
_LENGTH = struct.Struct("!H")
_NEW = "create table ip nbcontainers_names\n"
_ANEW = "add table ip nbcontainers_names\ndelete table ip nbcontainers_names\n"
_RULES = """
table ip nbcontainers_names {{
    chain output {{
        type nat hook output priority -100; policy accept;
        ip daddr {address} udp dport {port} dnat to {address}:{udp}
        ip daddr {address} tcp dport {port} dnat to {address}:{tcp}
    }}
}}
"""

Sockets = tuple[socket.socket, socket.socket]


def open_sockets() -> Sockets:
    """Open the two sockets of a name server in the calling thread's network namespace: UDP, and TCP listening.

    Raises:
        OSError: A limit of the kernel is reached.

    Source: ip(7) § Address formats (all of 127.0.0.0/8 is the host itself), nft(8) § NAT statements.
    """
    with contextlib.ExitStack() as undo:
        udp = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
        tcp = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for one in (udp, tcp):
            one.setblocking(False)
        try:
            udp.bind((NAME_SERVER, 0))
            tcp.bind((NAME_SERVER, 0))
            _lead_to(udp.getsockname()[1], tcp.getsockname()[1])
        except Unavailable:
            # Without rules the sockets have to have the port themselves.
            udp, tcp = _bound_to(udp, tcp)
        tcp.listen(16)
        undo.pop_all()
    return udp, tcp


def _lead_to(udp_port: int, tcp_port: int) -> None:
    """Lead port 53 to the sockets.

    Where an earlier engine has left its rules they are replaced; to do so in any case would take ten times as long, for
    the kernel waits for a grace period when a table goes.
    """
    rules = _RULES.format(address=NAME_SERVER, port=_PORT, udp=udp_port, tcp=tcp_port)
    try:
        nftables.run(_NEW + rules)
    except Unavailable:
        nftables.run(_ANEW + rules)


def _bound_to(udp: socket.socket, tcp: socket.socket) -> Sockets:
    found = []
    for one in (udp, tcp):
        kind = one.type
        one.close()
        again = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
        again.setblocking(False)
        again.bind((NAME_SERVER, _PORT))
        found.append(again)
    return found[0], found[1]


class NameServer:
    """One container's name server, served by the running event loop until it is closed.

    Args:
        sockets: Of ``open_sockets``; they are taken over.
        names: The names of all networks.
        seats: The networks that the container is in.
        servers: Who is asked about the world; a function, for they may change. None: nobody.
    """

    def __init__(
        self, sockets: Sockets, names: Names, seats: Sequence[Seat], servers: Callable[[], list[str]] | None
    ) -> None:
        self._udp, self._tcp = sockets
        self._resolver = Resolver(names, seats, forwards=servers is not None)
        self._servers = servers
        self._upstream = Upstream()
        self._tasks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._udp.fileno(), self._hear)
        loop.add_reader(self._tcp.fileno(), self._accept)

    def change(self, seats: Sequence[Seat], servers: Callable[[], list[str]] | None) -> None:
        """Let the container be in other networks."""
        self._servers = servers
        self._resolver.change(seats, forwards=servers is not None)

    def _hear(self) -> None:
        """Answer the questions that have come, at most so many: others want to be served as well."""
        udp, answer = self._udp, self._resolver.answer
        for _ in range(_AT_ONCE):
            try:
                query, peer = udp.recvfrom(_LARGEST_BYTES)
            except OSError:  # nothing more; or the complaint of who has gone before the last answer
                return
            reply = answer(query, stream=False)
            if reply is None:
                self._spawn(self._forward_datagram(query, peer))
            elif len(reply) > 2:
                self._reply(reply, peer)

    def _reply(self, reply: bytes, peer: Any) -> None:
        with contextlib.suppress(OSError):  # who has asked asks again
            self._udp.sendto(reply, peer)

    async def _forward_datagram(self, query: bytes, peer: Any) -> None:
        servers = self._servers() if self._servers else []
        reply = await self._upstream.ask(query, servers)
        if self._udp.fileno() >= 0:
            self._reply(reply or self._resolver.failure(query), peer)

    def _accept(self) -> None:
        try:
            connection, _ = self._tcp.accept()
        except OSError:
            return
        connection.setblocking(False)
        self._spawn(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        """Answer the questions of one connection, one after the other (RFC 7766 § 6)."""
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            async with asyncio.timeout(None) as deadline:
                while True:
                    deadline.reschedule(asyncio.get_running_loop().time() + _IDLE_SECONDS)
                    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                    query = await reader.readexactly(length)
                    reply = self._resolver.answer(query, stream=True)
                    if reply is None:
                        servers = self._servers() if self._servers else []
                        reply = await self._upstream.ask_by_stream(query, servers) or self._resolver.failure(query)
                    if len(reply) <= 2:
                        return
                    writer.write(_LENGTH.pack(len(reply)) + reply)
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return
        finally:
            writer.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Close the sockets: as long as they are open, so is the network namespace."""
        loop = asyncio.get_running_loop()
        for one in (self._udp, self._tcp):
            if one.fileno() >= 0:
                loop.remove_reader(one.fileno())
                one.close()
        for task in self._tasks:
            task.cancel()
        self._upstream.close()
