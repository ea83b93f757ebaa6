"""What networks cannot do is said once, as long as it is so; and a network that another one has displaced says so."""

import asyncio
import os
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from nbcontainers.errors import Unavailable
from nbcontainers.linux import nftables
from nbcontainers.linux.netlink import Netlink
from nbcontainers.networks import Forwarding, Network, Networks, Wish
from nbcontainers.networks import addresses as addressing
from nbcontainers.networks.addresses import is_used
from tests.networks.wire import Host

pytestmark = [pytest.mark.root]

IDENTITY = "0a1b2c3d"
SHOP = Network(id="5" * 64, name="shop", driver="bridge")


@pytest.mark.parametrize(
    ("subnet", "used", "expected"),
    [
        ("172.18.0.0/16", ["172.18.4.0/24"], True),
        ("172.18.0.0/16", ["10.0.0.0/8", "172.19.0.0/16"], False),
        ("172.18.0.0/16", ["128.0.0.0/1"], False),
        ("fd00:1::/64", ["fd00::/16"], True),
        ("fd00:1::/64", ["fd00:2::/64"], False),
    ],
)
def test_what_is_used(subnet: str, used: list[str], expected: bool) -> None:
    assert is_used(subnet, used) is expected


async def test_a_chosen_subnet_that_others_have_after_a_reboot(host: Host) -> None:
    networks = Networks(IDENTITY)
    await networks.start([])
    shop = await networks.create(SHOP)
    subnet = shop.subnets[0].subnet
    await networks.close(purge=True)
    theirs = host.bridge("docker0")
    host.ask(Netlink.add_address, theirs, str(shop.subnets[0].gateway), 16)
    again = Networks(IDENTITY)
    await again.start([], [shop])
    try:
        sentence = f"the subnet {subnet} is not available: somebody else on this host has it by now"
        assert [problem for problem in again.problems if sentence in problem]
        with pytest.raises(Unavailable, match="remove it and create it again"):
            await again.join("one", [Wish(network_id=shop.id)])
        await again.remove(shop)
        assert again.problems == []
        assert (await again.create(SHOP)).subnets[0].subnet != subnet
    finally:
        await again.close(purge=True)


async def test_a_subnet_that_the_user_has_chosen_is_taken_all_the_same(host: Host) -> None:
    networks = Networks(IDENTITY)
    await networks.start([])
    shop = await networks.create(SHOP)
    await networks.close(purge=True)
    asked = replace(shop, subnets=tuple(replace(subnet, asked=True) for subnet in shop.subnets))
    host.ask(Netlink.add_address, host.bridge("docker0"), str(shop.subnets[0].gateway), 16)
    again = Networks(IDENTITY)
    await again.start([], [asked])
    try:
        assert again.problems == []
    finally:
        await again.close(purge=True)


async def test_problems_do_not_pile_up(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = Networks(IDENTITY)
    await networks.start([])
    try:
        published = Forwarding(
            protocol="tcp",
            host_address="0.0.0.0",
            host_port=9,
            address=networks.get("bridge").subnets[0].gateway,
            port=9,
        )

        def fail(_: str) -> str:
            raise Unavailable("nftables", "refused", "try another kernel")

        switchboard = networks._switchboard
        switchboard.ground.rules.publish([published])
        with monkeypatch.context() as failing:
            failing.setattr(nftables, "run", fail)
            for _ in range(3):
                switchboard.unpublish([published])
        assert len(networks.problems) == 1
        assert "published ports lead nowhere" in networks.problems[0]
        switchboard.unpublish([published])
        assert networks.problems == []
    finally:
        await networks.close(purge=True)


async def test_the_last_address_that_the_pool_was_given_meanwhile_is_not_refused(
    home_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addressing, "choose_subnet", lambda _: IPv4Network("10.9.0.0/29"))
    networks = Networks(IDENTITY)
    await networks.start([])
    endpoints = []
    try:
        for number in range(5):  # all there are; whoever comes first, the pool or the container
            endpoints.append(await networks.attach(f"{number}"))
            await asyncio.sleep(number * 0.005)
        with pytest.raises(Unavailable, match=r"all of 10\.9\.0\.0/29 are in use"):
            await networks.attach("too many")
    finally:
        for endpoint in endpoints:
            os.close(endpoint.namespace_fd)
        await networks.close(purge=True)
