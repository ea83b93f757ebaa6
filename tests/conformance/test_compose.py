"""docker-compose as Debian has it: two services that find each other by name, one of which publishes a port."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conformance.lan import Lan
from tests.conformance.test_ports import heard

pytestmark = [pytest.mark.root, pytest.mark.peer]

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


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_two_services_find_each_other(lan: Lan, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(PROJECT)

    def compose(*arguments: str) -> str:
        done = subprocess.run(
            ["docker-compose", "-p", "project", *arguments],
            cwd=tmp_path,
            env=lan.engine.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout

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
