"""docker-py, unchanged, against a real engine."""

import io
import os
import threading
import time
from typing import Any, cast

import docker
import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound

from nbcontainers.engine.anticipation import ANTICIPATION_SECONDS

pytestmark = [pytest.mark.root]


def test_run(client: docker.DockerClient) -> None:
    assert client.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"


def test_run_fails(client: docker.DockerClient) -> None:
    with pytest.raises(ContainerError) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo sorry >&2; exit 4"], remove=True)
    assert caught.value.exit_status == 4
    assert b"sorry" in (caught.value.stderr or b"")


def test_unknown_things(client: docker.DockerClient) -> None:
    with pytest.raises(ImageNotFound):
        client.images.get("nothing-like-it")
    with pytest.raises(NotFound):
        client.containers.get("nothing-like-it")
    with pytest.raises(NotFound):
        client.networks.get("nothing-like-it")
    with pytest.raises(NotFound):
        client.volumes.get("nothing-like-it")


def test_an_image_for_another_machine_and_half_dangling_volumes(client: docker.DockerClient) -> None:
    with pytest.raises(docker.errors.NotFound, match="does not match the specified platform: wanted linux/s390x"):
        client.containers.create("busybox", platform="linux/s390x")
    with pytest.raises(docker.errors.APIError, match="invalid filter 'dangling=\\[maybe\\]'"):
        client.volumes.list(filters={"dangling": "maybe"})


def test_names(client: docker.DockerClient) -> None:
    client.containers.create("busybox", "true", name="mine")
    with pytest.raises(APIError) as caught:
        client.containers.create("busybox", "true", name="mine")
    assert caught.value.status_code == 409
    with pytest.raises(APIError) as caught:
        client.containers.create("busybox", "true", name="not/valid")
    assert caught.value.status_code == 400


@pytest.mark.parametrize("limits", [{"mem_limit": 4096}, {"nano_cpus": -5}, {"pids_limit": -7}, {"cpuset_cpus": "x"}])
def test_nonsense_limits(client: docker.DockerClient, limits: dict[str, Any]) -> None:
    with pytest.raises(APIError) as caught:
        client.containers.create("busybox", "true", **limits)
    assert caught.value.status_code == 400


def test_state_and_configuration(client: docker.DockerClient) -> None:
    container = client.containers.run(
        "busybox", ["sleep", "60"], detach=True, mem_limit="64m", environment={"A": "b"}, labels={"x": "y"}
    )
    container.reload()
    assert container.status == "running"
    assert container.attrs["HostConfig"]["Memory"] == 64 << 20
    assert "A=b" in container.attrs["Config"]["Env"]
    assert container.attrs["NetworkSettings"]["IPAddress"].count(".") == 3
    assert client.containers.list(filters={"label": "x=y"}) == [container]
    assert client.containers.list(filters={"label": "x=z"}) == []
    assert client.containers.list(filters={"status": "exited"}) == []
    container.rename("renamed")
    assert client.containers.get("renamed").id == container.id
    assert container.top()["Processes"][0][-1] == "sleep 60"
    container.pause()
    container.reload()
    assert container.status == "paused"
    container.unpause()
    container.stop(timeout=0)
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 137
    assert container.attrs["State"]["FinishedAt"] > container.attrs["State"]["StartedAt"]
    ended = container.attrs["State"]["FinishedAt"]
    container.restart(timeout=0)
    container.reload()
    assert container.status == "running"
    assert container.attrs["State"]["FinishedAt"] == ended


def test_a_start_that_comes_late(client: docker.DockerClient) -> None:
    """What the engine prepares in advance of a start is undone, unseen, when the start does not come."""
    container = client.containers.create("busybox", ["sh", "-c", "ip -4 -o addr show eth0; cat /etc/hosts"])
    networks = container.attrs["NetworkSettings"]["Networks"]
    assert not networks.get("bridge", {}).get("IPAddress")
    time.sleep(2 * ANTICIPATION_SECONDS)
    container.reload()
    assert container.status == "created"
    container.start()
    container.reload()
    container.wait()
    address = container.logs().decode().split("inet ")[1].partition("/")[0]
    assert f"{address}\t{container.attrs['Config']['Hostname']}" in container.logs().decode()


def test_kill_returns_when_the_container_has_ended(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sleep", "60"], detach=True)
    container.kill()
    container.reload()
    assert container.status == "exited"
    container.remove()


def test_a_repeated_start_or_stop_is_no_error(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sleep", "60"], detach=True)
    container.start()
    container.stop(timeout=0)
    container.stop(timeout=0)


def test_a_running_container_is_not_removed(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sleep", "60"], detach=True)
    with pytest.raises(APIError) as caught:
        container.remove()
    assert caught.value.status_code == 409
    with pytest.raises(APIError) as caught:
        client.images.remove("busybox")
    assert caught.value.status_code == 409


def test_logs_line_by_line(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "echo 1; sleep 0.05; printf '2\\n3\\n'"], detach=True)
    assert list(container.logs(stream=True, follow=True)) == [b"1\n", b"2\n", b"3\n"]
    assert list(container.logs(stream=True, follow=True)) == [b"1\n", b"2\n", b"3\n"]  # it has ended since
    assert list(container.logs(stream=True, follow=False)) == [b"1\n", b"2\n", b"3\n"]
    assert container.logs(tail=1) == b"3\n"
    assert container.logs(since=time.time() + 60) == b""
    assert container.logs(stdout=False, stderr=True) == b""


def test_no_plugin_is_there_and_no_swarm(client: docker.DockerClient) -> None:
    assert client.plugins.list() == []
    with pytest.raises(NotFound, match='plugin "x" not found'):
        client.plugins.get("x")
    with pytest.raises(APIError, match="This node is not a swarm manager") as caught:
        client.nodes.list()
    assert caught.value.status_code == 503


def test_attach_with_input(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", "cat", stdin_open=True)
    attached = client.api.attach_socket(str(container.id), {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    container.start()
    attached._sock.sendall(b"typed\n")
    header = attached.read(8)
    assert attached.read(int.from_bytes(header[4:], "big")) == b"typed\n"
    attached._response.close()
    attached.close()
    assert container.wait()["StatusCode"] == 0  # docker-py asks for StdinOnce: its input ends with the client


def test_wait_conditions(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["sh", "-c", "exit 5"])
    statuses: list[Any] = []
    waiting = threading.Thread(target=lambda: statuses.append(container.wait(condition="next-exit")))
    waiting.start()
    while waiting.is_alive() and not statuses:
        container.start()
        waiting.join(0.2)
    assert statuses[0]["StatusCode"] == 5
    assert container.wait()["StatusCode"] == 5
    with pytest.raises(APIError):
        cast(Any, client.api).wait(container.id, condition="never")


def test_stats(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sleep", "60"], detach=True, mem_limit="32m", pids_limit=20)
    sample: Any = container.stats(stream=False)
    assert sample["memory_stats"]["limit"] == 32 << 20
    assert sample["pids_stats"] == {"current": 1, "limit": 20}
    assert sample["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert sample["cpu_stats"]["system_cpu_usage"] > sample["precpu_stats"]["system_cpu_usage"]
    assert "rx_bytes" in sample["networks"]["eth0"]


def test_out_of_memory(client: docker.DockerClient) -> None:
    hog = ["sh", "-c", "x=a; while true; do x=$x$x; done"]
    container = client.containers.run("busybox", hog, detach=True, mem_limit="16m", memswap_limit="16m")
    assert container.wait()["StatusCode"] == 137
    container.reload()
    assert container.attrs["State"]["OOMKilled"] is True


def test_images(client: docker.DockerClient) -> None:
    image = client.images.get("busybox")
    assert image.tags == ["busybox:latest"]
    assert image.tag("other", "1")
    assert {tag for found in client.images.list() for tag in found.tags} >= {"busybox:latest", "other:1", "host:latest"}
    client.images.remove("other:1")
    assert image.history()
    with pytest.raises(APIError) as caught:
        client.images.remove("host")
    assert caught.value.status_code in (400, 403, 409)


def test_events_of_the_past(client: docker.DockerClient) -> None:
    since = time.time()
    client.containers.run("busybox", "true", remove=True)
    events = cast(Any, client).events(since=since, until=time.time() + 0.2, decode=True, filters={"type": "container"})
    actions = [event["Action"] for event in events]
    assert actions[:2] == ["create", "start"]
    assert actions[-1] == "destroy"
    assert "die" in actions


def test_a_cached_build_gives_the_same_image(client: docker.DockerClient) -> None:
    def build(text: str) -> str:
        image, _ = client.images.build(fileobj=io.BytesIO(text.encode()), tag="same:1")
        return str(image.id)

    text = "FROM busybox\nRUN echo same > /same\nCMD cat /same\n"
    first = build(text)
    assert build(text) == first
    assert build(text.replace("CMD cat", "CMD head")) != first
    client.images.remove("same:1", force=True)
    client.images.remove(first)  # which has lost its name


def test_a_container_cannot_open_the_hosts_disks(client: docker.DockerClient) -> None:
    """Making the node of a disk is allowed, as in Docker; opening it is not, wherever it stands."""
    number = os.stat("/").st_dev
    for place in ("/disk", "/dev/disk"):
        script = f"mknod {place} b {os.major(number)} {os.minor(number)}; head -c 1 {place} > /dev/null && echo opened"
        with pytest.raises(ContainerError) as caught:
            client.containers.run("busybox", ["sh", "-c", script], remove=True, stderr=True)
        assert b"Operation not permitted" in caught.value.stderr
    said = client.containers.run(
        "busybox", ["sh", "-c", "head -c 1 /dev/zero | wc -c; echo x > /dev/null"], remove=True
    )
    assert said.strip() == b"1"


def test_following_ends_in_time(client: docker.DockerClient) -> None:
    """Whether or not the container writes anything."""
    container: Any = client.containers.run("busybox", ["sh", "-c", "echo one; sleep 60"], detach=True)
    lines = container.logs(stream=True, follow=True, until=time.time() + 1)
    assert list(lines) == [b"one\n"]
    assert list(container.logs(stream=True, follow=True, until=1)) == []


def test_times_before_the_epoch(client: docker.DockerClient) -> None:
    container: Any = client.containers.run("busybox", ["echo", "one"], detach=True)
    container.wait()
    api: Any = client.api
    for query, found in (({"since": -5}, b"one\n"), ({"until": -5}, b"")):
        answer = api._get(api._url(f"/containers/{container.id}/logs"), params={"stdout": 1, **query})
        assert answer.status_code == 200
        assert answer.content[8:] == found
