"""An engine on a host of its own, a network namespace, with a world beyond it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import docker
import pytest
from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from nbcontainers.linux import namespaces
from nbcontainers.linux.netlink import LOOPBACK_INDEX, Netlink
from tests.busybox import root_file_system
from tests.engine_process import EngineProcess, running_engine
from tests.networks.wire import Outside, inside, udp


class Lan:
    """An engine on a host of its own, with a world beyond it.

    Args:
        engine: The engine.
        outside: The world.
        home_fd: The host's network namespace, which is the tests' as well.
    """

    def __init__(self, engine: EngineProcess, outside: Outside, home_fd: int) -> None:
        self.engine = engine
        self.outside = outside
        self.home_fd = home_fd
        self.held = ExitStack()

    @property
    def client(self) -> docker.DockerClient:
        return self.engine.client

    def run(self, network: str = "bridge", *command: str, **options: Any) -> Container:
        """Start a container that lives until it is removed."""
        words = list(command) or ["sleep", "600"]
        return self.client.containers.run("busybox", words, network=network, detach=True, **options)

    def network(self, name: str, **options: Any) -> Network:
        return self.client.networks.create(name, **options)

    def namespace(self, container: Container) -> int:
        """Return a descriptor of a running container's network namespace, held until the test ends."""
        container.reload()
        fd = namespaces.open_namespace("net", container.attrs["State"]["Pid"])
        self.held.callback(os.close, fd)
        return fd

    def address(self, container: Container, network: str) -> str:
        container.reload()
        return str(container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"])

    def reach(self, one: Container, two: Container, network: str) -> bool:
        """Say whether a datagram of one container gets to another one's address in a network, and the answer back."""
        address = self.address(two, network)
        return answers(self.namespace(one), self.namespace(two), address)

    def restart(self, *, kill: bool) -> None:
        if kill:
            self.engine.kill()
        else:
            assert self.engine.stop() == 0
        assert self.engine.start() == "ready"

    def clean_up(self) -> None:
        self.held.close()
        self.engine.remove_everything()
        self.client.networks.prune()
        assert len(self.client.networks.list()) == 3


def answers(asking: int, answering: int, address: str) -> bool:
    """Say whether a datagram gets from one namespace to an address in another, and the answer back."""
    with udp(asking) as client, udp(answering) as server:
        client.settimeout(0.3)
        try:
            client.sendto(b"ask", (address, server.getsockname()[1]))
            client_seen = client.getsockname()
            server.settimeout(0.3)
            data, seen = server.recvfrom(16)
            server.sendto(b"answer", seen)
            return data == b"ask" and client.recvfrom(16)[0] == b"answer" and bool(client_seen)
        except OSError:
            return False


def said(namespace_fd: int, script: str) -> str:
    """Run commands of the host's in a namespace and return what they print."""
    run = partial(subprocess.run, ["sh", "-c", script], capture_output=True, text=True, check=True)
    return str(inside(namespace_fd, run).stdout)


@contextmanager
def running_lan() -> Iterator[Lan]:
    """Be on that host until the end."""
    with ExitStack() as stack:
        before_fd = namespaces.open_namespace("net", "thread-self")
        stack.callback(os.close, before_fd)
        namespaces.unshare(namespaces.CLONE_NEWNET)
        stack.callback(namespaces.setns, before_fd, namespaces.CLONE_NEWNET)
        home_fd = namespaces.open_namespace("net", "thread-self")
        stack.callback(os.close, home_fd)
        with Netlink() as netlink:
            netlink.set_up(LOOPBACK_INDEX)
        outside = Outside(home_fd)
        stack.callback(outside.close)
        engine = stack.enter_context(running_engine())
        engine.client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
        yield Lan(engine, outside, home_fd)


def refused(status: int, words: str) -> Any:
    return pytest.raises(APIError, match=f"^{status} .*{words}")


def subnet(text: str, **options: Any) -> IPAMConfig:
    return IPAMConfig(pool_configs=[IPAMPool(subnet=text, **options)])
