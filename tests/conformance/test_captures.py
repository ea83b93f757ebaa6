"""Packets taken down in containers: all that was sent is there, says what it is, and nothing of it stays."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from docker.errors import APIError
from docker.models.containers import Container

from nbcontainers.client import Client
from nbcontainers.client.capturing import Capture
from tests.conformance.lan import Lan
from tests.networks.wire import SECONDS, inside, udp
from tests.waiting import until

pytestmark = [pytest.mark.root]


@pytest.fixture
def client(lan: Lan) -> Iterator[Client]:
    client = Client(base_url=lan.engine.url, version="auto")
    client.address = lan.engine.url
    yield client
    client.close()


def rows(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def captures(lan: Lan) -> int:
    """Return how many captures the engine has under way: each has a descriptor to be stopped by, and a thread."""
    assert lan.engine.process is not None
    process = Path(f"/proc/{lan.engine.process.pid}")
    threads = [path.read_text().strip() for path in process.glob("task/*/comm")]
    found = 0
    for path in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            found += os.readlink(path) == "anon_inode:[eventfd]"
    return max(found, threads.count("download"))


def test_a_conversation(lan: Lan, client: Client) -> None:
    web = lan.run()
    namespace_fd, address = lan.namespace(web), lan.address(web, "bridge")
    with inside(namespace_fd, lambda: socket.create_server((address, 80))) as listening:
        with Capture(web, client) as packets:
            with socket.create_connection((address, 80), SECONDS) as caller:
                answering = listening.accept()[0]
                with answering:
                    caller.sendall(b"GET /there HTTP/1.1\r\n\r\n")
                    answering.recv(100)
                    answering.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
                    caller.recv(100)
        table = packets.df
    tcp = rows(table, proto="TCP")
    first, second = tcp.iloc[0], tcp.iloc[1]
    assert (first["dst"], first["dst_port"], first["flags"], first["direction"]) == (address, 80, "SYN", "in")
    assert (second["src"], second["src_port"], second["flags"], second["direction"]) == (address, 80, "SYN ACK", "out")
    assert {"GET /there HTTP/1.1", "HTTP/1.1 404 Not Found"} <= set(tcp["info"])
    assert "FIN ACK" in set(tcp["flags"])
    assert table["time"].is_monotonic_increasing
    assert abs((pd.Timestamp.now(tz="UTC") - first["time"]).total_seconds()) < 60
    assert (set(tcp["interface"]), packets.dropped) == ({"eth0"}, 0)
    assert f"who has {address}?" in "".join(rows(table, proto="ARP")["info"]) or not len(rows(table, proto="ARP"))


def test_everything_is_there_until_the_end_of_the_block(lan: Lan, client: Client) -> None:
    one, two = lan.run(), lan.run()
    address = lan.address(two, "bridge")
    with udp(lan.namespace(one)) as sender, udp(lan.namespace(two)) as receiver:
        for count in (1, 300):
            with Capture(two, client) as packets:
                for _ in range(count):
                    sender.sendto(b"x" * 700, (address, receiver.getsockname()[1]))
            sent = rows(packets.df, proto="UDP")
            assert (len(sent), set(sent["length"])) == (count, {742})


def test_names_pings_and_addresses_of_ipv6(lan: Lan, client: Client) -> None:
    lan.network("mine", enable_ipv6=True)
    web = lan.run("mine", name="web")
    other = lan.run("mine")
    other.reload()
    ipv6 = other.attrs["NetworkSettings"]["Networks"]["mine"]["GlobalIPv6Address"]
    with Capture("web", client) as packets:
        web.exec_run(["nslookup", "-type=a", "web"])
        web.exec_run(["nslookup", "-type=a", "nobody.mine"])
        web.exec_run(["ping", "-c", "1", lan.address(other, "mine")])
        web.exec_run(["ping", "-c", "1", ipv6])
    table = packets.df
    infos = list(table["info"])
    assert "A? web" in infos
    assert f"A web: {lan.address(web, 'mine')}" in infos
    assert {"echo request", "echo reply"} <= set(rows(table, proto="ICMP")["info"])
    assert {"echo request", "echo reply", "neighbour solicitation"} <= set(rows(table, proto="ICMPv6")["info"])
    assert ipv6 in set(table["dst"])
    assert set(rows(table, src="127.0.0.11")["interface"]) == {"lo"}


def test_others_read_it(lan: Lan, client: Client, tmp_path: Path) -> None:
    web = lan.run()
    with Capture(web, client) as packets, udp(lan.home_fd) as sender:
        sender.sendto(b"hello", (lan.address(web, "bridge"), 4242))
    path = packets.save(tmp_path / "web.pcapng")
    read = subprocess.run(["tcpdump", "-n", "-r", path, "udp"], capture_output=True, text=True, check=True)
    assert f"> {lan.address(web, 'bridge')}.4242: UDP, length 5" in read.stdout


def test_a_flood_takes_no_memory_and_what_is_missing_is_counted(lan: Lan, client: Client) -> None:
    web = lan.run()
    target = (lan.address(web, "bridge"), 9)
    with udp(lan.home_fd) as sender:
        with Capture(web, client, limit_bytes=100_000) as packets:
            for _ in range(3000):
                sender.sendto(bytes(1000), target)
            until(lambda: len(packets._data) > 100_000)
            counted = len(packets._data)
        assert len(packets._data) - counted < 200
    # The limit holds by the block, of 128 KiB.
    assert 100_000 < len(packets._data) < 100_000 + (160 << 10)
    seen = len(packets.df)
    assert packets.dropped >= 3000 - seen > 2000
    assert packets.df.attrs["dropped"] == packets.dropped
    with Capture(web, client, snap_bytes=64) as packets, udp(lan.home_fd) as sender:
        sender.sendto(bytes(1000), target)
    assert list(rows(packets.df, proto="UDP")["length"]) == [1042]
    assert len(packets._data) < 1500


def test_the_containers_end_is_the_captures(lan: Lan, client: Client) -> None:
    before = captures(lan)
    web = lan.run()
    with Capture(web, client) as packets, udp(lan.home_fd) as sender:
        sender.sendto(b"hello", (lan.address(web, "bridge"), 4242))
        web.remove(force=True)
        packets._reading.join(SECONDS)
        assert not packets._reading.is_alive()
    assert len(rows(packets.df, dst_port=4242)) == 1
    until(lambda: captures(lan) == before)


def test_a_client_that_goes_away_leaves_nothing(lan: Lan, client: Client) -> None:
    web = lan.run()
    before = captures(lan)
    path = f"/nbcontainers/v1/containers/{web.id}/capture?name=gone"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(lan.engine.socket))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert captures(lan) == before + 1
    until(lambda: captures(lan) == before)
    with Capture(web, client):
        pass
    until(lambda: captures(lan) == before)


def test_a_capture_does_not_keep_the_engine_from_ending(lan: Lan, client: Client) -> None:
    web = lan.run()
    with contextlib.suppress(Exception), Capture(web, client) as packets:
        lan.restart(kill=False)
        packets._reading.join(SECONDS)
        assert not packets._reading.is_alive()


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "invalid capture name ''"),
        ("name=a/b", 400, "invalid capture name 'a/b'"),
        ("name=x&snap=1", 400, "invalid snap '1'"),
        ("name=x&limit=0", 400, "invalid limit '0'"),
    ],
)
def test_what_is_no_capture(lan: Lan, query: str, status: int, words: str) -> None:
    api: Any = lan.client.api
    web = lan.run()
    answer = api.get(f"{api.base_url}/nbcontainers/v1/containers/{web.id}/capture?{query}")
    assert (answer.status_code, words in answer.json()["message"]) == (status, True)


def test_who_cannot_be_captured(lan: Lan, client: Client) -> None:
    def refusal(container: Container) -> str:
        with pytest.raises(APIError) as raised, Capture(container, client):
            pass
        return str(raised.value.explanation)

    assert "is not running" in refusal(lan.client.containers.create("busybox", "true"))
    assert "has the host's network" in refusal(lan.run("host"))
    with Capture(lan.run("none"), client) as packets:
        pass
    assert len(packets.df) == 0
    assert isinstance(packets.df["time"].dtype, pd.DatetimeTZDtype)
