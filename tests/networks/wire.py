"""Packets: sockets that live in a network namespace of one's choice, and what is said over them."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from nbcontainers.linux import namespaces
from nbcontainers.linux.netlink import LOOPBACK_INDEX, Netlink

SECONDS = 5
T = TypeVar("T")
P = ParamSpec("P")


class Host:
    """The interfaces of the caller's namespace, asked after in a thread: pyroute2 and a running loop do not mix."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._netlink = self._thread.submit(Netlink).result()

    def ask(self, method: Callable[Concatenate[Netlink, P], T], *arguments: P.args, **options: P.kwargs) -> T:
        return self._thread.submit(method, self._netlink, *arguments, **options).result()

    def names(self) -> list[str]:
        return [link.name for link in self.ask(Netlink.links)]

    def cables(self) -> list[str]:
        """Return the near ends of the containers' cables."""
        return [name for name in self.names() if name.startswith("nbv")]

    def bridge(self, name: str, up: bool = True) -> int:
        """Make a bridge that is somebody else's."""
        index = self.ask(Netlink.add_bridge, name)
        if up:
            self.ask(Netlink.set_up, index)
        return index

    def close(self) -> None:
        self._thread.submit(self._netlink.close).result()
        self._thread.shutdown()


def inside(namespace_fd: int, work: Callable[[], T]) -> T:
    """Run ``work`` in a thread that is in another network namespace; a socket made there belongs there for good."""
    results: list[T] = []
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            namespaces.setns(namespace_fd, namespaces.CLONE_NEWNET)
            results.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


@contextmanager
def udp(namespace_fd: int, address: str = "0.0.0.0") -> Iterator[socket.socket]:
    """Yield a UDP socket in a namespace, bound to a free port."""
    one = inside(namespace_fd, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
    try:
        one.settimeout(SECONDS)
        one.bind((address, 0))
        yield one
    finally:
        one.close()


def converse(asking: int, answering: int, address: str) -> tuple[str, str]:
    """Send a datagram from one namespace to an address in another, and an answer back.

    Returns:
        The sender that the answering side has seen, and the one that the asking side has seen.
    """
    with udp(asking) as client, udp(answering) as server:
        client.sendto(b"ask", (address, server.getsockname()[1]))
        data, seen = server.recvfrom(16)
        assert data == b"ask"
        server.sendto(b"answer", seen)
        data, answered = client.recvfrom(16)
        assert data == b"answer"
        return seen[0], answered[0]


def new_namespace(home_fd: int) -> int:
    """Return a descriptor of a new network namespace, its loopback on; the calling thread comes home."""
    namespaces.unshare(namespaces.CLONE_NEWNET)
    try:
        with Netlink() as netlink:
            netlink.set_up(LOOPBACK_INDEX)
        return namespaces.open_namespace("net", "thread-self")
    finally:
        namespaces.setns(home_fd, namespaces.CLONE_NEWNET)


class Outside:
    """A world beyond the host: a namespace with a cable to it that knows no way to the containers.

    Args:
        home_fd: The namespace that stands for the host, which is the caller's.
    """

    host_address = "10.77.0.1"
    address = "10.77.0.2"

    def __init__(self, home_fd: int) -> None:
        self.namespace_fd = new_namespace(home_fd)
        with Netlink() as netlink:
            netlink.add_bridge("uplink")
            index = netlink.link_index("uplink")
            netlink.add_veth(
                "uplink0", index, peer="world", peer_namespace_fd=self.namespace_fd, peer_mac="02:00:00:00:00:07"
            )
            netlink.add_address(index, self.host_address, 24)
            netlink.set_up(index)
        inside(self.namespace_fd, self._configure)

    def _configure(self) -> None:
        with Netlink() as netlink:
            index = netlink.link_index("world")
            netlink.add_address(index, self.address, 24)
            netlink.set_up(index)

    def close(self) -> None:
        os.close(self.namespace_fd)
