"""An engine of its own for every test that kills one."""

import os
from collections.abc import Iterator

import pytest

from tests.busybox import BUSYBOX, root_file_system
from tests.engine_process import EngineProcess, running_engine


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    """An engine with the image busybox; nothing of it is left afterwards."""
    if os.geteuid() != 0:
        pytest.skip("the engine needs root")
    if not BUSYBOX.exists():
        pytest.skip("no /bin/busybox: apt install busybox-static")
    with running_engine() as running:
        running.client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
        yield running
