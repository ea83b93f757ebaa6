"""One engine for all clients; what a test makes, it removes."""

import os
import shutil
from collections.abc import Iterator

import docker
import pytest

from tests.busybox import BUSYBOX, root_file_system
from tests.engine_process import EngineProcess, running_engine


@pytest.fixture(scope="session")
def engine() -> Iterator[EngineProcess]:
    """An engine with the image busybox."""
    if os.geteuid() != 0:
        pytest.skip("the engine needs root")
    if not BUSYBOX.exists():
        pytest.skip("no /bin/busybox: apt install busybox-static")
    with running_engine() as running:
        running.client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
        yield running


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[docker.DockerClient]:
    """docker-py on that engine; containers left by the test are removed after it."""
    yield engine.client
    engine.remove_everything()
    assert engine.client.containers.list(all=True) == []


@pytest.fixture
def cli(engine: EngineProcess) -> Iterator[EngineProcess]:
    """The engine for the docker CLI; containers left by the test are removed after it."""
    if shutil.which("docker") is None:
        pytest.skip("no docker CLI")
    yield engine
    engine.remove_everything()
