"""Networks and ports by commands: what is asked for is what docker would ask for, and what is there comes as tables."""

import click
import docker.errors
import pandas as pd
import pytest

from nbcontainers.cli import invoke, networking
from tests.conftest import RecordingFace


@pytest.mark.parametrize(
    ("text", "bindings"),
    [
        ("80", {"80/tcp": [("", "")]}),
        ("8080:80", {"80/tcp": [("", "8080")]}),
        ("8080:80/udp", {"80/udp": [("", "8080")]}),
        ("127.0.0.1:8080:80", {"80/tcp": [("127.0.0.1", "8080")]}),
        ("127.0.0.1::80", {"80/tcp": [("127.0.0.1", "")]}),
        ("[::1]:8080:80", {"80/tcp": [("::1", "8080")]}),
        ("8000-8010:80", {"80/tcp": [("", "8000-8010")]}),
        ("8000-8001:80-81", {"80/tcp": [("", "8000")], "81/tcp": [("", "8001")]}),
        ("80-81", {"80/tcp": [("", "")], "81/tcp": [("", "")]}),
    ],
)
def test_ports(text: str, bindings: dict[str, list[tuple[str, str]]]) -> None:
    found = networking.ports((text,))
    assert {port: [(one["HostIp"], one["HostPort"]) for one in some] for port, some in found.items()} == bindings


@pytest.mark.parametrize("text", ["", "http", "8080:80/icmp", "8000-8002:80-81", "1.2.3.4:80", "a:80:80"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(click.UsageError, match="--publish"):
        networking.ports((text,))


def test_a_network_and_its_members(face: RecordingFace) -> None:
    try:
        subnet = ["--subnet", "10.94.0.0/24", "--gateway", "10.94.0.254", "--aux-address", "printer=10.94.0.9"]
        identifier = invoke(
            ["network", "create", *subnet, "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400", "mine"], face
        )
        table = invoke(["network", "ls"], face)
        row = table.set_index("name").loc["mine"]
        assert (row["id"], row["subnets"], row["gateways"], row["labels"]) == (
            identifier,
            "10.94.0.0/24",
            "10.94.0.254",
            "a=b",
        )
        assert isinstance(table["created"].dtype, pd.DatetimeTZDtype)
        assert invoke(["network", "ls", "-q", "--no-trunc", "-f", "name=mine"], face) == identifier
        assert invoke(["network", "ls", "-f", "name=mine", "--format", "{{.Name}} {{.Driver}}"], face) == "mine bridge"
        options = [
            "--network",
            "mine",
            "--ip",
            "10.94.0.7",
            "--network-alias",
            "www",
            "--mac-address",
            "02:42:00:00:00:08",
        ]
        web = invoke(["run", "-d", "--name", "web", *options, "busybox", "sleep", "600"], face)
        other = invoke(["run", "-d", "--network", "name=mine,alias=x,ip=10.94.0.8", "busybox", "sleep", "600"], face)
        members = invoke(["network", "members", "mine"], face).set_index("id")
        assert members.loc[web, "ipv4_address"] == "10.94.0.7/24"
        assert members.loc[web, "mac_address"] == "02:42:00:00:00:08"
        assert members.loc[other, "ipv4_address"] == "10.94.0.8/24"
        endpoint = face.client.api.inspect_container(web)["NetworkSettings"]["Networks"]["mine"]
        assert endpoint["Aliases"] == ["www"]
        invoke(["network", "disconnect", "mine", "web"], face)
        invoke(["network", "connect", "--ip", "10.94.0.17", "--alias", "shop", "mine", "web"], face)
        assert set(invoke(["network", "inspect", "mine"], face)["Containers"]) == {other, web}
        with pytest.raises(docker.errors.APIError, match="has active endpoints"):
            invoke(["network", "rm", "mine"], face)
        invoke(["rm", "-f", web, other], face)
        assert invoke(["network", "rm", "mine"], face) == "mine"
        assert invoke(["network", "rm", "-f", "mine"], face) == "mine"
        with pytest.raises(docker.errors.NotFound):
            invoke(["network", "rm", "mine"], face)
    finally:
        face.client.containers.prune()
        face.client.networks.prune()


def test_published_ports(face: RecordingFace) -> None:
    invoke(["run", "-d", "--name", "web", "-p", "127.0.0.1::80", "--expose", "53/udp", "busybox", "sleep", "600"], face)
    assert invoke(["port", "web"], face).startswith("80/tcp -> 127.0.0.1:")
    assert invoke(["port", "web", "80"], face).startswith("127.0.0.1:")
    assert "→80/tcp" in invoke(["ps"], face).loc[0, "ports"]
    invoke(["run", "-d", "--name", "all", "-P", "--expose", "53/udp", "busybox", "sleep", "600"], face)
    assert invoke(["port", "all"], face).startswith("53/udp -> 0.0.0.0:")


def test_links_and_name_servers(face: RecordingFace) -> None:
    invoke(["run", "-d", "--name", "web", "busybox", "sleep", "600"], face)
    options = ["--link", "web:shop", "--dns", "192.0.2.53", "--dns-search", "example.org", "--add-host", "db:192.0.2.9"]
    assert invoke(["run", "--rm", *options, "busybox", "cat", "/etc/hosts", "/etc/resolv.conf"], face) == 0
    for text in (b"\tshop ", b"192.0.2.9\tdb", b"nameserver 192.0.2.53", b"search example.org"):
        assert text in face.written
