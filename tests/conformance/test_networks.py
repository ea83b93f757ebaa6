"""Networks through docker-py and the stock CLI, proved with packets."""

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from tests.conformance.lan import Lan, answers, refused, said, subnet
from tests.networks.wire import converse, inside, udp

pytestmark = [pytest.mark.root]


def test_the_three_that_are_always_there(lan: Lan) -> None:
    found = {network.name: network for network in lan.client.networks.list()}
    assert {name: network.attrs["Driver"] for name, network in found.items()} == {
        "bridge": "bridge",
        "host": "host",
        "none": "null",
    }
    lan.restart(kill=False)
    assert {network.name: network.id for network in lan.client.networks.list()} == {
        name: network.id for name, network in found.items()
    }
    for name in found:
        with refused(403, f"{name} is a pre-defined network and cannot be removed"):
            lan.client.networks.get(name).remove()
        with refused(403, "operation is not permitted on predefined"):
            lan.network(name)


def test_what_was_asked_for_is_what_is_shown(lan: Lan) -> None:
    ipam = subnet("10.90.0.0/16", iprange="10.90.5.0/24", gateway="10.90.5.254", aux_addresses={"a": "10.90.5.1"})
    options = {"com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "mybridge"}
    made = lan.network("mine", ipam=ipam, options=options, labels={"x": "y"}, internal=True, attachable=True)
    attrs = lan.client.networks.get(made.id[:10]).attrs
    assert attrs["IPAM"]["Config"] == [
        {
            "Subnet": "10.90.0.0/16",
            "IPRange": "10.90.5.0/24",
            "Gateway": "10.90.5.254",
            "AuxiliaryAddresses": {"a": "10.90.5.1"},
        }
    ]
    assert (attrs["Options"], attrs["Labels"], attrs["Internal"], attrs["Attachable"]) == (
        options,
        {"x": "y"},
        True,
        True,
    )
    container = lan.run("mine")
    assert lan.address(container, "mine") == "10.90.5.0"
    assert lan.address(lan.run("mine"), "mine") == "10.90.5.2"  # the one between is somebody's
    shown = said(lan.namespace(container), "ip link show eth0; ip route")
    members = lan.client.networks.get("mine").attrs["Containers"]
    assert members[container.id]["IPv4Address"] == "10.90.5.0/16"
    assert "mtu 1400" in shown
    assert "default via" not in shown
    assert "mybridge" in said(lan.home_fd, "ip link")


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"driver": "host"}, 403, "only one instance of"),
        ({"driver": "nothing"}, 404, "not found"),
        ({"driver": "ipvlan"}, 501, "this kernel has none .*add ipvlan 'check0': Operation not supported.*use bridge"),
        ({"driver": "overlay"}, 501, "swarm"),
        ({"ipam": subnet("10.90.0.0/33")}, 400, "invalid subnet"),
        ({"ipam": subnet("10.90.0.0/16", gateway="10.91.0.1")}, 400, "no matching subnet for gateway"),
        ({"ipam": subnet("10.90.0.0/16", iprange="10.91.0.0/24")}, 400, "invalid range"),
        ({"ipam": subnet("fd00:9::/64")}, 400, "needs EnableIPv6"),
        ({"options": {"com.docker.network.driver.mtu": "big"}}, 400, "invalid value 'big'"),
        ({"options": {"com.docker.network.bridge.name": "a/b"}}, 400, "invalid bridge name"),
        ({"options": {"colour": "blue"}}, 400, "invalid option 'colour'"),
        ({"driver": "macvlan"}, 400, "needs the option parent"),
        ({"driver": "macvlan", "options": {"parent": "nowhere"}}, 400, "must name an interface"),
    ],
)
def test_what_is_no_network(lan: Lan, options: dict[str, Any], status: int, words: str) -> None:
    with refused(status, words):
        lan.network("mine", **options)
    assert len(lan.client.networks.list()) == 3


def test_what_another_network_has(lan: Lan) -> None:
    lan.network("mine", ipam=subnet("10.90.0.0/16"))
    with refused(409, "network with name mine already exists"):
        lan.network("mine")
    with refused(403, "Pool overlaps with other one on this address space"):
        lan.network("other", ipam=subnet("10.90.7.0/24"))
    lan.network("third", options={"com.docker.network.bridge.name": "mybridge"})
    with refused(403, "networks have same bridge name"):
        lan.network("other", options={"com.docker.network.bridge.name": "mybridge"})


def test_filters(lan: Lan) -> None:
    mine, other = lan.network("mine", labels={"a": "b"}), lan.network("other", internal=True)
    lan.run("mine")

    def names(**filters: Any) -> set[str]:
        return {network.name for network in lan.client.networks.list(filters=filters)}

    assert names(driver="null") == {"none"}
    assert names(type="custom") == {"mine", "other"}
    assert names(type="builtin") == {"bridge", "host", "none"}
    assert names(label="a") == names(label="a=b") == {"mine"}
    assert names(label="a=c") == set()
    assert names(name="oth") == {"other"}
    assert names(id=other.id[:8]) == {"other"}
    assert names(dangling="true") == {"other"}
    assert names(scope="swarm") == set()
    assert [one["Name"] for one in lan.client.api.networks(names=["mine"])] == ["mine"]
    with refused(400, "invalid filter"):
        names(type="strange")
    assert lan.client.networks.prune()["NetworksDeleted"] == ["other"]
    with refused(403, f"network mine id {mine.id} has active endpoints"):
        mine.remove()


@pytest.mark.parametrize("kill", [False, True])
def test_networks_do_not_reach_each_other(lan: Lan, kill: bool) -> None:
    lan.network("one"), lan.network("two")
    first, second, other = lan.run("one"), lan.run("one"), lan.run("two")
    default = lan.run()
    world = lan.outside

    def check() -> None:
        assert lan.reach(first, second, "one")
        assert not lan.reach(first, other, "two")
        assert not lan.reach(other, first, "one")
        assert not lan.reach(default, first, "one")
        assert not lan.reach(first, default, "bridge")
        assert converse(lan.namespace(first), world.namespace_fd, world.address)[0] == world.host_address
        assert converse(lan.home_fd, lan.namespace(first), lan.address(first, "one"))
        # Who has a route to this host reaches no port that is not published.
        said(world.namespace_fd, f"ip route replace default via {world.host_address}")
        assert not answers(world.namespace_fd, lan.namespace(first), lan.address(first, "one"))

    check()
    addresses = [lan.address(first, "one"), lan.address(other, "two")]
    lan.restart(kill=kill)
    check()
    assert [lan.address(first, "one"), lan.address(other, "two")] == addresses
    fresh = lan.run("one")
    assert lan.address(fresh, "one") not in addresses
    assert lan.reach(fresh, second, "one")


def test_an_internal_network_has_no_way_out(lan: Lan) -> None:
    lan.network("closed", internal=True)
    first, second = lan.run("closed"), lan.run("closed")
    world = lan.outside
    for _ in range(2):
        assert lan.reach(first, second, "closed")
        # Not even with a route of its own.
        gateway = lan.client.networks.get("closed").attrs["IPAM"]["Config"][0]["Gateway"]
        said(lan.namespace(first), f"ip route replace default via {gateway}")
        assert not answers(lan.namespace(first), world.namespace_fd, world.address)
        lan.restart(kill=True)


def test_containers_of_a_network_may_be_kept_apart(lan: Lan) -> None:
    lan.network("apart", options={"com.docker.network.bridge.enable_icc": "false"})
    first, second = lan.run("apart"), lan.run("apart")
    assert not lan.reach(first, second, "apart")
    assert converse(lan.namespace(first), lan.outside.namespace_fd, lan.outside.address)


def test_a_network_without_masquerading(lan: Lan) -> None:
    lan.network("plain", options={"com.docker.network.bridge.enable_ip_masquerade": "false"})
    container = lan.run("plain")
    world = lan.outside
    with udp(lan.namespace(container)) as client, udp(world.namespace_fd) as server:
        client.sendto(b"ask", (world.address, server.getsockname()[1]))
        assert server.recvfrom(16)[1][0] == lan.address(container, "plain")


def test_connect_and_disconnect_while_it_runs(lan: Lan) -> None:
    one, two = lan.network("one"), lan.network("two")
    first, second = lan.run("one"), lan.run("two")

    def interfaces() -> tuple[list[str], str]:
        names = inside(lan.namespace(first), lambda: sorted(name for _, name in socket.if_nameindex()))
        routes = said(lan.namespace(first), "ip route show default")
        return names, routes.split()[2] if routes else ""

    gateways = [network.attrs["IPAM"]["Config"][0]["Gateway"] for network in (one, two)]
    for network, gateway in zip((one, two), gateways, strict=True):
        network.reload()
        assert network.attrs["IPAM"]["Config"][0]["Gateway"] == gateway
    assert not lan.reach(first, second, "two")
    two.connect(first, aliases=["x"])
    assert interfaces() == (["eth0", "eth1", "lo"], gateways[0])
    assert lan.reach(first, second, "two")
    assert first.attrs["NetworkSettings"]["Networks"]["two"]["Aliases"] == ["x"]
    address = lan.address(first, "two")
    assert f"{address}\t{first.attrs['Config']['Hostname']}" in hosts(first)
    with refused(403, "already exists in network two"):
        two.connect(first)
    one.disconnect(first)
    assert interfaces() == (["eth1", "lo"], gateways[1])
    assert converse(lan.namespace(first), lan.outside.namespace_fd, lan.outside.address)
    with refused(403, "is not connected to network one"):
        one.disconnect(first)
    lan.restart(kill=True)
    first.reload()
    assert list(first.attrs["NetworkSettings"]["Networks"]) == ["two"]
    one.connect(first)
    assert interfaces()[0] == ["eth0", "eth1", "lo"]
    two.disconnect(first)
    two.connect(first)
    assert lan.reach(first, second, "two")
    first.restart(timeout=0)
    assert lan.reach(first, second, "two")


def hosts(container: Container) -> str:
    container.reload()
    with open(container.attrs["HostsPath"]) as file:
        return file.read()


def test_connect_and_disconnect_while_it_does_not_run(lan: Lan) -> None:
    one, two = lan.network("one"), lan.network("two")
    container = lan.client.containers.create("busybox", ["sleep", "600"], network="one")
    peer = lan.run("two")
    two.connect(container)
    one.disconnect(container)
    container.start()
    container.reload()
    assert list(container.attrs["NetworkSettings"]["Networks"]) == ["two"]
    assert lan.reach(container, peer, "two")
    two.disconnect(container)
    container.stop(timeout=0)
    container.start()
    names = inside(lan.namespace(container), lambda: [name for _, name in socket.if_nameindex()])
    assert names == ["lo"]
    peer.remove(force=True)
    two.remove()
    with pytest.raises(NotFound, match="network two not found"):
        lan.client.networks.get("two")


def test_a_container_whose_network_is_gone(lan: Lan) -> None:
    """Until it has been started for the first time its network counts by name, then it is that one."""
    one = lan.network("one")
    container = lan.client.containers.create("busybox", ["sleep", "600"], network="one")
    one.remove()
    with refused(404, "network one not found"):
        container.start()
    one = lan.network("one")
    container.start()
    container.stop(timeout=0)
    one.remove()
    lan.network("one")
    with refused(404, f"network {one.id} not found"):
        container.start()


def test_a_container_whose_network_is_not_there_yet(lan: Lan) -> None:
    container = lan.client.containers.create("busybox", ["sleep", "600"], network="later")
    assert container.attrs["NetworkSettings"]["Networks"]["later"]["NetworkID"] == ""
    with refused(404, "network later not found"):
        container.start()
    container.reload()
    assert container.attrs["State"]["Error"] == "network later not found"
    later = lan.network("later")
    container.start()
    assert lan.reach(lan.run("later"), container, "later")
    typo = lan.client.containers.create("busybox", ["sleep", "600"], network="typo")
    later.connect(typo)
    lan.client.api.disconnect_container_from_network(typo.id, "typo")
    typo.start()
    typo.reload()
    assert list(typo.attrs["NetworkSettings"]["Networks"]) == ["later"]
    with refused(404, "network nonesuch not found"):
        lan.client.api.disconnect_container_from_network(typo.id, "nonesuch")


def test_fixed_addresses(lan: Lan) -> None:
    lan.network("mine", ipam=subnet("10.90.0.0/16"))
    lan.network("chosen")

    def run(network: str, **config: Any) -> Container:
        endpoint = lan.client.api.create_endpoint_config(**config)
        return lan.run(network, networking_config={network: endpoint})

    container = run("mine", ipv4_address="10.90.0.77", mac_address="02:42:00:00:00:07")
    assert lan.address(container, "mine") == "10.90.0.77"
    assert container.attrs["NetworkSettings"]["Networks"]["mine"]["MacAddress"] == "02:42:00:00:00:07"
    for _ in range(3):  # the kernel takes its time with the namespace before
        container.restart(timeout=0)
        assert lan.address(container, "mine") == "10.90.0.77"
    with refused(403, "Address already in use"):
        run("mine", ipv4_address="10.90.0.77")
    with refused(400, "no configured subnet contains IP address 10.91.0.1"):
        run("mine", ipv4_address="10.91.0.1")
    with refused(400, "supported only when connecting to networks with user configured subnets"):
        run("chosen", ipv4_address="172.19.0.77")
    with refused(400, "supported on user defined networks only"):
        run("bridge", ipv4_address="172.18.0.77")
    with refused(400, "network-scoped alias is supported only"):
        run("bridge", aliases=["x"])
    with refused(400, "host network"):
        lan.client.networks.get("host").connect(container)


def test_ipv6(lan: Lan) -> None:
    lan.network("six", enable_ipv6=True, ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="fd00:90::/64")]))
    lan.network("auto", enable_ipv6=True)
    first = lan.run("six", networking_config={"six": lan.client.api.create_endpoint_config(ipv6_address="fd00:90::7")})
    second, other = lan.run("six"), lan.run("auto")

    def ask(asking: Container, answering: Container, address: str) -> bool:
        def bind() -> socket.socket:
            one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            one.settimeout(0.3)
            one.bind(("::", 0))
            return one

        with inside(lan.namespace(asking), bind) as client, inside(lan.namespace(answering), bind) as server:
            try:
                client.sendto(b"ask", (address, server.getsockname()[1]))
                return server.recvfrom(16)[0] == b"ask"
            except OSError:
                return False

    settings = {c.id: c.attrs["NetworkSettings"]["Networks"] for c in (first, second, other) if c.reload() is None}
    assert settings[first.id]["six"]["GlobalIPv6Address"] == "fd00:90::7"
    assert ask(second, first, "fd00:90::7")
    assert ask(first, second, settings[second.id]["six"]["GlobalIPv6Address"])
    assert settings[other.id]["auto"]["GlobalIPv6Address"].startswith("fd")
    assert not ask(other, first, "fd00:90::7")


def test_a_gateway_that_is_local_to_its_link(lan: Lan) -> None:
    lan.network(
        "local", enable_ipv6=True, ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="fe80::/64", gateway="fe80::1001:1")])
    )
    assert b"default via fe80::1001:1 dev eth0" in lan.run("local").exec_run("ip -6 route").output


def test_macvlan(lan: Lan) -> None:
    lan.network(
        "direct", driver="macvlan", ipam=subnet("10.77.0.0/24", gateway="10.77.0.2"), options={"parent": "uplink"}
    )
    container = lan.run(
        "direct", networking_config={"direct": lan.client.api.create_endpoint_config(ipv4_address="10.77.0.9")}
    )
    world = lan.outside
    assert converse(lan.namespace(container), world.namespace_fd, world.address)[0] == "10.77.0.9"
    lan.client.networks.get("direct").disconnect(container)
    assert inside(lan.namespace(container), lambda: [name for _, name in socket.if_nameindex()]) == ["lo"]


def test_another_containers_network(lan: Lan) -> None:
    one = lan.run(name="one")
    two = lan.run("container:one")
    assert os.fstat(lan.namespace(one)).st_ino == os.fstat(lan.namespace(two)).st_ino
    with refused(409, "cannot join network of a non running container"):
        one.stop(timeout=0)
        lan.run("container:one")


def test_events(lan: Lan) -> None:
    since = lan.client.info()["SystemTime"]
    network = lan.network("mine")
    container = lan.run("mine")
    container.stop(timeout=0)
    network.remove()
    events = lan.client.api.events(since=since, until=lan.client.info()["SystemTime"], decode=True)
    told = [event for event in events if event["Type"] == "network"]
    assert [event["Action"] for event in told] == ["create", "connect", "disconnect", "destroy"]
    assert told[1]["Actor"] == {
        "ID": network.id,
        "Attributes": {"container": container.id, "name": "mine", "type": "bridge"},
    }


@pytest.mark.peer
def test_the_stock_cli(lan: Lan, need: Callable[..., None]) -> None:
    need("peer")
    cli = lan.engine.docker
    cli("network", "create", "--subnet", "10.90.0.0/16", "--label", "a=b", "mine")
    assert b"mine" in cli("network", "ls", "--filter", "label=a").stdout
    cli("run", "-d", "--name", "web", "--network", "mine", "--ip", "10.90.0.9", "busybox", "sleep", "600")
    assert cli("inspect", "-f", "{{.NetworkSettings.Networks.mine.IPAddress}}", "web").stdout == b"10.90.0.9\n"
    cli("network", "disconnect", "mine", "web")
    cli("network", "connect", "--ip", "10.90.0.10", "--alias", "www", "mine", "web")
    assert b"10.90.0.10/16" in cli("network", "inspect", "mine").stdout
    assert b"has active endpoints" in cli("network", "rm", "mine", check=False).stderr
    cli("rm", "-f", "web")
    assert cli("network", "prune", "-f").stdout.split()[-1] == b"mine"
