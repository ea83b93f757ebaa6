"""Several engines on one machine, and engines that were killed: at any step, with kill -9."""

import asyncio
import os
import re
import socket
import threading
from collections.abc import Iterable
from ipaddress import IPv4Network

import pytest

from nbcontainers.linux import namespaces, nftables
from nbcontainers.linux.netlink import Netlink
from nbcontainers.networks import Endpoint, Network, Networks, PortWish, Subnet, Wish, endpoint_pool, ownership
from nbcontainers.networks import addresses as addressing
from nbcontainers.networks.endpoint_pool import PREPARED_ENDPOINTS
from tests.children import Fuse, in_child, killed_at
from tests.networks.wire import SECONDS, Host, converse

pytestmark = [pytest.mark.root]

ONE, TWO = "11111111", "22222222"


async def until_gone(host: Host, identity: str = "") -> None:
    """Wait for the kernel to clean up after namespaces that nobody holds any more."""
    for _ in range(SECONDS * 200):
        if not any(name.startswith(f"nbv{identity[:4]}") for name in host.cables()):
            return
        await asyncio.sleep(0.005)
    pytest.fail(f"cables are left: {host.cables()}")


def subnet(networks: Networks) -> IPv4Network:
    return IPv4Network(networks.get("bridge").subnets[0].subnet)


def tables() -> list[str]:
    return re.findall(r"table inet (\S+)", nftables.run("list tables"))


def start_and_be_killed(identity: str) -> None:
    """Start networks with a full pool in a child, which is then killed."""

    async def work(fuse: Fuse) -> None:
        networks = Networks(identity)
        await networks.start([])
        while networks.prepared < PREPARED_ENDPOINTS:
            await asyncio.sleep(0.001)
        fuse.burn()

    assert killed_at(1, lambda fuse: asyncio.run(work(fuse)))


async def test_two_engines_that_look_at_the_same_moment_choose_different_subnets(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are stopped between looking and taking, until the other has looked too, or is found to wait."""
    choose = addressing.choose_subnet
    both = threading.Barrier(2)

    def choose_and_wait(used: Iterable[str]) -> IPv4Network:
        chosen = choose(used)
        try:
            both.wait(0.3)
        except threading.BrokenBarrierError:
            pass
        return chosen

    monkeypatch.setattr(addressing, "choose_subnet", choose_and_wait)
    one, two = Networks(ONE), Networks(TWO)
    await asyncio.gather(one.start([]), two.start([]))
    try:
        assert not subnet(one).overlaps(subnet(two))
    finally:
        await one.close(purge=True)
        await two.close(purge=True)


def test_many_processes_at_once(home_fd: int, host: Host) -> None:
    async def work(identity: str, begin_fd: int, done_fd: int, end_fd: int) -> None:
        os.read(begin_fd, 1)
        networks = Networks(identity)
        await networks.start([])
        endpoints = [await networks.attach(f"{number}") for number in range(6)]
        os.write(done_fd, (" ".join([str(subnet(networks)), *(one.address for one in endpoints)]) + "\n").encode())
        await asyncio.to_thread(os.read, end_fd, 1)
        for endpoint in endpoints:
            os.close(endpoint.namespace_fd)
        await networks.close(purge=True)

    count = 6
    begin, done, end = os.pipe(), os.pipe(), os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(begin[1])
                os.close(end[1])
                asyncio.run(work(f"{number}" * 8, begin[0], done[1], end[0]))
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(begin[1])
    os.close(done[1])
    with os.fdopen(done[0]) as said:
        lines = [said.readline().split() for _ in range(count)]
    os.close(end[1])
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * count
    os.close(begin[0])
    os.close(end[0])
    addresses = [address for _, *some in lines for address in some]
    assert len(addresses) == len(set(addresses)) == count * 6
    assert len({line[0] for line in lines}) == count
    assert tables() == []
    assert [name for name in host.names() if name.startswith("nbc-")] == []


async def test_two_with_one_identity_give_no_address_twice(home_fd: int) -> None:
    """What the lock on the engine's state rules out would still not give one address to two containers."""
    one, two = Networks(ONE), Networks(ONE)
    await one.start([])
    await two.start([])
    endpoints: list[Endpoint] = []
    for number in range(8):
        endpoints += await asyncio.gather(one.attach(f"{number}"), two.attach(f"{number}"))
    try:
        assert len({endpoint.address for endpoint in endpoints}) == 16
        assert converse(endpoints[0].namespace_fd, endpoints[1].namespace_fd, endpoints[1].address)[0]
    finally:
        for endpoint in endpoints:
            os.close(endpoint.namespace_fd)
        await one.close(purge=False)
        await two.close(purge=True)


def test_killed_at_any_step(home_fd: int, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step it was, the next engine works as if nothing had been, and leaves nothing."""
    monkeypatch.setattr(endpoint_pool, "PREPARED_ENDPOINTS", 2)  # more are made by the same steps again

    async def work(fuse: Fuse) -> None:
        for owner, names in (
            (Netlink, ("add_bridge", "set_alias", "set_mac", "add_address", "set_up", "add_veth", "delete_link")),
            (Netlink, ("add_default_route",)),
            (nftables, ("run",)),
            (namespaces, ("unshare", "setns")),
        ):
            for name in names:
                fuse.wrap(owner, name)
        networks = Networks(ONE)
        await networks.start([])
        endpoints = [await networks.attach("one"), await networks.attach("two")]
        for endpoint in endpoints:
            os.close(endpoint.namespace_fd)
        await networks.close(purge=True)

    async def check() -> None:
        networks = Networks(ONE)
        await networks.start([])
        one, two = await networks.attach("one"), await networks.attach("two")
        assert one.address != two.address
        assert converse(one.namespace_fd, two.namespace_fd, two.address)[0] == one.address
        assert networks.problems == []
        assert tables() == [f"nbcontainers_{ONE}"]
        for endpoint in (one, two):
            os.close(endpoint.namespace_fd)
        await networks.close(purge=True)
        await until_gone(host)

    steps = 1
    while killed_at(steps, lambda fuse: asyncio.run(work(fuse))):
        asyncio.run(check())
        assert host.names() == ["lo"]
        assert tables() == []
        steps += 1
    assert steps > 20


def test_killed_at_any_step_of_a_network_of_the_users(
    home_fd: int, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made, joined, published from, left and removed; the next engine, which may know of it, works."""
    monkeypatch.setattr(endpoint_pool, "PREPARED_ENDPOINTS", 0)  # its steps are those of the test above
    mine = Network(
        id="c0ffee" * 10 + "beef",
        name="mine",
        driver="bridge",
        created_ns=1,
        subnets=(
            Subnet(subnet="10.95.0.0/24", gateway="10.95.0.1"),
            Subnet(subnet="fd00:95::/64", gateway="fd00:95::1"),
        ),
        ipv6=True,
        options={"com.docker.network.bridge.name": "chosen"},
    )
    wish = [Wish(network_id=mine.id)]

    async def work(fuse: Fuse) -> None:
        networks = Networks(ONE)
        await networks.start([])
        for owner, names in (
            (
                Netlink,
                ("add_bridge", "set_alias", "rename", "set_mac", "add_address", "set_up", "add_veth", "delete_link"),
            ),
            (nftables, ("run",)),
            (namespaces, ("unshare", "setns")),
        ):
            for name in names:
                fuse.wrap(owner, name)
        await networks.create(mine)
        (endpoint,) = await networks.join("one", wish)
        await networks.open_name_server("one", endpoint.namespace_fd, [], None)
        await networks.publish("one", [PortWish(port=80, protocol="tcp")], endpoint)
        networks.release("one")
        os.close(endpoint.namespace_fd)
        await networks.remove(mine)
        await networks.close(purge=True)

    async def check(known: bool) -> None:
        networks = Networks(ONE)
        await networks.start([], [mine] if known else [])
        if not known:
            assert "chosen" not in host.names()
            await networks.create(mine)
        one, two = [(await networks.join(name, wish))[0] for name in ("one", "two")]
        assert converse(one.namespace_fd, two.namespace_fd, two.address)[0] == one.address
        assert networks.problems == []
        for name, endpoint in (("one", one), ("two", two)):
            networks.release(name)
            os.close(endpoint.namespace_fd)
        await networks.close(purge=True)
        await until_gone(host)

    steps = 1
    while killed_at(steps, lambda fuse: asyncio.run(work(fuse))):
        asyncio.run(until_gone(host))
        asyncio.run(check(known=bool(steps % 2)))
        assert host.names() == ["lo"], steps
        assert tables() == []
        steps += 1
    assert steps > 20


def test_an_engine_that_starts_removes_what_killed_ones_have_left(host: Host) -> None:
    start_and_be_killed(TWO)
    asyncio.run(until_gone(host))
    assert "nbc-222222" in host.names()
    assert tables() == [f"nbcontainers_{TWO}"]

    async def work() -> None:
        networks = Networks(ONE)
        await networks.start([])
        assert [name for name in host.names() if name.startswith("nbc-")] == ["nbc-111111"]
        assert tables() == [f"nbcontainers_{ONE}"]
        await networks.close(purge=True)

    asyncio.run(work())


def test_killed_at_any_step_and_another_engine_cleans_up(host: Host) -> None:
    async def start(fuse: Fuse) -> None:
        for name in ("add_bridge", "set_alias", "set_mac", "add_address", "set_up"):
            fuse.wrap(Netlink, name)
        fuse.wrap(nftables, "run")
        await Networks(TWO).start([])

    async def sweep() -> None:
        networks = Networks(ONE)
        await networks.start([])
        await networks.close(purge=True)

    steps = 1
    while killed_at(steps, lambda fuse: asyncio.run(start(fuse))):
        asyncio.run(until_gone(host))
        asyncio.run(sweep())
        assert host.names() == ["lo"], steps
        assert tables() == []
        steps += 1
    assert steps > 6


def test_a_bridge_with_containers_stays_when_its_engine_was_killed(host: Host) -> None:
    """Containers outlive their engine; so does their network, whoever starts next."""
    ours, childs = socket.socketpair()

    async def be_killed(fuse: Fuse) -> None:
        networks = Networks(TWO)
        await networks.start([])
        endpoint = await networks.attach("container")
        socket.send_fds(childs, [b"x"], [endpoint.namespace_fd])
        fuse.burn()

    async def start_another() -> None:
        networks = Networks(ONE)
        await networks.start([])
        assert {"nbc-111111", "nbc-222222"} <= set(host.names())
        assert sorted(tables()) == [f"nbcontainers_{ONE}", f"nbcontainers_{TWO}"]
        await networks.close(purge=True)
        assert "nbc-222222" in host.names()
        assert tables() == [f"nbcontainers_{TWO}"]

    with ours, childs:
        assert killed_at(1, lambda fuse: asyncio.run(be_killed(fuse)))
        _, (container_fd,), _, _ = socket.recv_fds(ours, 1, 1)
    try:
        asyncio.run(start_another())
    finally:
        os.close(container_fd)


async def test_bridges_of_live_engines_and_of_others_stay(host: Host) -> None:
    """Somebody else's bridge, one of an engine that lives, and one that bears the mark of another pid namespace."""
    host.bridge("nbc-theirs")
    host.ask(Netlink.add_address, host.bridge("nbc-abcdef"), "10.8.0.1", 24)  # without a mark: of who knows whom
    foreign = host.bridge("nbc-333333")
    host.ask(Netlink.set_alias, foreign, "nbcontainers engine 1 started 1 pidns 1")
    nftables.run("add table inet nbcontainers_33333333; add table inet nbcontainers_abcdef00; add table inet theirs")
    live, other = Networks(TWO), Networks(ONE)
    await live.start([])
    before = set(host.names()) - set(host.cables()), tables()
    await other.start([])
    await other.close(purge=True)
    await until_gone(host, ONE)
    assert (set(host.names()) - set(host.cables()), tables()) == before
    await live.close(purge=True)


def test_a_mark_names_a_process_for_good() -> None:
    assert not ownership.is_gone(ownership.mark())
    assert ownership.is_gone(in_child(ownership.mark))
    mark = ownership.mark()
    assert ownership.is_gone(re.sub(r"started \d+", "started 1", mark))  # the id was given to another process
    assert not ownership.is_gone(re.sub(r"pidns \d+", "pidns 1", re.sub(r"started \d+", "started 1", mark)))
    assert not ownership.is_gone("")
    assert not ownership.is_gone("a text of somebody else")
