"""Docker's options of a log: what it tells of its container, and files that are compressed when they are full."""

import time
from pathlib import Path

import docker
import pytest
from docker.types import LogConfig

from nbcontainers.client import log_tables
from tests.engine_process import EngineProcess
from tests.waiting import until

pytestmark = [pytest.mark.root]


def _log(**options: str) -> LogConfig:
    return LogConfig(type=LogConfig.types.JSON, config={name.replace("_", "-"): one for name, one in options.items()})


def test_details(cli: EngineProcess) -> None:
    container = cli.client.containers.run(
        "busybox",
        ["sh", "-c", "echo err >&2; echo out; printf half"],
        name="teller",
        detach=True,
        network_mode="none",
        labels={"tier": "a b", "other": "x"},
        environment={"COLOR": "red"},
        log_config=_log(labels="tier", env_regex="^COL", tag="{{.Name}}"),
    )
    container.wait()
    container.rename("renamed")
    # As dockerd 20.10 writes it.
    names, seen = ("teller", "renamed"), cli.docker("logs", "--details", "renamed")
    assert seen.stdout.decode() == "COLOR=red,tag=teller,tier=a+b out\nCOLOR=red,tag=teller,tier=a+b half"
    assert seen.stderr.decode() == "COLOR=red,tag=teller,tier=a+b err\n"
    container.start()
    container.wait()
    again = cli.docker("logs", "--details", "renamed").stdout.decode()
    assert again == "".join(f"COLOR=red,tag={one},tier=a+b {line}" for one in names for line in ("out\n", "half"))
    assert container.logs(stderr=False) == b"out\nhalf" * 2
    table = log_tables.logs(cli.client, "renamed", details=True).groupby("stream", observed=True).last()
    assert table["line"].tolist() == ["half", "err"]
    assert set(table["details"]) == {"COLOR=red,tag=renamed,tier=a+b"}
    assert log_tables.logs(cli.client, "renamed", since="0s", details=True).empty


def test_full_files_are_compressed(client: docker.DockerClient) -> None:
    container = client.containers.run(
        "busybox",
        ["sh", "-c", "seq 1000000; sleep 100"],
        detach=True,
        network_mode="none",
        log_config=_log(max_size="64k", max_file="5", compress="true"),
    )
    files = Path(container.attrs["LogPath"] or client.api.inspect_container(container.id)["LogPath"])
    until(lambda: container.logs(tail=1) == b"1000000\n")
    until(lambda: len(list(files.glob("*.gz"))) == 4)
    numbers = [int(line) for line in container.logs().splitlines()[1:]]  # of the first line there may be an end only
    assert numbers == list(range(numbers[0], 1000001))
    assert 40_000 < len(numbers) < 900_000
    assert container.logs(tail=40_000) == b"".join(b"%d\n" % number for number in range(960_001, 1_000_001))
    assert sum(path.stat().st_size for path in files.iterdir()) < len(container.logs())
    assert container.logs(since=time.time()) == b""
    container.kill()
    assert container.logs(tail=2) == b"999999\n1000000\n"
