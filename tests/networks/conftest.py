"""Every test of networks has a host of its own: a network namespace that ends with the test."""

import os
from collections.abc import Iterator

import pytest

from nbcontainers.linux import namespaces
from nbcontainers.linux.netlink import LOOPBACK_INDEX, Netlink
from tests.networks.wire import Host, Outside


@pytest.fixture
def home_fd() -> Iterator[int]:
    """The network namespace that the test is in: an empty one."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    before_fd = namespaces.open_namespace("net", "thread-self")
    namespaces.unshare(namespaces.CLONE_NEWNET)
    home_fd = namespaces.open_namespace("net", "thread-self")
    try:
        with Netlink() as netlink:
            netlink.set_up(LOOPBACK_INDEX)
        yield home_fd
    finally:
        namespaces.setns(before_fd, namespaces.CLONE_NEWNET)
        os.close(home_fd)
        os.close(before_fd)


@pytest.fixture
def host(home_fd: int) -> Iterator[Host]:
    """That namespace's interfaces."""
    host = Host()
    try:
        yield host
    finally:
        host.close()


@pytest.fixture
def outside(home_fd: int) -> Iterator[Outside]:
    """A world beyond that host."""
    world = Outside(home_fd)
    try:
        yield world
    finally:
        world.close()
