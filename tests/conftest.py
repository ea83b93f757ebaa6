"""One engine for the tests of the faces."""

from collections.abc import Callable, Iterator

import pytest

from nbcontainers.cli import Face
from nbcontainers.lessons import debian
from tests.busybox import root_file_system
from tests.engine_process import EngineProcess, running_engine

pytest_plugins = [
    "tests.leaks_plugin",
    "tests.failures_plugin",
    "tests.require",
    "tests.uml.plugin",
    "tests.jupyter_plugin",
    "tests.registry_plugin",
]


@pytest.fixture(scope="session")
def faces_engine(need: Callable[..., None]) -> Iterator[EngineProcess]:
    """An engine with the image busybox, its own, for cells and commands."""
    need("root", "busybox")
    with running_engine() as running:
        running.client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
        yield running


@pytest.fixture(scope="session")
def debian_engine(need: Callable[..., None]) -> Iterator[EngineProcess]:
    """An engine with the images busybox and debian:12.

    What one test installs on Debian is in the cache of builds for all that install it by the same words.
    """
    need("root", "busybox", "debian")
    with running_engine() as running:
        running.client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
        debian.provide(running.client)
        yield running


class RecordingFace(Face):
    """A face that keeps what is written to it."""

    def __init__(self, url: str) -> None:
        self.written = b""
        self.remarks = b""
        super().__init__(url=url, out=self._take_out, err=self._take_err)

    def _take_out(self, data: bytes) -> None:
        self.written += data

    def _take_err(self, data: bytes) -> None:
        self.remarks += data


@pytest.fixture
def face(faces_engine: EngineProcess) -> Iterator[RecordingFace]:
    """A face on that engine; containers left by the test are removed after it."""
    face = RecordingFace(faces_engine.url)
    yield face
    face.client.close()
    faces_engine.remove_everything()
