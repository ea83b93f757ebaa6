"""What the engine has beyond Docker's API, as the faces ask for it through docker-py's session."""

import struct
from typing import Any

import docker
import pytest

pytestmark = [pytest.mark.root]


def _get(client: docker.DockerClient, path: str) -> Any:
    api: Any = client.api
    return api.get(f"{api.base_url}/nbcontainers/v1/{path}")


def test_the_server_says_who_it_is(client: docker.DockerClient) -> None:
    api: Any = client.api
    assert api.get(f"{api.base_url}/_ping").headers["Server"].startswith("nbcontainers/")


def test_doctor(client: docker.DockerClient) -> None:
    rows = _get(client, "doctor").json()
    assert {"feature", "available", "detail", "remedy", "needed_for"} == set(rows[0])


def test_trace(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", "true", detach=True)
    container.wait()
    steps = _get(client, f"containers/{container.id}/trace").json()["steps"]
    assert len(steps) > 5
    assert all(step["start_ns"] <= step["end_ns"] for step in steps)


def test_metrics(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sleep", "60"], detach=True)
    container.stats(stream=False)  # takes a second, in which the engine takes samples too
    columns = _get(client, f"containers/{container.id}/metrics").json()
    assert {"time_ns", "cpu_total_ns", "memory_bytes", "pids", "rx_bytes"} <= set(columns)
    assert len({len(column) for column in columns.values()}) == 1
    assert len(columns["time_ns"]) >= 1


def test_log_columns(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "echo a; echo b >&2; echo c"], detach=True)
    container.wait()
    data = _get(client, f"containers/{container.id}/logs/columns").content
    header = struct.Struct("<qBI")
    found: dict[int, bytes] = {}
    while data:
        time_ns, stream, size = header.unpack_from(data)
        assert time_ns > 0
        found[stream] = found.get(stream, b"") + data[header.size : header.size + size]
        data = data[header.size + size :]
    assert found == {1: b"a\nc\n", 2: b"b\n"}


def test_an_unknown_container(client: docker.DockerClient) -> None:
    assert _get(client, "containers/nothing/trace").status_code == 404
