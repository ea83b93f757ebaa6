"""The events of a container's life, in Docker's order and with its attributes."""

import time
from typing import Any

import docker
import pytest

pytestmark = [pytest.mark.root]


def _events(client: docker.DockerClient, since: float, **filters: str) -> list[tuple[str, str, dict[str, str]]]:
    found: Any = client.events(since=since, until=time.time() + 0.05, decode=True, filters=filters)
    return [(event["Type"], event["Action"], event["Actor"]["Attributes"]) for event in found]


def test_a_life(client: docker.DockerClient) -> None:
    since = time.time()
    container = client.containers.create(
        "busybox",
        ["sleep", "60"],
        name="one",
        labels={"a": "b"},
        tty=True,
        network_mode="none",
        volumes={"lasting": {"bind": "/data", "mode": "ro"}},
    )
    container.start()
    container.resize(10, 20)
    container.top()
    container.rename("two")
    container.update(cpu_shares=512)
    container.pause()
    container.unpause()
    container.restart(timeout=0)
    container.kill()
    container.remove()
    client.volumes.get("lasting").remove()
    seen = _events(client, since)
    start = [("network", "connect"), ("volume", "mount"), ("container", "start")]
    end = [("container", "die"), ("network", "disconnect"), ("volume", "unmount")]
    assert [(kind, action) for kind, action, _ in seen] == [
        *[("volume", "create"), ("container", "create"), *start],
        *[("container", action) for action in ("resize", "top", "rename", "update", "pause", "unpause")],
        *[("container", "kill"), ("container", "kill"), *end, ("container", "stop"), *start, ("container", "restart")],
        *[("container", "kill"), *end, ("container", "destroy"), ("volume", "destroy")],
    ]
    by_action = {(kind, action): attributes for kind, action, attributes in seen}
    common = {"image": "busybox", "a": "b"}
    assert by_action["container", "create"] == {**common, "name": "one"}
    assert by_action["container", "resize"] == {**common, "name": "one", "height": "10", "width": "20"}
    assert by_action["container", "rename"] == {**common, "name": "two", "oldName": "/one"}
    assert by_action["container", "kill"] == {**common, "name": "two", "signal": "9"}
    assert {**by_action["container", "die"], "execDuration": ""} == {
        **common,
        "name": "two",
        "exitCode": "137",
        "execDuration": "",
    }
    assert by_action["volume", "mount"] == {
        "driver": "local",
        "container": container.id,
        "destination": "/data",
        "propagation": "",
        "read/write": "false",
    }
    assert by_action["volume", "unmount"] == {"driver": "local", "container": container.id}


_NOT_MOUNTED = [("network", "connect"), ("network", "disconnect"), ("volume", "unmount")]
_CONNECTED = [("network", "connect"), ("volume", "mount"), ("network", "disconnect"), ("volume", "unmount")]


@pytest.mark.parametrize(
    ("asked", "status", "code", "between"),
    [
        ({"command": "no-such"}, 400, 127, _CONNECTED),
        ({"command": "/etc/passwd"}, 400, 126, _CONNECTED),
        ({"volumes": ["lasting:/data", "/tmp:/etc/passwd"]}, 400, 127, _CONNECTED),
        ({"sysctls": {"net.no.such": "1"}}, 400, 127, _CONNECTED),
        ({"user": "no-such"}, 500, 128, _NOT_MOUNTED),
        ({"group_add": ["no-such"]}, 500, 128, _NOT_MOUNTED),
        ({"devices": ["/dev/no-such"]}, 400, 128, _NOT_MOUNTED),
        ({"pid_mode": "container:donor"}, 409, 128, _NOT_MOUNTED),
        ({"network": "no-such"}, 404, 128, [("volume", "unmount")]),
        ({"network": None, "network_mode": "container:no-such"}, 404, 128, [("volume", "unmount")]),
        ({"network": None, "network_mode": "container:itself", "name": "itself"}, 409, 128, [("volume", "unmount")]),
    ],
)
def test_a_start_that_fails(
    client: docker.DockerClient, asked: dict[str, Any], status: int, code: int, between: list[tuple[str, str]]
) -> None:
    """What dockerd 20.10 tells: of what it finds before there is a process, no mount."""
    donor = client.containers.create("busybox", "true", name="donor", network="none")
    volumes = {"volumes": ["lasting:/data"], "network": "none"}
    container = client.containers.create("busybox", **{"command": "true", **volumes, **asked})
    since = time.time()
    with pytest.raises(docker.errors.APIError) as refused:
        container.start()
    container.reload()
    state = container.attrs["State"]
    assert (refused.value.response.status_code, state["Status"], state["ExitCode"]) == (status, "created", code)
    assert state["Error"] == refused.value.explanation
    container.remove()
    client.volumes.get("lasting").remove()
    seen = [(kind, action) for kind, action, _ in _events(client, since)]
    donor.remove()
    assert seen == [*between, ("container", "destroy"), ("volume", "destroy")]


def test_whose_network_comes_before_the_start(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", "hostname", name="guest", network_mode="container:late")
    donor = client.containers.run("busybox", ["sleep", "60"], name="late", hostname="its-own", detach=True)
    container.start()
    assert container.wait()["StatusCode"] == 0
    assert container.logs() == b"its-own\n"
    container.remove()
    donor.remove(force=True)


def test_a_network_that_comes_before_the_start(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", "true", network="late")
    network = client.networks.create("late")
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0
        container.reload()
        assert container.attrs["NetworkSettings"]["Networks"]["late"]["NetworkID"] == network.id
    finally:
        container.remove(force=True)
        network.remove()


def test_those_of_the_past_alone(client: docker.DockerClient) -> None:
    since = time.time()
    client.containers.create("busybox", "true", name="first")
    between = time.time()
    client.containers.create("busybox", "true", name="second")
    names = [attributes["name"] for _, _, attributes in _events(client, since, event="create", type="container")]
    assert names == ["first", "second"]
    found: Any = client.events(since=since, until=between, decode=True)
    assert [event["Actor"]["Attributes"]["name"] for event in found] == ["first"]
    found = client.events(until=between, decode=True, filters={"container": "first"})
    assert [event["Action"] for event in found] == ["create"]
