"""Pictures of networks: whole, harmless and legible, whatever is in them."""

import base64
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from docker.errors import NotFound

from nbcontainers.cli import invoke
from nbcontainers.client.topology import Member, Topology, topology
from tests.conftest import RecordingFace

SVG = "{http://www.w3.org/2000/svg}"
WEB = Member(
    id="1" * 64,
    name="web",
    image="nginx",
    ipv4_address="172.18.0.2/16",
    ipv6_address="fd00::2/64",
    mac_address="02:42:ac:12:00:02",
    interface="eth0",
    host_interface="nbv0a1bac120002",
    namespace=4026532321,
    ports=("0.0.0.0:8080→80/tcp", "[::]:8080→80/tcp"),
    other_networks=("back",),
    rate_bits_per_second=1_000_000,
    delay_usec=20_000,
    loss_percent=1.5,
)
SHOP = Topology(
    name="shop",
    id="2" * 64,
    driver="bridge",
    bridge="nbc-0a1b2c",
    subnets=("172.18.0.0/16",),
    gateways=("172.18.0.1",),
    members=(WEB, Member(id="3" * 64, name="db", ipv4_address="172.18.0.3/16", interface="eth0")),
)


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_all_that_is_known_is_in_the_picture_and_in_the_text() -> None:
    shown = texts(SHOP.svg)
    for text in ("shop", "172.18.0.0/16", "nbc-0a1b2c", "172.18.0.1", "way out: under the host's address", "nginx"):
        assert text in shown
    for text in ("web", "172.18.0.2/16", "fd00::2/64", "nbv0a1bac120002", "netns 4026532321", "also in back", "db"):
        assert text in shown
    assert "0.0.0.0:8080 → 80/tcp" in shown
    assert "⇄ 1 Mbit/s, 20 ms, 1.5% lost" in shown
    assert str(SHOP).splitlines() == [
        "shop  bridge  172.18.0.0/16",
        "way out: under the host's address",
        "nbc-0a1b2c  172.18.0.1",
        "├─ nbv0a1bac120002  eth0  web  172.18.0.2/16  fd00::2/64  0.0.0.0:8080→80/tcp  [::]:8080→80/tcp  "
        "[1 Mbit/s, 20 ms, 1.5% lost]  also in back",
        "└─                  eth0  db   172.18.0.3/16",
    ]


def test_whatever_it_is_called_it_does_nothing() -> None:
    hostile = Member(id="4" * 64, name="<script>alert(1)</script>", image='"><b', ports=("<i>:1→2/tcp",))
    network = Topology(name='<x onload="a">', id="5" * 64, driver="bridge", members=(hostile,))
    ElementTree.fromstring(network.svg)
    assert not re.search(r"<(script|b|i|x)\b|href|url", network.svg)
    shown = re.fullmatch(
        r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="[^"<>]+" style="[^"]+">', network._repr_html_()
    )
    assert shown is not None
    assert base64.b64decode(shown[1]).decode() == network.svg


@pytest.mark.parametrize("count", [0, 1, 30])
def test_nothing_lies_on_something_else_or_outside(count: int) -> None:
    ports = tuple(f"0.0.0.0:{port}→{port}/tcp" for port in range(7))
    members = tuple(Member(id=str(n), name="n" * 200, image="i" * 200, ports=ports[: n % 8]) for n in range(count))
    picture = ElementTree.fromstring(Topology(name="n" * 200, id="6", driver="bridge", members=members).svg)
    width, height = (float(number) for number in picture.attrib["viewBox"].split()[2:])
    boxes = [
        tuple(float(box.attrib.get(name, 0)) for name in ("x", "y", "width", "height"))
        for box in picture.iter(f"{SVG}rect")
    ]
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    cards = sorted((y, y + h) for x, y, w, h in boxes if w == 368)
    assert len(cards) == count
    assert all(above[1] < below[0] for above, below in pairwise(cards))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"driver": "host"}, "the host's own"),
        ({"driver": "null"}, "none"),
        ({"driver": "bridge", "internal": True}, "none: the network is internal"),
        ({"driver": "bridge", "masquerade": False}, "under their own addresses"),
        ({"driver": "macvlan", "bridge": "eth0"}, "straight to the wire, by eth0"),
    ],
)
def test_the_ways_out(options: dict[str, object], words: str) -> None:
    network = Topology(name="n", id="7", members=(Member(id="8", name="web"),), **options)  # type: ignore[arg-type]
    assert network.way_out == words
    assert "web" in texts(network.svg)


def test_a_real_one(face: RecordingFace, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for name in ("front", "rear"):
            invoke(["network", "create", name], face)  # the first by name is the way out, for ports too
        web = invoke(["run", "-d", "--name", "shop", "--network", "front", "-p", "80", "busybox", "sleep", "600"], face)
        invoke(["network", "connect", "rear", "shop"], face)
        invoke(["network", "limit", "--network", "front", "shop", "--rate", "1mbit"], face)
        shown = invoke(["network", "show", "front"], face)
        (member,) = shown.members
        assert (member.id, member.interface, member.limits, member.other_networks) == (
            web,
            "eth0",
            "1 Mbit/s",
            ("rear",),
        )
        assert member.host_interface.startswith("nbv")
        assert member.namespace > 0
        assert "→80/tcp" in member.ports[0]
        row = shown.df.iloc[0]
        assert (row["name"], row["rate_bits_per_second"], row["other_networks"]) == ("shop", 1_000_000, "rear")
        assert invoke(["network", "show", "rear"], face).members[0].ports == ()
        monkeypatch.setattr("nbcontainers.client.extension.is_ours", lambda _: False)
        plain = topology(face.client, "front").members[0]
        assert (plain.ipv4_address, plain.ports, plain.host_interface) == (member.ipv4_address, member.ports, "")
        with pytest.raises(NotFound):
            invoke(["network", "show", "nowhere"], face)
    finally:
        for container in face.client.containers.list(all=True):
            container.remove(force=True)
        face.client.networks.prune()
