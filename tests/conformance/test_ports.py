"""Published ports through docker-py and the stock CLI, proved with connections."""

import socket
from collections.abc import Callable
from functools import partial

import pytest
from docker.models.containers import Container

from tests.conformance.lan import Lan, refused, said
from tests.networks.wire import SECONDS, inside, udp
from tests.waiting import until

pytestmark = [pytest.mark.root]

SERVER = ["sh", "-c", "while true; do echo $HOSTNAME | nc -l -p 80; done"]


def greeting(address: str, port: int, namespace_fd: int | None = None, family: int = socket.AF_INET) -> str:
    """Return what a server says to who connects; empty when nobody listens."""

    def ask() -> str:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(3)
            try:
                connection.connect((address, port))
                return connection.recv(100).decode().strip()
            except OSError:
                return ""

    return ask() if namespace_fd is None else inside(namespace_fd, ask)


def heard(address: str, port: int, namespace_fd: int | None = None, family: int = socket.AF_INET) -> str:
    """Do as ``greeting`` does, until the server is there."""
    found = [""]

    def ask() -> bool:
        found[0] = greeting(address, port, namespace_fd, family)
        return bool(found[0])

    until(ask)
    return found[0]


def published(container: Container) -> dict[str, list[tuple[str, int]]]:
    container.reload()
    ports = container.attrs["NetworkSettings"]["Ports"]
    return {port: [(one["HostIp"], int(one["HostPort"])) for one in bindings or []] for port, bindings in ports.items()}


def test_a_published_port_is_reached_from_everywhere(lan: Lan) -> None:
    lan.network("other")
    web = lan.run("bridge", *SERVER, ports={"80/tcp": None}, hostname="web")
    neighbour, stranger = lan.run(), lan.run("other")
    ((host_ip, port),) = published(web)["80/tcp"]
    assert host_ip == "0.0.0.0"
    world = lan.outside

    def check() -> None:
        assert heard("127.0.0.1", port) == "web"
        assert heard(world.host_address, port) == "web"
        assert heard(world.host_address, port, world.namespace_fd) == "web"
        assert heard(world.host_address, port, lan.namespace(neighbour)) == "web"
        assert heard(world.host_address, port, lan.namespace(stranger)) == "web"
        assert heard(world.host_address, port, lan.namespace(web)) == "web"
        gateway = stranger.attrs["NetworkSettings"]["Networks"]["other"]["Gateway"]
        assert heard(gateway, port, lan.namespace(stranger)) == "web"

    check()
    lan.restart(kill=True)
    check()
    assert published(web)["80/tcp"] == [("0.0.0.0", port)]
    lan.restart(kill=False)
    check()
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))
    web.stop(timeout=0)
    assert greeting("127.0.0.1", port) == ""
    socket.create_server(("127.0.0.1", port)).close()
    assert published(web) == {}
    assert lan.client.api.containers(all=True, filters={"id": web.id})[0]["Ports"] == []


def test_containers_do_not_reach_the_hosts_loopback(lan: Lan) -> None:
    """Although packets that the host sends to 127.0.0.1 are forwarded into their network."""
    container = lan.run()
    lan.namespace(container)
    gateway = container.attrs["NetworkSettings"]["Gateway"]
    said(lan.namespace(container), "sysctl -qw net.ipv4.conf.all.route_localnet=1")
    said(lan.namespace(container), f"ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via {gateway} dev eth0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.3)
        with udp(lan.namespace(container)) as client:
            client.sendto(b"ask", server.getsockname())
            with pytest.raises(TimeoutError):
                server.recv(16)


def test_udp(lan: Lan) -> None:
    container = lan.run("bridge", ports={"53/udp": None})
    ((_, port),) = published(container)["53/udp"]
    world = lan.outside
    bind = partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    with inside(lan.namespace(container), bind) as server:
        server.settimeout(SECONDS)
        server.bind(("0.0.0.0", 53))
        for namespace_fd, address in ((lan.home_fd, "127.0.0.1"), (world.namespace_fd, world.host_address)):
            with udp(namespace_fd) as client:
                client.sendto(b"ask", (address, port))
                data, peer = server.recvfrom(16)
                server.sendto(data + b"ed", peer)
                assert client.recvfrom(16) == (b"asked", (address, port))


def test_udp_of_a_client_that_goes_on_sending(lan: Lan) -> None:
    """The kernel remembers where the client's packets went; the container has another address now."""
    container = lan.run("bridge", ports={"53/udp": None})
    ((_, port),) = published(container)["53/udp"]
    bind = partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    with udp(lan.home_fd) as client:
        for _ in range(2):
            with inside(lan.namespace(container), bind) as server:
                server.settimeout(SECONDS)
                server.bind(("0.0.0.0", 53))
                client.sendto(b"ask", ("127.0.0.1", port))
                assert server.recv(16) == b"ask"
            container.remove(force=True)
            client.sendto(b"lost", ("127.0.0.1", port))
            container = lan.run("bridge", ports={"53/udp": port})


def test_all_forms_of_publishing(lan: Lan) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    world = lan.outside
    container = lan.run(
        "bridge",
        *SERVER,
        ports={"80/tcp": [("127.0.0.1", port), (world.host_address, port)], "81/tcp": None, "82/udp": f"{port}"},
        hostname="web",
    )
    assert published(container)["80/tcp"] == [("127.0.0.1", port), (world.host_address, port)]
    assert published(container)["82/udp"] == [("0.0.0.0", port)]
    assert heard("127.0.0.1", port) == heard(world.host_address, port, world.namespace_fd) == "web"
    row = lan.client.api.containers()[0]["Ports"]
    assert {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": port, "Type": "tcp"} in row
    container.remove(force=True)
    config = lan.client.api.create_host_config(publish_all_ports=True)
    created = lan.client.api.create_container("busybox", SERVER, ports=[80, (53, "udp")], host_config=config)
    lan.client.api.start(created)
    assert set(published(lan.client.containers.get(created["Id"]))) == {"80/tcp", "53/udp"}


def test_the_hosts_network_publishes_nothing(lan: Lan) -> None:
    config = lan.client.api.create_host_config(network_mode="host")
    config["PortBindings"] = {"80/tcp": [{"HostPort": "8080"}]}  # which docker-py itself would refuse
    made = lan.client.api.create_container("busybox", ["sleep", "600"], host_config=config)
    assert made["Warnings"] == ["Published ports are discarded when using host network mode"]
    lan.client.api.start(made)
    assert published(lan.client.containers.get(made["Id"])) == {}


def test_who_cannot_be_reached_exposes_nothing(lan: Lan) -> None:
    for network, shown in (("none", {}), ("host", {}), ("bridge", {"80/tcp": None})):
        config = lan.client.api.create_host_config(network_mode=network)
        made = lan.client.api.create_container("busybox", ["sleep", "600"], ports=["80"], host_config=config)
        lan.client.api.start(made)
        assert lan.client.containers.get(made["Id"]).attrs["NetworkSettings"]["Ports"] == shown
        (row,) = lan.client.api.containers(filters={"id": made["Id"]})
        assert [port["PrivatePort"] for port in row["Ports"]] == ([80] if shown else [])


def test_a_range_gives_its_first_free_port(lan: Lan) -> None:
    first = lan.run("bridge", ports={"80/tcp": None})
    ((_, taken),) = published(first)["80/tcp"]
    second = lan.run("bridge", ports={"80/tcp": f"{taken}-{min(taken + 20, 65535)}"})
    ((_, port),) = published(second)["80/tcp"]
    assert taken < port <= taken + 20


def test_a_taken_port(lan: Lan) -> None:
    first = lan.run("bridge", ports={"80/tcp": None}, name="first")
    ((_, port),) = published(first)["80/tcp"]
    second = lan.client.containers.create("busybox", ["sleep", "600"], ports={"80/tcp": port}, name="second")
    words = r"driver failed programming external connectivity on endpoint second \([0-9a-f]{64}\): "
    with refused(500, rf"{words}Bind for 0\.0\.0\.0:{port} failed: port is already allocated"):
        second.start()
    second.reload()
    assert (second.status, second.attrs["State"]["ExitCode"]) == ("created", 128)
    assert "already allocated" in second.attrs["State"]["Error"]
    first.kill()
    second.start()
    assert published(second)["80/tcp"] == [("0.0.0.0", port)]
    second.remove(force=True)
    with socket.create_server(("127.0.0.1", port)), refused(500, f"{port}.*: address already in use"):
        lan.run("bridge", ports={"80/tcp": port})


def test_ports_follow_a_container_into_other_networks(lan: Lan) -> None:
    one, two, closed = lan.network("one"), lan.network("two"), lan.network("closed", internal=True)
    web = lan.run("two", *SERVER, ports={"80/tcp": None}, hostname="web")
    ((_, port),) = published(web)["80/tcp"]
    assert heard("127.0.0.1", port) == "web"
    two.disconnect(web)
    assert greeting("127.0.0.1", port) == ""
    closed.connect(web)
    assert published(web)["80/tcp"] == []
    one.connect(web)
    ((_, port),) = published(web)["80/tcp"]
    assert heard("127.0.0.1", port) == "web"


def test_ports_of_ipv6(lan: Lan) -> None:
    lan.network("six", enable_ipv6=True)
    web, neighbour = lan.run("six", ports={"80/tcp": None}), lan.run("six")
    (_, port), (everywhere, port_of_six) = published(web)["80/tcp"]
    assert (everywhere, port_of_six) == ("::", port)
    said(lan.home_fd, "ip addr add fd00:77::1/64 dev uplink nodad")
    said(lan.outside.namespace_fd, "ip addr add fd00:77::2/64 dev world nodad")
    listen = partial(socket.create_server, ("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
    with inside(lan.namespace(web), listen) as server:
        server.settimeout(SECONDS)
        asking = (lan.home_fd, lan.outside.namespace_fd, lan.namespace(neighbour))
        for namespace_fd in asking:
            with inside(namespace_fd, partial(socket.create_connection, ("fd00:77::1", port), SECONDS)):
                server.accept()[0].close()
        with pytest.raises(ConnectionRefusedError):  # so that who tries localhost goes on to 127.0.0.1
            socket.create_connection(("::1", port), SECONDS)
        with socket.create_connection(("127.0.0.1", port), SECONDS):
            server.accept()[0].close()


def test_where_a_networks_ports_are_published(lan: Lan) -> None:
    lan.network("local", options={"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"})
    assert published(lan.run("local", ports={"80/tcp": None}))["80/tcp"][0][0] == "127.0.0.1"


@pytest.mark.peer
def test_ports_with_the_stock_cli(lan: Lan, need: Callable[..., None]) -> None:
    need("peer")
    cli = lan.engine.docker
    cli("run", "-d", "--name", "web", "-p", "80", "-p", "127.0.0.1::81/udp", "busybox", "sleep", "600")
    lines = cli("port", "web").stdout.decode().splitlines()
    assert any(line.startswith("80/tcp -> 0.0.0.0:") for line in lines)
    assert any(line.startswith("81/udp -> 127.0.0.1:") for line in lines)
    assert b"->80/tcp" in cli("ps").stdout


def test_sctp_is_published_where_the_kernel_has_it_and_else_refused(lan: Lan) -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
        has_sctp = True
    except OSError:
        has_sctp = False
    web = lan.client.containers.create("busybox", ["sleep", "600"], ports={"80/sctp": None})
    if has_sctp:
        web.start()
        assert list(published(web)) == ["80/sctp"]
        return
    with refused(503, "sctp is not available: protocol not supported; modprobe sctp, or use tcp"):
        web.start()
    web.reload()
    assert (web.status, web.attrs["NetworkSettings"]["Ports"]) == ("created", {})
    assert "sctp" in web.attrs["State"]["Error"]
