"""Restart policies as clients see them."""

import time
from typing import Any

import docker
import pytest
from docker.errors import APIError

from tests.waiting import until

pytestmark = [pytest.mark.root]

FAILING = ["sh", "-c", "exit 3"]


def _state(container: Any) -> dict[str, Any]:
    container.reload()
    state: dict[str, Any] = container.attrs["State"]
    return state


def _failing(client: docker.DockerClient, policy: dict[str, Any], name: str = "failing") -> Any:
    container: Any = client.containers.create("busybox", FAILING, restart_policy=policy, network_mode="none", name=name)
    container.start()
    return container


def _restarting(container: Any, at_least: int = 5) -> None:
    """Wait until the container waits to be started again, so long already that it will still do so in a moment."""

    def waits() -> bool:
        return bool(_state(container)["Status"] == "restarting" and container.attrs["RestartCount"] >= at_least)

    until(waits)


def test_on_failure_gives_up(client: docker.DockerClient) -> None:
    since = time.time()
    container = _failing(client, {"Name": "on-failure", "MaximumRetryCount": 2})
    until(lambda: _state(container)["Status"] == "exited")
    assert container.attrs["RestartCount"] == 2
    assert container.attrs["State"]["ExitCode"] == 3
    events = client.events(since=since, until=time.time() + 0.1, decode=True, filters={"container": container.id})
    actions = [event["Action"] for event in events]
    assert actions == ["create", *["start", "die"] * 3]


def test_waiting_to_be_started_again(client: docker.DockerClient) -> None:
    container = _failing(client, {"Name": "always"})
    _restarting(container, at_least=7)  # for six seconds: much is asked meanwhile
    state = container.attrs["State"]
    assert (state["Running"], state["Restarting"], state["Pid"], state["ExitCode"]) == (True, True, 0, 3)
    (row,) = client.api.containers(filters={"status": "restarting"})
    assert row["Status"].startswith("Restarting (3) ")
    for refused in (container.pause, container.top, container.remove):
        _restarting(container, at_least=7)
        with pytest.raises(APIError, match="is restarting") as caught:
            refused()
        assert caught.value.status_code == 409
    container.start()  # it counts as one that runs
    container.stop()
    assert _state(container)["Status"] == "exited"
    with pytest.raises(APIError) as caught:
        container.kill()
    assert caught.value.status_code == 409


def test_what_ends_the_waiting(client: docker.DockerClient) -> None:
    policies = {"killed": "always", "hung-up": "always", "removed": "unless-stopped", "updated": "always"}
    # Their pauses grow at the same time.
    failing = {name: _failing(client, {"Name": policy}, name) for name, policy in policies.items()}
    for name, signal in (("killed", "SIGKILL"), ("hung-up", "SIGHUP")):
        _restarting(failing[name])
        failing[name].kill(signal)
        assert _state(failing[name])["Status"] == "exited"
    _restarting(failing["removed"])
    failing["removed"].remove(force=True)
    assert {one.name for one in client.containers.list(all=True)} == {"killed", "hung-up", "updated"}
    _restarting(failing["updated"])
    failing["updated"].update(restart_policy={"Name": "no"})
    until(lambda: _state(failing["updated"])["Status"] == "exited")


def test_what_the_user_ended_is_not_started_again(client: docker.DockerClient) -> None:
    for policy in ("always", "unless-stopped", "on-failure"):
        container = client.containers.run(
            "busybox", ["sleep", "60"], detach=True, restart_policy={"Name": policy}, network_mode="none"
        )
        container.kill()
        assert _state(container)["Status"] == "exited"
        assert container.attrs["RestartCount"] == 0
        container.start()
        container.stop(timeout=0)
        assert _state(container)["Status"] == "exited"


def test_restarting_one_that_removes_itself(client: docker.DockerClient) -> None:
    container: Any = client.containers.run(
        "busybox", ["sleep", "60"], detach=True, auto_remove=True, network_mode="none"
    )
    container.restart(timeout=0)
    assert _state(container)["Status"] == "running"
    container.stop(timeout=0)
    until(lambda: client.containers.list(all=True) == [])


def test_removing_itself_and_starting_again_contradict(client: docker.DockerClient) -> None:
    with pytest.raises(APIError, match="can't create 'AutoRemove' container with restart policy") as caught:
        client.containers.create("busybox", "true", auto_remove=True, restart_policy={"Name": "always"})
    assert caught.value.status_code == 400
