"""Rates, delay and loss on a kernel that has them all: in the guest of ``tests/uml``."""

import os
import time
from contextlib import ExitStack

import pytest

from nbcontainers.networks import Networks, Shaping
from tests.networks.wire import converse, udp

pytestmark = [pytest.mark.root, pytest.mark.cgroup_v2]

DELAY_SECONDS = 0.5


async def test_delay_and_loss_hold_both_ways(home_fd: int) -> None:
    networks = Networks("0a1b2c3d")
    await networks.start([])
    with ExitStack() as held:
        try:
            one, two = await networks.attach("one"), await networks.attach("two")
            for endpoint in (one, two):
                held.callback(os.close, endpoint.namespace_fd)
            began = time.monotonic()
            converse(one.namespace_fd, two.namespace_fd, two.address)
            assert time.monotonic() - began < DELAY_SECONDS
            delay = Shaping(rate_bits_per_second=1_000_000, delay_usec=int(DELAY_SECONDS * 1e6))
            await networks.shape(one.namespace_fd, one, delay)
            began = time.monotonic()
            converse(one.namespace_fd, two.namespace_fd, two.address)
            assert time.monotonic() - began > 2 * DELAY_SECONDS
            await networks.shape(one.namespace_fd, one, Shaping(loss_percent=100))
            with udp(one.namespace_fd) as client, udp(two.namespace_fd) as server:
                server.settimeout(DELAY_SECONDS)
                client.sendto(b"lost", (two.address, server.getsockname()[1]))
                with pytest.raises(TimeoutError):
                    server.recv(16)
            await networks.shape(one.namespace_fd, one, Shaping())
            converse(one.namespace_fd, two.namespace_fd, two.address)
        finally:
            await networks.close(purge=True)
