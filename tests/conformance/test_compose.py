"""docker-compose 1.29 as Debian has it: services that find each other and wait for each other, and what they keep."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.errors import NotFound

from tests.conformance.composing import running_compose
from tests.conformance.lan import Lan
from tests.conformance.test_ports import heard
from tests.waiting import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed"),
]

PROJECT = """
version: "2.4"
services:
  web:
    image: busybox
    hostname: web
    command: sh -c "while true; do echo $$HOSTNAME | nc -l -p 80; done"
    ports: ["80"]
    networks:
      back: {aliases: [shop]}
  client:
    image: busybox
    command: sh -c "until nc web 80 < /dev/null; do sleep 0.1; done; until nc shop 80 < /dev/null; do sleep 0.1; done"
    depends_on: [web]
    networks: [back]
  fixed:
    image: busybox
    command: sleep 600
    networks:
      given: {ipv4_address: 10.123.0.10}
networks:
  back:
  given:
    ipam: {config: [{subnet: 10.123.0.0/24}]}
"""


KEEPING = """
version: "2.4"
services:
  store:
    image: busybox
    command: >
      sh -c "trap 'exit 0' TERM; echo storing; echo $$NAME >> /data/starts; touch /ready; while :; do sleep 0.1; done"
    environment: {NAME: store}
    volumes: ["kept:/data", "./given:/given:ro"]
    healthcheck: {test: test -e /ready, interval: 200ms, retries: 50}
  user:
    image: busybox
    command: sh -c "cat /data/starts /given/text; sleep 600"
    volumes: ["kept:/data:ro", "./given:/given:ro"]
    depends_on: {store: {condition: service_healthy}}
    stop_signal: SIGKILL
    tmpfs: [/scratch]
volumes:
  kept:
    driver_opts: {type: none, o: bind, device: "DIRECTORY/kept"}
"""
Compose = Callable[..., str]


@pytest.fixture
def compose(lan: Lan, tmp_path: Path) -> Iterator[Compose]:
    """Runs docker-compose in a directory of its own and returns what it prints."""
    with running_compose(lan.engine.environment, tmp_path) as run:

        def compose(*arguments: str, check: bool = True) -> str:
            status, printed = run("-p", "project", *arguments)
            assert not check or status == 0, arguments
            return printed if check else f"{status} {printed}"

        yield compose


@contextlib.contextmanager
def _following(lan: Lan, directory: Path) -> Iterator[Callable[..., None]]:
    """Have docker-compose follow events; yields what waits until it has told some of the service ``user``, in order."""
    command = ["docker-compose", "-p", "project", "events", "--json"]
    with subprocess.Popen(command, cwd=directory, env=lan.engine.environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = process.stdout
        listening = lan.engine.client.api
        until(lambda: listening.info()["NEventsListener"] > 0, seconds=60)

        def told(*actions: str) -> None:
            wanted = list(actions)
            while wanted:
                event = json.loads(lines.readline())
                if (event["service"], event["action"]) == ("user", wanted[0]):
                    assert event["attributes"]["image"] == "busybox"
                    del wanted[0]

        try:
            yield told
        finally:
            process.kill()


def test_two_services_find_each_other(lan: Lan, compose: Compose, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(PROJECT)
    compose("up", "-d")
    client = lan.client.containers.get("project_client_1")
    assert client.wait(timeout=60)["StatusCode"] == 0
    assert client.logs(stderr=False) == b"web\nweb\n"
    port = int(compose("port", "web", "80").rpartition(":")[2])
    assert heard("127.0.0.1", port) == "web"
    assert lan.address(lan.client.containers.get("project_fixed_1"), "project_given") == "10.123.0.10"
    before = lan.client.containers.get("project_web_1").id
    compose("up", "-d", "-t", "0", "--force-recreate", "--no-deps", "web")
    assert lan.client.containers.get("project_web_1").id != before
    compose("down", "-t", "0")
    assert len(lan.client.networks.list()) == 3


def test_services_that_wait_for_health_and_keep_a_volume(lan: Lan, compose: Compose, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(KEEPING.replace("DIRECTORY", str(tmp_path)))
    (tmp_path / "kept").mkdir()
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "text").write_text("given\n")
    compose("up", "-d")
    assert lan.client.containers.get("project_store_1").attrs["State"]["Health"]["Status"] == "healthy"
    user = lan.client.containers.get("project_user_1")
    until(lambda: user.logs() == b"store\ngiven\n")

    listed = compose("ps")
    assert "Up (healthy)" in listed
    assert compose("ps", "-q", "user").strip() == user.id
    assert compose("logs", "--no-color", "store").splitlines()[-1].split() == ["store_1", "|", "storing"]
    assert compose("exec", "-T", "-e", "MORE=more", "store", "sh", "-c", "echo $NAME $MORE") == "store more\n"
    assert compose("exec", "-T", "store", "sh", "-c", "exit 7", check=False) == "7 "
    assert compose("run", "--rm", "--no-deps", "user", "cat", "/data/starts") == "store\n"
    compose("restart", "-t", "5", "store")
    until(lambda: compose("exec", "-T", "user", "cat", "/data/starts") == "store\nstore\n")
    assert "sleep 600" in compose("top", "user")
    with _following(lan, tmp_path) as told:
        compose("pause", "user")
        compose("unpause", "user")
        compose("kill", "-s", "KILL", "user")
        compose("start", "user")
        told("pause", "unpause", "kill", "die", "start")

    assert compose("config", "--services").split() == ["store", "user"]
    compose("up", "-d", "--scale", "user=3", "user")
    assert len(compose("ps", "-q", "user").split()) == 3
    compose("up", "-d", "-t", "0", "--scale", "user=1", "user")
    assert len(compose("ps", "-q", "user").split()) == 1

    compose("stop", "-t", "5")
    assert lan.client.containers.get("project_store_1").attrs["State"]["ExitCode"] == 0
    compose("down", "-t", "0")
    assert lan.client.volumes.get("project_kept").attrs["Labels"]["com.docker.compose.project"] == "project"
    compose("down", "-v")
    with pytest.raises(NotFound):
        lan.client.volumes.get("project_kept")
    assert lan.client.containers.list(all=True) == []
    assert (tmp_path / "kept" / "starts").read_text() == "store\nstore\n"  # it was bound, not the volume's own
