"""``network limit``: its words, and what comes of them."""

import click
import docker.errors
import pytest

from nbcontainers.cli import invoke, printing
from nbcontainers.errors import Unsupported
from tests.conftest import RecordingFace


def test_a_link_limited_changed_and_let_go(face: RecordingFace) -> None:
    invoke(["run", "-d", "--name", "web", "busybox", "sleep", "600"], face)
    before = invoke(["network", "limit", "web"], face)
    assert before.to_dict("records") == [
        {"network": "bridge", "interface": "eth0", "rate_bits_per_second": 0, "delay_usec": 0, "loss_percent": 0.0}
    ]
    table = invoke(["network", "limit", "web", "--rate", "1.5mbit"], face)
    assert table.loc[0, "rate_bits_per_second"] == 1_500_000
    assert invoke(["network", "limit", "web"], face).equals(table)
    assert "1.5 Mbit/s" in table._repr_html_()
    assert printing.lines(table, None)[1].split() == ["bridge", "eth0", "1.5", "Mbit/s", "none", "0%"]
    assert invoke(["network", "limit", "web", "--off"], face).equals(before)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--rate", "fast"], "invalid value 'fast' for --rate"),
        (["--rate", "1mbps"], "invalid value '1mbps' for --rate"),
        (["--rate", "0"], "invalid value '0' for --rate"),
        (["--delay", "long"], "invalid value 'long' for --delay"),
        (["--loss", "101%"], "invalid value '101%' for --loss"),
        (["--off", "--rate", "1mbit"], "--off goes with no other limit"),
    ],
)
def test_what_is_no_limit(face: RecordingFace, words: list[str], sentence: str) -> None:
    with pytest.raises(click.UsageError, match=sentence):
        invoke(["network", "limit", "web", *words], face)


def test_a_container_that_is_not_there(face: RecordingFace) -> None:
    with pytest.raises(docker.errors.NotFound):
        invoke(["network", "limit", "nothing", "--rate", "1mbit"], face)


def test_docker_cannot(face: RecordingFace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbcontainers.client.extension.is_ours", lambda _: False)
    with pytest.raises(Unsupported, match="Docker cannot limit"):
        invoke(["network", "limit", "web"], face)
