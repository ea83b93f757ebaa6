"""Names of containers, asked for from inside of containers by a resolver that is not ours."""

import socket
import struct
import threading
import time
from collections import Counter
from functools import partial
from typing import Any

import dnslib
import pytest
from docker.errors import APIError
from docker.models.containers import Container

from tests.conformance.lan import Lan, said
from tests.networks.wire import SECONDS, inside
from tests.waiting import until

pytestmark = [pytest.mark.root]

NAME_SERVER = ("127.0.0.11", 53)


def exchange(namespace_fd: int, query: bytes, *, stream: bool = False) -> bytes:
    """Ask a container's name server, and return what it says."""

    def ask() -> bytes:
        kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as client:
            client.settimeout(SECONDS)
            client.connect(NAME_SERVER)
            if not stream:
                client.send(query)
                return client.recv(65535)
            client.sendall(struct.pack("!H", len(query)) + query)
            file = client.makefile("rb")
            with file:
                (length,) = struct.unpack("!H", file.read(2))
                return file.read(length)

    return inside(namespace_fd, ask)


def ask(lan: Lan, container: Container, name: str, kind: str = "A", *, stream: bool = False, edns: int = 0) -> Any:
    question = dnslib.DNSRecord.question(name, kind)
    if edns:
        question.add_ar(dnslib.EDNS0(udp_len=edns))
    answer = dnslib.DNSRecord.parse(exchange(lan.namespace(container), question.pack(), stream=stream))
    assert answer.header.id == question.header.id
    assert answer.q == question.q
    return answer


def resolve(lan: Lan, container: Container, name: str, kind: str = "A") -> list[str]:
    answer = ask(lan, container, name, kind)
    assert answer.header.rcode == dnslib.RCODE.NOERROR, dnslib.RCODE.get(answer.header.rcode)
    return [str(record.rdata).rstrip(".") for record in answer.rr]


def code(lan: Lan, container: Container, name: str, kind: str = "A") -> str:
    return str(dnslib.RCODE.get(ask(lan, container, name, kind).header.rcode))


def endpoint(lan: Lan, network: str, **config: Any) -> dict[str, Any]:
    return {"networking_config": {network: lan.client.api.create_endpoint_config(**config)}}


class World:
    """A name server beyond the host, that knows one name.

    Args:
        lan: Where it is asked from.
    """

    def __init__(self, lan: Lan) -> None:
        self.asked: list[str] = []
        self.address = lan.outside.address
        self._udp = inside(lan.outside.namespace_fd, partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM))
        self._udp.bind((self.address, 53))
        self._tcp = inside(lan.outside.namespace_fd, partial(socket.create_server, (self.address, 53)))
        self._threads = [threading.Thread(target=work) for work in (self._serve, self._serve_streams)]
        for thread in self._threads:
            thread.start()

    def _answer(self, query: bytes) -> bytes:
        asked = dnslib.DNSRecord.parse(query)
        name = str(asked.q.qname)
        self.asked.append(name)
        answer = asked.reply()
        if name == "known.example.":
            answer.add_answer(dnslib.RR(name, dnslib.QTYPE.A, ttl=60, rdata=dnslib.A("192.0.2.7")))
        else:
            answer.header.rcode = dnslib.RCODE.NXDOMAIN
        return bytes(answer.pack())

    def _serve(self) -> None:
        while True:
            query, peer = self._udp.recvfrom(512)
            if query == b"end":
                return
            self._udp.sendto(self._answer(query), peer)

    def _serve_streams(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection, connection.makefile("rb") as file:
                head = file.read(2)
                if not head:
                    return
                answer = self._answer(file.read(struct.unpack("!H", head)[0]))
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    def close(self, lan: Lan) -> None:
        def end() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"end", (self.address, 53))
            socket.create_connection((self.address, 53)).close()

        inside(lan.outside.namespace_fd, end)
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()


def test_names_in_a_network(lan: Lan) -> None:
    lan.network("net"), lan.network("other")
    web = lan.run("net", name="web", hostname="webhost", **endpoint(lan, "net", aliases=["www", "Shop"]))
    asking, stranger = lan.run("net"), lan.run("other")
    address = lan.address(web, "net")
    for name in ("web", "WEB", "web.net", "www", "shop", "webhost", str(web.id)[:12]):
        assert resolve(lan, asking, name) == [address], name
    assert resolve(lan, asking, "web", "AAAA") == []
    assert resolve(lan, asking, "web", "MX") == []
    pointer = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    assert resolve(lan, asking, pointer, "PTR") == ["web.net"]
    assert code(lan, stranger, "web") in ("NXDOMAIN", "SERVFAIL")
    assert said(lan.namespace(asking), f"cat /proc/{asking.attrs['State']['Pid']}/root/etc/resolv.conf").startswith(
        "nameserver 127.0.0.11\n"
    )


def test_names_follow_containers(lan: Lan) -> None:
    net = lan.network("net")
    asking, web = lan.run("net"), lan.run("net", name="web")

    def refused_at_once() -> bool:
        began = time.monotonic()
        refused = code(lan, asking, "web") == "NXDOMAIN"
        return refused and time.monotonic() - began < 1

    assert resolve(lan, asking, "web") == [lan.address(web, "net")]
    web.stop(timeout=0)
    assert refused_at_once()
    web.start()
    assert resolve(lan, asking, "web") == [lan.address(web, "net")]
    web.rename("shop")
    assert resolve(lan, asking, "shop") == [lan.address(web, "net")]
    net.disconnect(web)
    assert code(lan, asking, "shop") != "NOERROR"
    net.connect(web, aliases=["again"])
    assert resolve(lan, asking, "again") == [lan.address(web, "net")]
    assert resolve(lan, web, "shop") == [lan.address(web, "net")]


@pytest.mark.parametrize("kill", [True, False])
def test_names_after_a_restart_of_the_engine(lan: Lan, kill: bool) -> None:
    lan.network("net")
    asking, web, ended = lan.run("net"), lan.run("net", name="web"), lan.run("net", name="ended")
    ended.stop(timeout=0)
    before = lan.namespace(asking)
    lan.restart(kill=kill)
    assert lan.namespace(asking) != before
    assert resolve(lan, asking, "web") == [lan.address(web, "net")]
    assert code(lan, asking, "ended") == "NXDOMAIN"


def test_a_container_that_joins_a_network_later(lan: Lan) -> None:
    net = lan.network("net")
    asking, web = lan.run(), lan.run("net", name="web")
    net.connect(asking)
    assert resolve(lan, asking, "web") == [lan.address(web, "net")]
    with open(asking.attrs["ResolvConfPath"]) as file:
        assert "nameserver 127.0.0.11" in file.read()
    net.disconnect(asking)
    with open(asking.attrs["ResolvConfPath"]) as file:
        assert "127.0.0.11" not in file.read()


def test_a_shared_alias_takes_turns(lan: Lan) -> None:
    lan.network("net", enable_ipv6=True)
    workers = [lan.run("net", **endpoint(lan, "net", aliases=["worker"])) for _ in range(3)]
    asking = lan.run("net")
    addresses = {lan.address(worker, "net") for worker in workers}
    answers = [resolve(lan, asking, "worker") for _ in range(30)]
    assert all(set(answer) == addresses for answer in answers)
    assert Counter(answer[0] for answer in answers) == dict.fromkeys(addresses, 10)
    of_six = {worker.attrs["NetworkSettings"]["Networks"]["net"]["GlobalIPv6Address"] for worker in workers}
    assert set(resolve(lan, asking, "worker", "AAAA")) == of_six
    workers[0].kill()
    until(lambda: len(resolve(lan, asking, "worker")) == 2)


def test_links(lan: Lan) -> None:
    lan.network("net")
    lan.run("net", name="web")
    asking, other = lan.run("net", **endpoint(lan, "net", links=[("web", "shop")])), lan.run("net")
    assert resolve(lan, asking, "shop") == resolve(lan, other, "web")
    assert code(lan, other, "shop") != "NOERROR"


def test_names_of_the_world(lan: Lan) -> None:
    world = World(lan)
    try:
        lan.network("net"), lan.network("closed", internal=True)
        asking = lan.run("net", dns=[world.address])
        inner = lan.run("closed", dns=[world.address])
        assert resolve(lan, asking, "known.example") == ["192.0.2.7"]
        assert [str(one.rdata) for one in ask(lan, asking, "known.example", stream=True).rr] == ["192.0.2.7"]
        assert code(lan, asking, "unknown.example") == "NXDOMAIN"
        assert Counter(world.asked)["known.example."] == 2
        world.asked.clear()
        assert code(lan, inner, "known.example") == "SERVFAIL"
        assert code(lan, inner, "nobody") == "NXDOMAIN"
        assert world.asked == []
        elsewhere = lan.run("net", dns=["10.77.0.9", world.address])  # nobody is there: the next one is asked
        assert resolve(lan, elsewhere, "known.example") == ["192.0.2.7"]
    finally:
        world.close(lan)


def test_nonsense(lan: Lan) -> None:
    lan.network("net")
    fd = lan.namespace(lan.run("net", name="web"))
    head = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    assert exchange(fd, head)[3] & 15 == dnslib.RCODE.FORMERR
    assert exchange(fd, head + b"\xc0\x0c\x00\x01\x00\x01")[:2] == b"\x12\x34"
    assert exchange(fd, b"\x12\x34\x28" + head[3:] + b"\x03web\x00\x00\x01\x00\x01")[3] & 15 == dnslib.RCODE.NOTIMP

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(NAME_SERVER)
            for piece in (b"", b"x", head[:11], b"\xff" * 600):
                client.send(piece)

    inside(fd, send)
    with inside(fd, partial(socket.create_connection, NAME_SERVER, SECONDS)) as half:
        half.send(b"\x00")
    assert dnslib.DNSRecord.parse(exchange(fd, dnslib.DNSRecord.question("web").pack())).rr


def test_a_name_server_in_a_container(lan: Lan) -> None:
    """Port 53 of every address is the container's own, although it asks at port 53."""
    lan.network("net")
    container = lan.run("net", name="web")
    fd = lan.namespace(container)
    with inside(fd, partial(socket.create_server, ("0.0.0.0", 53))):
        with inside(fd, partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)) as mine:
            mine.bind(("0.0.0.0", 53))
            assert resolve(lan, container, "web") == [lan.address(container, "net")]


def test_the_default_bridge_has_no_names(lan: Lan) -> None:
    lan.run(name="web")
    asking = lan.run()
    with pytest.raises(ConnectionRefusedError):
        exchange(lan.namespace(asking), dnslib.DNSRecord.question("web").pack())


def test_nothing_is_left_of_a_container(lan: Lan) -> None:
    """A socket in a namespace would keep it, and its cable with it."""
    network = lan.network("net")
    lan.run("net").remove(force=True)
    bridge = next(
        name for name in said(lan.home_fd, "ip -o link | cut -d: -f2").split() if name.endswith(str(network.id)[:5])
    )
    until(lambda: said(lan.home_fd, f"ip -o link show master {bridge}") == "")


def test_legacy_links(lan: Lan) -> None:
    """On the default bridge: names in /etc/hosts, and what the other one is in the environment."""
    web = lan.run(name="web", environment={"COLOUR": "blue"}, ports={"80/tcp": None}, hostname="webhost")
    asking = lan.run("bridge", "sh", "-c", "env; cat /etc/hosts; sleep 600", name="asking", links={"web": "my-shop"})
    address = lan.address(web, "bridge")
    until(lambda: b"asking" in asking.logs())
    said_inside = asking.logs().decode()
    assert f"{address}\tmy-shop webhost web\n" in said_inside
    for line in (
        "MY_SHOP_NAME=/asking/my-shop",
        "MY_SHOP_ENV_COLOUR=blue",
        f"MY_SHOP_PORT=tcp://{address}:80",
        f"MY_SHOP_PORT_80_TCP_ADDR={address}",
    ):
        assert line in said_inside.splitlines()
    assert asking.attrs["HostConfig"]["Links"] == ["/web:/asking/my-shop"]
    names = {name for row in lan.client.api.containers() for name in row["Names"]}
    assert names == {"/web", "/asking", "/asking/my-shop"}
    lan.run()  # which takes the next address
    web.restart(timeout=0)
    with open(asking.attrs["HostsPath"]) as file:
        assert f"{lan.address(web, 'bridge')}\tmy-shop" in file.read()
    web.stop(timeout=0)
    with pytest.raises(APIError, match="Cannot link to a non running container: /web AS /asking/my-shop"):
        asking.restart(timeout=0)
    with pytest.raises(APIError, match="could not get container for nobody"):
        lan.run(links={"nobody": "x"})
    lan.client.api.remove_container("asking/my-shop", link=True)
    asking.start()
