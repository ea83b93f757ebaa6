"""The bridge network in a real kernel, proved with packets that are seen on both sides."""

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from nbcontainers.errors import SyscallError, Unavailable
from nbcontainers.linux import nftables
from nbcontainers.linux.netlink import Netlink
from nbcontainers.networks import Endpoint, Lease, Networks, Subnet
from nbcontainers.networks import addresses as addressing
from nbcontainers.networks import bridge as bridge_module
from nbcontainers.networks.addresses import mac_address
from nbcontainers.networks.endpoint_pool import PREPARED_ENDPOINTS
from tests.networks.wire import SECONDS, Host, Outside, converse, inside, udp
from tests.waiting import SECONDS as DEADLINE_SECONDS

pytestmark = [pytest.mark.root]

IDENTITY = "0a1b2c3d"
BRIDGE = "nbc-0a1b2c"


@asynccontextmanager
async def running(identity: str = IDENTITY, leases: list[Lease] | None = None) -> AsyncIterator[Networks]:
    networks = Networks(identity)
    await networks.start(leases or [])
    try:
        yield networks
    finally:
        await networks.close(purge=True)


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Closes the namespaces of the endpoints a test has taken."""
    with ExitStack() as stack:
        yield stack


async def attach(networks: Networks, held: ExitStack, name: str) -> Endpoint:
    endpoint = await networks.attach(name)
    held.callback(os.close, endpoint.namespace_fd)
    return endpoint


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what the kernel, or the pool, does in the background; the deadline is the test's failure."""
    for _ in range(DEADLINE_SECONDS * 200):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail(f"{what} in {DEADLINE_SECONDS} s")


def rules() -> str:
    return nftables.run("list ruleset")


async def test_containers_reach_each_other_by_datagram_and_by_stream(host: Host, held: ExitStack) -> None:
    async with running() as networks:
        one, two = await attach(networks, held, "one"), await attach(networks, held, "two")
        assert converse(one.namespace_fd, two.namespace_fd, two.address) == (one.address, two.address)
        assert converse(two.namespace_fd, one.namespace_fd, one.address) == (two.address, one.address)
        listening = inside(two.namespace_fd, lambda: socket.create_server((two.address, 0)))
        held.callback(listening.close)
        address = listening.getsockname()
        calling = inside(one.namespace_fd, lambda: socket.create_connection(address, SECONDS))
        held.callback(calling.close)
        answering, peer = listening.accept()
        held.callback(answering.close)
        assert peer[0] == one.address
        calling.sendall(b"x" * 100_000)
        calling.shutdown(socket.SHUT_WR)
        received = b""
        while block := answering.recv(1 << 16):
            received += block
        assert len(received) == 100_000


async def test_a_container_reaches_its_gateway_and_itself(home_fd: int, held: ExitStack) -> None:
    async with running() as networks:
        one = await attach(networks, held, "one")
        assert converse(one.namespace_fd, home_fd, one.gateway) == (one.address, one.gateway)
        assert converse(one.namespace_fd, one.namespace_fd, "127.0.0.1") == ("127.0.0.1", "127.0.0.1")
        assert converse(home_fd, one.namespace_fd, one.address) == (one.gateway, one.address)


async def test_the_world_sees_the_host_where_a_container_calls(outside: Outside, held: ExitStack) -> None:
    async with running() as networks:
        one = await attach(networks, held, "one")
        seen, answered = converse(one.namespace_fd, outside.namespace_fd, outside.address)
        assert (seen, answered) == (outside.host_address, outside.address)


async def test_without_the_rules_the_world_sees_the_container(outside: Outside, held: ExitStack) -> None:
    """The proof that it is the rules that the test above sees: without them the way back is missing."""
    async with running() as networks:
        one = await attach(networks, held, "one")
        nftables.run(f"delete table inet nbcontainers_{IDENTITY}")
        with udp(one.namespace_fd) as client, udp(outside.namespace_fd) as server:
            client.sendto(b"ask", (outside.address, server.getsockname()[1]))
            assert server.recvfrom(16)[1][0] == one.address
            with pytest.raises(OSError, match="unreachable"):
                server.sendto(b"answer", (one.address, 9))


async def test_between_containers_nothing_is_translated(outside: Outside, held: ExitStack) -> None:
    """Also with bridged packets going through the rules of IP (net.bridge.bridge-nf-call-iptables)."""
    filtered = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if filtered.exists():
        filtered.write_text("1")
    async with running() as networks:
        one, two = await attach(networks, held, "one"), await attach(networks, held, "two")
        assert converse(one.namespace_fd, two.namespace_fd, two.address)[0] == one.address


async def test_an_endpoint_is_what_it_says(host: Host, held: ExitStack) -> None:
    async with running() as networks:
        one = await attach(networks, held, "one")

        def look() -> tuple[list[tuple[str, int]], str, list[str]]:
            with Netlink() as netlink:
                index = netlink.link_index("eth0")
                (mac,) = (link.mac for link in netlink.links() if link.index == index)
                return netlink.addresses(index), mac, sorted(link.name for link in netlink.links())

        addresses, mac, names = inside(one.namespace_fd, look)
        assert addresses == [(one.address, one.prefix_length)] == [("172.18.0.2", 16)]
        assert mac == one.mac_address == mac_address(one.address)
        assert names == ["eth0", "lo"]
        assert one.host_interface in host.cables()
        bridge = networks.get("bridge")
        assert bridge.id == one.network_id
        assert bridge.subnets == (Subnet(subnet="172.18.0.0/16", gateway=one.gateway, asked=False),)


async def test_the_bridge_keeps_its_hardware_address_as_ports_come_and_go(host: Host, held: ExitStack) -> None:
    async with running() as networks:

        def mac() -> str:
            return next(link.mac for link in host.ask(Netlink.links) if link.name == BRIDGE)

        one = await attach(networks, held, "one")
        assert mac() == mac_address(one.gateway)
        # A bridge that has no address of its own takes the lowest of its ports': here is one that is lower than ours.
        index, peer = host.ask(Netlink.link_index, BRIDGE), "02:00:00:00:00:02"
        host.ask(Netlink.add_veth, "low", index, peer="low0", peer_namespace_fd=one.namespace_fd, peer_mac=peer)
        host.ask(Netlink.set_mac, host.ask(Netlink.link_index, "low"), "02:00:00:00:00:01")
        assert mac() == mac_address(one.gateway)
        host.ask(Netlink.delete_link, "low")
        assert mac() == mac_address(one.gateway)


@pytest.mark.parametrize(
    ("up", "address", "prefix_length", "first"),
    [(True, "172.18.77.1", 24, "172.19.0.2"), (False, "172.16.0.1", 12, "192.168.96.2")],
)
async def test_the_subnet_avoids_what_the_host_has(
    host: Host, held: ExitStack, up: bool, address: str, prefix_length: int, first: str
) -> None:
    """An interface that is down has no route into its subnet, but will be in the way when it comes up."""
    host.ask(Netlink.add_address, host.bridge("corporate", up=up), address, prefix_length)
    async with running() as networks:
        assert (await attach(networks, held, "one")).address == first


async def test_a_burst_gets_different_addresses_and_the_pool_is_filled_again(host: Host, held: ExitStack) -> None:
    async with running() as networks:
        endpoints = []
        for burst in range(3):
            endpoints += await asyncio.gather(*(attach(networks, held, f"{burst}/{number}") for number in range(8)))
            await until(lambda: networks.prepared == PREPARED_ENDPOINTS, "the pool is not filled")
        assert len(host.cables()) == len(endpoints) + PREPARED_ENDPOINTS
        with pytest.MonkeyPatch.context() as patch:
            # From a full pool they are taken, not made.
            patch.setattr(bridge_module.Bridge, "make_endpoint", _make_none)
            endpoints += await asyncio.gather(*(attach(networks, held, f"x{n}") for n in range(PREPARED_ENDPOINTS)))
        numbers = {name: name[-8:] for name in host.cables()}
        assert len(set(numbers.values())) == len(numbers)
        assert len({endpoint.address for endpoint in endpoints}) == len(endpoints) == 28
        assert networks.problems == []


def _make_none(_: bridge_module.Bridge) -> Endpoint:
    raise AssertionError("made, not taken")


async def test_a_released_address_is_given_again_only_when_its_namespace_is_gone(home_fd: int, host: Host) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addressing, "choose_subnet", lambda _: IPv4Network("10.9.0.0/29"))
        async with running() as networks:
            await until(lambda: networks.prepared == PREPARED_ENDPOINTS, "the pool is not filled")
            one = await networks.attach("one")
            await until(lambda: networks.prepared == PREPARED_ENDPOINTS, "the last address is not used")
            networks.release("one")  # as when the engine hears of the exit before the kernel has cleaned up
            rest = [await networks.attach(f"rest{number}") for number in range(4)]
            assert one.address not in [endpoint.address for endpoint in rest]
            with pytest.raises(Unavailable, match="an address is not available"):
                await networks.attach("too many")
            os.close(one.namespace_fd)
            # The pool may be quicker than we look, and have the address again, in an endpoint that lies ready.
            await until(
                lambda: networks.prepared > 0 or one.host_interface not in host.cables(), "the namespace is not gone"
            )
            again = await networks.attach("again")
            assert again.address == one.address
            for endpoint in (*rest, again):
                os.close(endpoint.namespace_fd)


async def test_a_cancelled_attach_leaves_its_endpoint_to_the_pool(
    host: Host, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, proceed = threading.Event(), threading.Event()
    make = bridge_module.Bridge.make_endpoint

    def slow(self: bridge_module.Bridge) -> Endpoint:
        begun.set()
        assert proceed.wait(SECONDS)
        return make(self)

    async with running() as networks:
        monkeypatch.setattr(bridge_module.Bridge, "make_endpoint", slow)
        attaching = asyncio.create_task(networks.attach("nobody"))
        assert await asyncio.to_thread(begun.wait, SECONDS)
        attaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attaching
        proceed.set()
        await until(lambda: networks.prepared >= PREPARED_ENDPOINTS, "the pool is not filled")
        monkeypatch.undo()
        endpoints = [await attach(networks, held, f"{number}") for number in range(6)]
        # The address that was made for nobody is the first that somebody has.
        assert endpoints[0].address.endswith(".0.2")
    await until(lambda: len(host.cables()) == len(endpoints), "cables are left")


async def test_a_cancelled_attach_leaks_nothing_when_the_networks_close(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, proceed = threading.Event(), threading.Event()
    make = bridge_module.Bridge.make_endpoint

    def slow(self: bridge_module.Bridge) -> Endpoint:
        begun.set()
        assert proceed.wait(SECONDS)
        return make(self)

    monkeypatch.setattr(bridge_module.Bridge, "make_endpoint", slow)
    descriptors = set(os.listdir("/proc/self/fd"))
    networks = Networks(IDENTITY)
    await networks.start([])
    attaching = asyncio.create_task(networks.attach("nobody"))
    assert await asyncio.to_thread(begun.wait, SECONDS)
    attaching.cancel()
    closing = asyncio.create_task(networks.close(purge=True))
    await asyncio.wait([attaching])
    proceed.set()
    await closing
    assert set(os.listdir("/proc/self/fd")) == descriptors
    await until(lambda: host.cables() == [], "cables are left")


async def test_close_leaves_nothing_and_touches_nothing_of_others(host: Host) -> None:
    nftables.run(
        "add table ip theirs; add chain ip theirs c { type nat hook postrouting priority 90; }; "
        "add rule ip theirs c ip saddr 10.0.0.0/8 masquerade; add table ip nbcontainers_of_somebody; "
        "add table ip nbcontainers_0badbeef"
    )
    host.bridge("theirs")
    before = rules(), host.names()
    descriptors, threads = sorted(os.listdir("/proc/self/fd")), threading.active_count()
    networks = Networks(IDENTITY)
    await networks.start([])
    endpoint = await networks.attach("one")
    assert f"table inet nbcontainers_{IDENTITY}" in rules()
    assert rules().replace(before[0], "").count("table ") == 1
    os.close(endpoint.namespace_fd)
    await networks.close(purge=True)
    await until(lambda: host.cables() == [], "the pool is not empty")
    assert (rules(), host.names()) == before
    assert sorted(os.listdir("/proc/self/fd")) == descriptors
    assert threading.active_count() == threads
    await networks.close(purge=True)


async def test_without_purge_containers_go_on_and_are_found_again(outside: Outside, held: ExitStack) -> None:
    networks = Networks(IDENTITY)
    await networks.start([])
    one = await attach(networks, held, "one")
    await networks.close(purge=False)
    assert converse(one.namespace_fd, outside.namespace_fd, outside.address)[0] == outside.host_address
    async with running(leases=[Lease(container_id="one", address=one.address)]) as again:
        endpoints = [await attach(again, held, f"{number}") for number in range(8)]
        assert one.address not in [endpoint.address for endpoint in endpoints]
        assert endpoints[0].gateway == one.gateway
        assert converse(endpoints[7].namespace_fd, one.namespace_fd, one.address)[0] == endpoints[7].address


async def test_an_address_that_nobody_remembers_is_not_given_while_it_is_in_use(home_fd: int, held: ExitStack) -> None:
    """As after kill -9, when the pool's namespaces, or a container that no database has, are still there."""
    networks = Networks(IDENTITY)
    await networks.start([])
    forgotten = [await attach(networks, held, f"{number}") for number in range(3)]
    await networks.close(purge=False)
    async with running() as again:
        endpoints = [await attach(again, held, f"{number}") for number in range(8)]
        addresses = [endpoint.address for endpoint in (*forgotten, *endpoints)]
        assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize("failing", ["add_bridge", "set_alias", "set_mac", "add_address", "set_up"])
async def test_a_start_that_fails_leaves_nothing(host: Host, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def fail(*_: object) -> None:
        raise SyscallError(95, os.strerror(95), "netlink")

    monkeypatch.setattr(Netlink, failing, fail)
    before = sorted(os.listdir("/proc/self/fd")), threading.active_count(), rules()
    networks = Networks(IDENTITY)
    with pytest.raises(SyscallError, match="Operation not supported"):
        await networks.start([])
    await networks.close(purge=True)
    assert (sorted(os.listdir("/proc/self/fd")), threading.active_count(), rules()) == before
    assert host.names() == ["lo"]


async def test_a_cancelled_start_can_be_closed(host: Host) -> None:
    before = sorted(os.listdir("/proc/self/fd")), threading.active_count()
    networks = Networks(IDENTITY)
    starting = asyncio.create_task(networks.start([]))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await networks.close(purge=True)
    assert (sorted(os.listdir("/proc/self/fd")), threading.active_count()) == before


async def test_no_subnet_is_one_clear_sentence(home_fd: int, host: Host) -> None:
    index = host.bridge("corporate")
    host.ask(Netlink.add_address, index, "172.16.0.1", 12)
    host.ask(Netlink.add_address, index, "192.168.0.1", 16)
    networks = Networks(IDENTITY)
    with pytest.raises(Unavailable, match="a subnet is not available"):
        await networks.start([])


async def test_a_failing_pool_says_so_once_and_until_it_works_again(
    host: Host, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as networks:
        await until(lambda: networks.prepared == PREPARED_ENDPOINTS, "the pool is not filled")
        tried: list[int] = []

        def fail(_: object) -> Endpoint:
            tried.append(len(tried))
            raise SyscallError(28, f"no space for number {len(tried)}", "unshare")

        monkeypatch.setattr(bridge_module.Bridge, "make_endpoint", fail)
        for number in range(PREPARED_ENDPOINTS):
            await attach(networks, held, f"{number}")
            await until(partial(_says, networks, f"number {number + 1}"), "the pool is not refilled")
        with pytest.raises(SyscallError, match="no space"):
            await networks.attach("one")
        assert len(networks.problems) == 1
        assert "cannot prepare endpoints" in networks.problems[0]
        monkeypatch.undo()
        await attach(networks, held, "works")
        await until(lambda: networks.problems == [], "the problem is not forgotten")


def _says(networks: Networks, words: str) -> bool:
    return any(words in problem for problem in networks.problems)


async def test_a_host_without_nat_is_a_problem_and_not_an_end(
    home_fd: int, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> str:
        raise Unavailable("nftables", "refused", "try another kernel")

    monkeypatch.setattr(nftables, "run", fail)
    async with running() as networks:
        one, two = await attach(networks, held, "one"), await attach(networks, held, "two")
        assert converse(one.namespace_fd, two.namespace_fd, two.address)[0] == one.address
        assert networks.problems == [
            "containers have no way out: nftables is not available: refused; try another kernel"
        ]


async def test_the_host_forwards(outside: Outside, held: ExitStack) -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    async with running() as networks:
        one = await attach(networks, held, "one")
        assert converse(one.namespace_fd, outside.namespace_fd, outside.address)[0] == outside.host_address


async def test_ip_shows_whose_a_bridge_is(home_fd: int) -> None:
    async with running():
        shown = subprocess.run(["ip", "link", "show", BRIDGE], capture_output=True, text=True, check=True).stdout
        assert f"alias nbcontainers engine {os.getpid()} started" in shown


async def test_somebody_else_who_drops_what_is_forwarded_is_told_of(outside: Outside, held: ExitStack) -> None:
    nftables.run(
        "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    )
    async with running() as networks:
        assert [problem for problem in networks.problems if "DOCKER-USER" in problem]
        one = await attach(networks, held, "one")
        for way in ("iifname", "oifname"):
            nftables.run(f'add rule ip filter FORWARD {way} "nbc-*" accept')
        assert converse(one.namespace_fd, outside.namespace_fd, outside.address)[0] == outside.host_address


async def test_who_wants_no_network_gets_a_namespace_that_was_made_before(host: Host, held: ExitStack) -> None:
    async with running() as networks:
        assert networks.isolated.take() is None  # nobody has wanted one so far
        async with asyncio.timeout(SECONDS):
            while (namespace_fd := networks.isolated.take()) is None:
                await asyncio.sleep(0.002)
        held.callback(os.close, namespace_fd)
        assert inside(namespace_fd, lambda: [name for _, name in socket.if_nameindex()]) == ["lo"]
        assert inside(namespace_fd, converse_with_oneself) == b"hello"


def converse_with_oneself() -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(SECONDS)
        one.bind(("127.0.0.1", 0))
        one.sendto(b"hello", one.getsockname())
        return one.recv(16)


def test_an_interface_that_goes_while_it_is_removed(home_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with Netlink() as netlink:
        index = netlink.add_bridge("going")
        netlink.delete_link("going")
        monkeypatch.setattr(Netlink, "link_index", lambda *_: index)  # as if it had been looked up before
        netlink.delete_link("going")
