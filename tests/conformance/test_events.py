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
