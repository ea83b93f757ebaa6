"""How a container's packets go in its networks, proved by how fast they arrive."""

import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from docker.models.containers import Container

from tests.conformance.lan import Lan, said
from tests.networks.wire import SECONDS, inside

pytestmark = [pytest.mark.root]

RATE = 4_000_000
WINDOW_SECONDS = 0.3
SLACK = 1.3


def ask(lan: Lan, container: Container, body: Mapping[str, object] | None = None) -> Any:
    api: Any = lan.client.api
    url = f"{api.base_url}/nbcontainers/v1/containers/{container.id}/shaping"
    return api.get(url) if body is None else api.post(url, json=body)


def limit(lan: Lan, container: Container, **body: object) -> list[dict[str, object]]:
    answer = ask(lan, container, body)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, object]] = answer.json()
    return rows


def rate(sending: int, receiving: int, address: str) -> float:
    """Return how many bits a second arrive, from one namespace at an address in another."""
    listening = inside(receiving, lambda: socket.create_server((address, 0)))
    with listening, inside(sending, lambda: socket.create_connection(listening.getsockname(), SECONDS)) as sender:
        receiver = listening.accept()[0]
        with receiver:
            ended = threading.Event()

            def send() -> None:
                try:
                    while not ended.is_set():
                        sender.sendall(bytes(16384))
                except OSError:
                    pass  # the other side has seen enough

            thread = threading.Thread(target=send)
            thread.start()
            receiver.settimeout(SECONDS)
            receiver.recv(1)  # what comes first came before the clock
            received, began = 0, time.monotonic()
            while time.monotonic() - began < WINDOW_SECONDS:
                received += len(receiver.recv(65536))
            elapsed = time.monotonic() - began
            ended.set()
            receiver.shutdown(socket.SHUT_RDWR)
        thread.join()
    return received * 8 / elapsed


def rates(lan: Lan, container: Container, network: str = "bridge") -> tuple[float, float]:
    """Return how fast a container receives, and how fast it sends."""
    namespace_fd = lan.namespace(container)
    gateway = lan.client.networks.get(network).attrs["IPAM"]["Config"][0]["Gateway"]
    return (
        rate(lan.home_fd, namespace_fd, lan.address(container, network)),
        rate(namespace_fd, lan.home_fd, gateway),
    )


def holds(found: tuple[float, float]) -> bool:
    return all(RATE / 3 < one < RATE * SLACK for one in found)


def test_a_rate_holds_both_ways_at_once_and_until_it_is_taken_back(lan: Lan) -> None:
    web, other = lan.run(), lan.run()
    assert min(rates(lan, web)) > RATE * 5
    (row,) = limit(lan, web, rate_bits_per_second=RATE)
    assert (row["network"], row["interface"], row["rate_bits_per_second"]) == ("bridge", "eth0", RATE)
    assert holds(rates(lan, web))
    assert min(rates(lan, other)) > RATE * 5
    limit(lan, web, rate_bits_per_second=0)
    assert min(rates(lan, web)) > RATE * 5


def test_a_rate_is_kept_through_everything(lan: Lan) -> None:
    web = lan.client.containers.create("busybox", ["sleep", "600"])
    limit(lan, web, rate_bits_per_second=RATE)
    web.start()
    assert holds(rates(lan, web))
    web.restart(timeout=0)
    assert holds(rates(lan, web))
    lan.restart(kill=True)
    web = lan.client.containers.get(str(web.id))
    assert ask(lan, web).json()[0]["rate_bits_per_second"] == RATE
    assert holds(rates(lan, web))


def test_an_engine_that_was_killed_before_it_told_the_kernel_is_followed_by_one_that_does(lan: Lan) -> None:
    web = lan.run()
    limit(lan, web, rate_bits_per_second=RATE)
    namespace_fd = lan.namespace(web)
    (row,) = ask(lan, web).json()
    said(namespace_fd, "tc qdisc del dev eth0 root")
    said(lan.home_fd, f"tc qdisc del dev {row['host_interface']} root")
    lan.restart(kill=True)
    for fd, interface in ((namespace_fd, "eth0"), (lan.home_fd, row["host_interface"])):
        assert "tbf" in said(fd, f"tc qdisc show dev {interface}")


def test_one_of_several_networks(lan: Lan) -> None:
    one, two = lan.network("one"), lan.network("two")
    web = lan.run("one")
    two.connect(web)
    answer = ask(lan, web, {"rate_bits_per_second": RATE})
    assert (answer.status_code, "name one of them: one, two" in answer.text) == (400, True)
    limit(lan, web, network="two", rate_bits_per_second=RATE)
    assert holds(rates(lan, web, "two"))
    assert min(rates(lan, web, "one")) > RATE * 5
    two.disconnect(web)
    two.connect(web)
    assert min(rates(lan, web, "two")) > RATE * 5
    one.disconnect(web)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"rate_bits_per_second": 7}, 400, "invalid rate '7' bits per second"),
        ({"rate_bits_per_second": "fast"}, 400, "rate_bits_per_second"),
        ({"delay_usec": -1}, 400, "invalid delay '-1'"),
        ({"loss_percent": 101}, 400, "invalid loss '101.0'"),
        ({"colour": "blue"}, 400, "colour"),
        ({"network": "none"}, 403, "is not connected to network none"),
        ({"network": "nowhere"}, 404, "network nowhere not found"),
    ],
)
def test_what_is_no_limit(lan: Lan, body: dict[str, object], status: int, words: str) -> None:
    web = lan.run()
    answer = ask(lan, web, body)
    assert answer.status_code == status
    assert words in answer.json()["message"]


def test_who_has_no_cable(lan: Lan) -> None:
    lan.network("wire", driver="macvlan", options={"parent": "uplink"})
    for network, status, words in (
        ("host", 400, "its network is host"),
        ("none", 400, "its network is none"),
        ("wire", 501, "its driver is macvlan"),
    ):
        answer = ask(lan, lan.run(network), {"rate_bits_per_second": RATE})
        assert answer.status_code == status
        assert words in answer.json()["message"]
    web = lan.run()
    sharing = lan.client.containers.run("busybox", ["sleep", "600"], network_mode=f"container:{web.id}", detach=True)
    assert "has the network of another one" in ask(lan, sharing, {"rate_bits_per_second": RATE}).json()["message"]


def test_delay_and_loss_are_refused_with_the_kernels_reason(lan: Lan) -> None:
    """On this machine; ``tests/networks/test_shaping.py`` has a kernel with netem."""
    if "netem" in said(lan.home_fd, "tc qdisc add dev lo root netem delay 1ms && tc qdisc show dev lo || true"):
        pytest.skip("this kernel has netem")
    for web in (lan.run(), lan.client.containers.create("busybox", "true")):
        for body in ({"delay_usec": 1000}, {"loss_percent": 1, "rate_bits_per_second": RATE}):
            answer = ask(lan, web, body)
            assert answer.status_code == 503
            assert "delay and loss of packets is not available: this kernel has no netem" in answer.json()["message"]
        assert ask(lan, web).json()[0]["rate_bits_per_second"] == 0


def test_a_container_that_has_done_away_with_its_interface(lan: Lan) -> None:
    web = lan.run()
    said(lan.namespace(web), "ip link set eth0 down; ip link set eth0 name x")
    answer = ask(lan, web, {"rate_bits_per_second": RATE})
    assert (answer.status_code, "has no interface 'eth0' any more" in answer.text) == (409, True)
    assert ask(lan, web).json()[0]["rate_bits_per_second"] == 0
