"""Limits of a container that runs, changed: what the container's own control group says."""

from typing import Any

import docker
import pytest
from docker.errors import APIError

pytestmark = [pytest.mark.root]
MIB = 1 << 20


@pytest.fixture
def running(client: docker.DockerClient) -> Any:
    return client.containers.run("busybox", ["sleep", "60"], detach=True, network_mode="none", mem_limit=64 * MIB)


def _update(container: Any, **changes: object) -> Any:
    api = container.client.api
    return api._result(api._post_json(api._url(f"/containers/{container.id}/update"), data=changes), True)


def test_limits_change_between_create_and_start(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["sleep", "60"], network_mode="none", mem_limit=64 * MIB)
    _update(container, Memory=128 * MIB, MemorySwap=256 * MIB)
    container.start()
    assert container.stats(stream=False)["memory_stats"]["limit"] == 128 * MIB


def test_limits_change_at_once_and_last(client: docker.DockerClient, running: Any) -> None:
    answer = _update(
        running, Memory=128 * MIB, MemorySwap=256 * MIB, MemoryReservation=32 * MIB, NanoCpus=500_000_000, PidsLimit=50
    )
    assert answer == {"Warnings": None}
    sample = running.stats(stream=False)
    assert sample["memory_stats"]["limit"] == 128 * MIB
    assert sample["pids_stats"]["limit"] == 50
    running.reload()
    host_config = running.attrs["HostConfig"]
    assert (host_config["Memory"], host_config["MemorySwap"]) == (128 * MIB, 256 * MIB)
    assert (host_config["NanoCpus"], host_config["PidsLimit"]) == (500_000_000, 50)
    _update(running, PidsLimit=-1)
    assert "limit" not in running.stats(stream=False)["pids_stats"]
    running.restart(timeout=0)
    assert running.stats(stream=False)["memory_stats"]["limit"] == 128 * MIB


def test_cpus(client: docker.DockerClient, running: Any) -> None:
    _update(running, CpuShares=512, CpuPeriod=50_000, CpuQuota=25_000, CpusetCpus="0")
    running.reload()
    host_config = running.attrs["HostConfig"]
    assert [host_config[name] for name in ("CpuShares", "CpuPeriod", "CpuQuota", "CpusetCpus")] == [
        512,
        50_000,
        25_000,
        "0",
    ]


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"Memory": 1024}, 400, "minimum memory limit allowed is 6MB"),
        ({"Memory": 256 * MIB}, 409, "update the memoryswap at the same time"),
        ({"CpusetCpus": "x"}, 400, "invalid value 'x' for cpuset-cpus"),
        ({"CpusetCpus": "4000"}, 400, "requested CPUs are not available"),
        ({"BlkioWeight": 5}, 400, "range of blkio weight is from 10 to 1000"),
        ({"RestartPolicy": {"Name": "sometimes"}}, 400, "invalid restart policy 'sometimes'"),
        ({"RestartPolicy": {"Name": "no", "MaximumRetryCount": 2}}, 400, "maximum retry count cannot be used"),
        ({"CpuRealtimeRuntime": 5}, 501, "CpuRealtimeRuntime cannot be updated"),
    ],
)
def test_nonsense_changes_nothing(
    client: docker.DockerClient, running: Any, changes: dict[str, Any], status: int, words: str
) -> None:
    running.reload()
    before = running.attrs["HostConfig"]
    with pytest.raises(APIError, match=words) as caught:
        _update(running, **changes)
    assert caught.value.status_code == status
    running.reload()
    assert running.attrs["HostConfig"] == before


def test_cpus_as_numbers_and_as_times_contradict(client: docker.DockerClient, running: Any) -> None:
    _update(running, NanoCpus=500_000_000)
    with pytest.raises(APIError, match="CPU Period cannot be updated as NanoCPUs has already been set") as caught:
        _update(running, CpuPeriod=50_000)
    assert caught.value.status_code == 409


def test_one_that_removes_itself_gets_no_policy(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", "true", auto_remove=True)
    with pytest.raises(APIError, match="AutoRemove is enabled"):
        _update(container, RestartPolicy={"Name": "always"})
    assert _update(container, Memory=64 * MIB, MemorySwap=64 * MIB) == {"Warnings": None}
