"""Whole containers on a kernel whose control groups are of version 2, or mixed: in a guest where need be.

The guest's kernel has bridges but refuses tables of nftables: there the engine has to do without.
"""

import docker
import pytest
from docker.models.containers import Container

from nbcontainers.linux import cgroups
from tests.engine_process import EngineProcess
from tests.leaks import identity
from tests.require import cgroup_driver
from tests.waiting import until

pytestmark = pytest.mark.root
MEGABYTE = 1 << 20
V2 = pytest.param("v2", marks=pytest.mark.cgroup_v2)
HYBRID = pytest.param("hybrid", marks=pytest.mark.cgroup_hybrid)
both = pytest.mark.parametrize("machine", [V2, HYBRID])


def run(client: docker.DockerClient, command: str, **options: object) -> tuple[int, str, Container]:
    """Run a shell command in a container without a network, to its end."""
    arguments = {"network_mode": "none", **options}
    container = client.containers.run("busybox", ["sh", "-c", command], detach=True, **arguments)
    status = container.wait(timeout=30)["StatusCode"]
    container.reload()
    return status, container.logs().decode(), container


@both
def test_a_container_runs_to_its_end(client: docker.DockerClient, machine: str) -> None:
    assert cgroup_driver() == machine
    assert run(client, "true")[0] == 0
    status, output, container = run(client, "echo out; exit 7")
    assert (status, output) == (7, "out\n")
    assert container.attrs["State"]["OOMKilled"] is False


@both
def test_the_engine_says_what_its_control_groups_are(client: docker.DockerClient, machine: str) -> None:
    info = client.info()
    assert info["CgroupVersion"] == ("2" if machine == "v2" else "1")
    assert {info[name] for name in ("MemoryLimit", "SwapLimit", "PidsLimit", "CpuCfsQuota")} == {True}
    assert info["OomKillDisable"] is (machine != "v2")


@both
def test_a_container_above_its_memory_is_killed_and_says_so(client: docker.DockerClient, machine: str) -> None:
    hog = "dd if=/dev/zero of=/dev/null bs=60M count=1"
    status, _, container = run(client, hog, mem_limit="24m", memswap_limit="24m")
    assert status == 137
    assert container.attrs["State"]["OOMKilled"] is True
    assert run(client, hog, mem_limit="100m")[0] == 0


@both
def test_the_smallest_memory_that_is_allowed_is_enough_to_start(client: docker.DockerClient, machine: str) -> None:
    assert run(client, "true", mem_limit="6m")[0] == 0


@both
def test_processes_are_limited(client: docker.DockerClient, machine: str) -> None:
    status, output, _ = run(client, "for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; echo unreached", pids_limit=5)
    assert status != 0
    assert "can't fork" in output
    assert "unreached" not in output


@both
def test_processor_time_is_limited(client: docker.DockerClient, machine: str) -> None:
    spin = ["sh", "-c", "while :; do :; done"]
    container = client.containers.run("busybox", spin, detach=True, network_mode="none", nano_cpus=2 * 10**8)
    throttled = {"periods": 0}
    while throttled["periods"] < 6:
        stats = container.stats(stream=False)
        throttled = stats["cpu_stats"]["throttling_data"]
    assert throttled["throttled_periods"] >= 4
    used = stats["cpu_stats"]["cpu_usage"]["total_usage"]
    assert used < (throttled["periods"] + 2) * 20_000_000 * 1.4 + 100_000_000


@both
def test_a_container_is_paused_and_removed(client: docker.DockerClient, machine: str) -> None:
    count = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; done"]
    container = client.containers.run("busybox", count, detach=True, network_mode="none")
    until(lambda: bool(container.logs(tail=1)))
    container.pause()
    used = container.stats(stream=False)
    assert used["cpu_stats"]["cpu_usage"]["total_usage"] == used["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert used["memory_stats"]["usage"] > 0
    assert used["pids_stats"]["current"] == 1
    container.unpause()
    container.remove(force=True)


@both
def test_what_a_container_has_started_ends_with_it(
    client: docker.DockerClient, engine: EngineProcess, machine: str
) -> None:
    _, _, container = run(client, "for i in 1 2 3 4 5; do sleep 1000 & done; exit 3")
    container.remove()
    parent = f"/nbcontainers/{identity(engine.root)}"
    until(lambda: all(name.startswith("prepared-") for name in cgroups.detect().children(parent)))


@both
def test_without_nftables_the_engine_runs_and_the_doctor_says_what_is_missing(
    client: docker.DockerClient, machine: str
) -> None:
    rows = {row["feature"]: row for row in _doctor(client)}
    assert rows["cgroup controller memory"]["detail"] == ("v2" if machine == "v2" else "v1")
    assert rows["cgroup controller cpu"]["detail"] == "v2"
    assert rows["overlay file system"]["available"]
    assert rows["bridge and veth"]["available"]
    if not rows["nftables"]["available"]:
        assert "nftables is not available" in rows["nftables"]["detail"]
        assert "modprobe nf_tables" in rows["nftables"]["remedy"]
    if not rows["cgroup controller cpuset"]["available"]:
        with pytest.raises(docker.errors.APIError, match="limits of cpuset is not available"):
            client.containers.run("busybox", "true", network_mode="none", cpuset_cpus="0")


def _doctor(client: docker.DockerClient) -> list[dict[str, str]]:
    response = client.api._get(f"{client.api.base_url}/nbcontainers/v1/doctor")
    response.raise_for_status()
    rows: list[dict[str, str]] = response.json()
    return rows


@both
def test_containers_of_the_bridge_reach_each_other_without_nftables(client: docker.DockerClient, machine: str) -> None:
    server = client.containers.run("busybox", ["nc", "-l", "-p", "7", "-e", "echo", "hello"], detach=True)
    server.reload()
    address = server.attrs["NetworkSettings"]["IPAddress"]
    status, output, _ = run(client, f"until nc {address} 7; do :; done", network_mode="bridge")
    assert (status, output) == (0, "hello\n")


@pytest.mark.cgroup_v2
def test_a_container_cannot_make_or_open_devices(client: docker.DockerClient) -> None:
    status, output, _ = run(client, "mknod /tmp/disk b 7 0; grep CapBnd /proc/self/status; grep ' / ' /proc/mounts")
    assert status == 0
    assert "mknod: /tmp/disk: Operation not permitted" in output
    assert not int(output.partition("CapBnd:")[2].split()[0], 16) & 1 << 27
    assert "nodev" in next(line for line in output.splitlines() if " / overlay " in line)
    assert run(client, "head -c 1 /dev/zero >/dev/null && echo x >/dev/null && test -c /dev/tty")[0] == 0


@pytest.mark.cgroup_hybrid
def test_a_container_has_only_the_devices_of_the_rules(client: docker.DockerClient) -> None:
    status, output, _ = run(client, "mknod /tmp/disk b 7 0 && cat /tmp/disk")
    assert status == 1
    assert "can't open '/tmp/disk': Operation not permitted" in output


@pytest.mark.cgroup_v2
def test_an_engine_that_was_killed_finds_its_containers_again(
    client: docker.DockerClient, engine: EngineProcess
) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True, network_mode="none")
    engine.kill()
    assert engine.start() == "ready"
    again = engine.client.containers.get(container.id)
    assert again.status == "running"
    assert again.stats(stream=False)["pids_stats"]["current"] == 1
    again.remove(force=True)
