"""An engine of its own for every test that kills one."""

from collections.abc import Callable, Iterator

import pytest

from tests.busybox import root_file_system
from tests.engine_process import EngineProcess, running_engine


@pytest.fixture
def engine(need: Callable[..., None]) -> Iterator[EngineProcess]:
    """An engine with the image busybox; nothing of it is left afterwards."""
    need("root", "busybox")
    with running_engine() as running:
        running.client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
        yield running
