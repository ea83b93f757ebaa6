"""testcontainers: a service for the time of a test, ready when its log says so, at a published port.

Its reaper, a container of Docker Hub that removes what a killed test leaves, is switched off.
"""

import docker
import pytest

from tests.conformance.lan import Lan
from tests.conformance.test_ports import heard

pytest.importorskip("testcontainers", reason="testcontainers is not installed")
from testcontainers.core import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

pytestmark = [pytest.mark.root, pytest.mark.peer]
SERVE = "while true; do echo served | nc -l -p 8080; done & sleep 0.2; echo listening; wait"


@pytest.fixture(autouse=True)
def _settings(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", lan.engine.url)
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)


def test_a_service_that_becomes_ready(lan: Lan) -> None:
    service = DockerContainer("busybox").with_command(["sh", "-c", SERVE]).with_exposed_ports(8080)
    service.with_env("NAME", "value").waiting_for(LogMessageWaitStrategy("listening").with_startup_timeout(20))
    with service:
        assert heard(service.get_container_host_ip(), int(service.get_exposed_port(8080))) == "served"
        assert service.exec(["sh", "-c", "echo $NAME"]).output == b"value\n"
        stdout, stderr = service.get_logs()
        assert (stdout, stderr) == (b"listening\n", b"")
        identifier = service.get_wrapped_container().id
        assert lan.client.containers.get(identifier).status == "running"
    with pytest.raises(docker.errors.NotFound):
        lan.client.containers.get(identifier)
