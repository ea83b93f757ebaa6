"""``capture``: what a command does with packets."""

import subprocess
from pathlib import Path

import click
import pytest

from nbcontainers.cli import invoke, printing
from nbcontainers.client.tables import Table
from tests.conftest import RecordingFace


def test_a_capture_of_what_happens_meanwhile(face: RecordingFace, tmp_path: Path) -> None:
    web = invoke(["run", "-d", "--network", "none", "busybox", "sleep", "600"], face)
    kept: dict[str, object] = {}
    face.keep = kept.__setitem__
    face.meanwhile = lambda: face.client.containers.get(web).exec_run(["ping", "-c", "1", "127.0.0.1"])
    path = tmp_path / "web.pcapng"
    table: Table = invoke(["capture", web, "-w", str(path), "-o", "packets"], face)
    assert list(table["info"]) == ["echo request", "echo reply"]
    assert kept["packets"] is table
    assert printing.lines(table, 80)[1].split()[-4:] == ["ICMP", "98", "echo", "request"]
    read = subprocess.run(["tcpdump", "-n", "-r", path], capture_output=True, text=True, check=True).stdout
    assert "127.0.0.1 > 127.0.0.1: ICMP echo reply" in read
    assert face.remarks == b""
    script = "for _ in 1 2 3; do ping -c 1 127.0.0.1; sleep 0.1; done"
    face.meanwhile = lambda: face.client.containers.get(web).exec_run(["sh", "-c", script])
    invoke(["capture", web, "--limit", "100b"], face)
    assert b"packets are missing" in face.remarks


def test_a_capture_of_a_while(face: RecordingFace) -> None:
    web = invoke(["run", "-d", "--network", "none", "busybox", "ping", "-i", "0.05", "127.0.0.1"], face)
    table = invoke(["capture", web, "--time", "300ms"], face)
    assert len(table) > 1
    with pytest.raises(click.UsageError, match="--output 'x' is for cells"):
        invoke(["capture", web, "-o", "x"], face)
