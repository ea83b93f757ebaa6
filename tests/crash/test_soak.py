"""A short soak; ``make soak`` has the long one."""

import os

import pytest

from benchmarks.soak import soak

pytestmark = [pytest.mark.root, pytest.mark.busybox]
SECONDS = 6


# docker-py leaves its socket open when an engine is killed before it has told its version.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_random_operations_and_kills_lose_and_leak_nothing() -> None:
    seed = int(os.environ.get("SEED", "1"))
    wrong, counts = soak(SECONDS, seed)
    assert wrong == [], f"seed {seed}, {dict(counts)}"
    assert sum(counts.values()) > 10
