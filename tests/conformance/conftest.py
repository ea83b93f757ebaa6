"""One engine for all clients; what a test makes, it removes."""

from collections.abc import Callable, Iterator

import docker
import pytest

from tests.busybox import root_file_system
from tests.conformance.lan import Lan, running_lan
from tests.engine_process import EngineProcess, running_engine


@pytest.fixture(scope="session")
def engine(need: Callable[..., None]) -> Iterator[EngineProcess]:
    """An engine with the image busybox."""
    need("root", "busybox")
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
def cli(engine: EngineProcess, need: Callable[..., None]) -> Iterator[EngineProcess]:
    """The engine for the docker CLI; containers left by the test are removed after it."""
    need("peer")
    yield engine
    engine.remove_everything()


@pytest.fixture(scope="module")
def lan_host(need: Callable[..., None]) -> Iterator[Lan]:
    """An engine on a host of its own, which the tests of the module are on as well."""
    need("root", "busybox")
    with running_lan() as lan:
        yield lan


@pytest.fixture
def lan(lan_host: Lan) -> Iterator[Lan]:
    """That host, cleaned up after the test."""
    yield lan_host
    lan_host.clean_up()
