"""At the end of a session nothing of it is left on the machine: the one fixture that looks, and fails."""

import time
from collections.abc import Iterator

import pytest

from tests.leaks import Watch

_GRACE_SECONDS = 30.0


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Fail when, after all tests and the teardown of all fixtures, something of this session is left."""
    watch = Watch()
    try:
        yield
        deadline = time.monotonic() + _GRACE_SECONDS
        while (left := watch.leaks()) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        watch.close()
    assert not left, "this session has left on the machine:\n" + "\n".join(left)
