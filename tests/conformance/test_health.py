"""Health checks as clients see them."""

import io
import time
from typing import Any

import docker
import pytest
from docker.errors import APIError

from tests.engine_process import EngineProcess
from tests.waiting import until

pytestmark = [pytest.mark.root]
MILLISECOND = 10**6


def _run(client: docker.DockerClient, test: list[str], **timings: int) -> Any:
    healthcheck = {"test": test, "interval": 50 * MILLISECOND, "timeout": 5000 * MILLISECOND, "retries": 2, **timings}
    return client.containers.run(
        "busybox", ["sleep", "60"], detach=True, network_mode="none", name="checked", healthcheck=healthcheck
    )


def _health(container: Any) -> dict[str, Any]:
    container.reload()
    health: dict[str, Any] = container.attrs["State"]["Health"]
    return health


def _status_of(client: docker.DockerClient) -> str:
    (row,) = client.api.containers(all=True)
    return str(row["Status"])


def test_from_healthy_to_unhealthy_and_back(client: docker.DockerClient) -> None:
    since = time.time()
    container = _run(client, ["CMD-SHELL", "echo looked; test ! -e /sick"])
    until(lambda: _health(container)["Status"] == "healthy")
    assert _health(container)["FailingStreak"] == 0
    assert _health(container)["Log"][-1]["ExitCode"] == 0
    assert _health(container)["Log"][-1]["Output"] == "looked\n"
    assert _status_of(client).endswith("(healthy)")
    assert client.containers.list(filters={"health": "healthy"}) == [container]
    assert client.containers.list(filters={"health": ["unhealthy", "none"]}) == []
    container.exec_run(["touch", "/sick"])
    until(lambda: _health(container)["Status"] == "unhealthy")
    assert _health(container)["FailingStreak"] >= 2
    assert len(_health(container)["Log"]) <= 5
    assert _status_of(client).endswith("(unhealthy)")
    container.exec_run(["rm", "/sick"])
    until(lambda: _health(container)["Status"] == "healthy")
    events = client.events(since=since, until=time.time(), decode=True, filters={"event": "health_status"})
    assert [event["Action"] for event in events] == [
        "health_status: healthy",
        "health_status: unhealthy",
        "health_status: healthy",
    ]
    container.stop(timeout=0)
    assert _health(container)["Status"] == "unhealthy"  # as Docker has it
    container.start()
    assert _health(container)["Status"] == "starting"


def test_a_probe_that_takes_too_long(client: docker.DockerClient) -> None:
    container = _run(client, ["CMD", "sh", "-c", "echo slow; sleep 50"], timeout=200 * MILLISECOND, retries=1)
    until(lambda: _health(container)["Status"] == "unhealthy")
    (result, *_) = _health(container)["Log"]
    assert result["ExitCode"] == -1
    assert result["Output"] == "Health check exceeded timeout (200ms): slow\n"
    assert ["sleep", "50"] not in [row[-1].split() for row in container.top()["Processes"]]


def test_failures_of_the_start_period_do_not_count(client: docker.DockerClient) -> None:
    interval = 50 * MILLISECOND
    healthcheck = {
        "Test": ["CMD", "false"],
        "StartPeriod": 60_000 * MILLISECOND,
        "StartInterval": interval,
        "Retries": 1,
    }
    api: Any = client.api
    config = {"Image": "busybox", "Cmd": ["sleep", "60"], "Healthcheck": healthcheck}
    container = client.containers.get(api.create_container_from_config(config)["Id"])
    container.start()
    until(lambda: len(_health(container)["Log"]) >= 1)
    assert (_health(container)["Status"], _health(container)["FailingStreak"]) == ("starting", 0)
    assert _status_of(client).endswith("(health: starting)")


def test_output_is_cut(client: docker.DockerClient) -> None:
    container = _run(client, ["CMD", "head", "-c", "10000", "/dev/zero"])
    until(lambda: _health(container)["Status"] == "healthy")
    assert len(_health(container)["Log"][-1]["Output"]) == 4096


def test_a_paused_container_is_not_asked(client: docker.DockerClient) -> None:
    container = _run(client, ["CMD", "true"])
    until(lambda: _health(container)["Status"] == "healthy")
    container.pause()
    asked = _health(container)["Log"][-1]
    assert _status_of(client).endswith("(Paused)")
    time.sleep(0.3)  # six intervals, in which nothing is to happen
    assert _health(container)["Log"][-1] == asked
    container.unpause()
    until(lambda: _health(container)["Status"] == "healthy")


def test_health_outlives_the_engine(engine: EngineProcess) -> None:
    check = {"test": ["CMD-SHELL", "echo not well; exit 3"], "interval": 200_000_000, "retries": 2}
    options: Any = {"detach": True, "network_mode": "none", "healthcheck": check}
    container: Any = engine.client.containers.run("busybox", ["sleep", "60"], **options)
    try:
        until(lambda: _health(container)["Status"] == "unhealthy")
        engine.kill()
        assert engine.start() == "ready"
        after = _health(engine.client.containers.get(container.id))
        assert after["Status"] == "unhealthy"
        assert after["FailingStreak"] >= 2
        assert {one["Output"] for one in after["Log"]} == {"not well\n"}
        engine.client.containers.get(container.id).kill()
        until(lambda: not engine.client.containers.list())
        engine.kill()
        assert engine.start() == "ready"
        assert len(_health(engine.client.containers.get(container.id))["Log"]) >= 2
    finally:
        engine.remove_everything()


def test_the_images_check(client: docker.DockerClient) -> None:
    text = b"FROM busybox\nHEALTHCHECK --interval=50ms --retries=7 CMD test -d /tmp\n"
    client.images.build(fileobj=io.BytesIO(text), tag="checked:1")
    try:
        container: Any = client.containers.run("checked:1", ["sleep", "60"], detach=True, network_mode="none")
        until(lambda: _health(container)["Status"] == "healthy")
        assert container.attrs["Config"]["Healthcheck"]["Retries"] == 7
        never: Any = client.containers.run(
            "checked:1", ["sleep", "60"], detach=True, network_mode="none", healthcheck={"test": ["NONE"]}
        )
        never.reload()
        assert "Health" not in never.attrs["State"]
        for one in (container, never):
            one.remove(force=True)
    finally:
        client.images.remove("checked:1", force=True)


def test_nonsense(client: docker.DockerClient) -> None:
    for healthcheck in ({"test": ["CMD", "true"], "interval": 5}, {"test": ["CMD", "true"], "retries": -1}):
        with pytest.raises(APIError, match="in Healthcheck cannot be") as caught:
            client.containers.create("busybox", "true", healthcheck=healthcheck)
        assert caught.value.status_code == 400


@pytest.mark.peer
def test_the_cli(cli: EngineProcess) -> None:
    options = ["--health-cmd", "true", "--health-interval", "50ms", "--health-start-period", "10s"]
    cli.docker("run", "-d", "--name", "checked", *options, "--health-start-interval", "20ms", "busybox", "sleep", "60")
    until(lambda: cli.docker("inspect", "-f", "{{.State.Health.Status}}", "checked").stdout.strip() == b"healthy")
    assert b"(healthy)" in cli.docker("ps").stdout
