from collections.abc import Iterator

import pytest

from tests.engine_process import EngineProcess


@pytest.fixture
def engine(faces_engine: EngineProcess) -> Iterator[EngineProcess]:
    """The engine of the fixture ``jupyter``; containers left by the test are removed after it."""
    yield faces_engine
    faces_engine.remove_everything()
