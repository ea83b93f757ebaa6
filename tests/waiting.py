"""Waiting for what another process does, where nothing tells."""

import time
from collections.abc import Callable

SECONDS = 60


def until(condition: Callable[[], bool], *, pause_seconds: float = 0.002, seconds: float = SECONDS) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(pause_seconds)
