"""Sampling: at a young container's pace and an old one's, and when the group is already gone."""

import itertools
import os
from collections.abc import Iterator

import pytest

from nbcontainers.engine import metrics
from nbcontainers.engine.metrics import Metrics
from nbcontainers.linux import cgroups

pytestmark = [pytest.mark.root]
GROUP = f"/nbcontainers-metrics-{os.getpid()}"


@pytest.fixture
def group() -> Iterator[cgroups.Cgroup]:
    driver = cgroups.detect()
    with driver.create(GROUP, {}) as made:
        yield made


def _samples(history: metrics._History, seconds: float, start: float) -> list[float]:
    """Return when a sample is taken if the timer goes off ten times a second, a little late each time."""
    times = [start + tick * 0.1003 for tick in range(int(seconds * 10))]
    return [time for time in times if history.is_due(time)]


def test_an_old_container_beside_young_ones_is_sampled_once_a_second(group: cgroups.Cgroup) -> None:
    history = metrics._History(group, os.getpid())
    try:
        born = history._born
        young = _samples(history, 5, born)
        old = _samples(history, 20, born + 60)
    finally:
        history.close()
    assert 45 <= len(young) <= 50
    assert 19 <= len(old) <= 21
    assert min(later - earlier for earlier, later in itertools.pairwise(old[1:])) > 0.85


async def test_a_group_that_has_gone_gives_no_sample_and_stops_nobody(group: cgroups.Cgroup) -> None:
    sampled = Metrics()
    try:
        sampled.watch("one", group, os.getpid())
        history = sampled._histories["one"]
        history.sample()
        group.remove()
        history.sample()
        sampled._sample_all()
        assert sampled._timer is not None  # the others are sampled on
        sampled.unwatch("one")
        columns = sampled.columns("one")
    finally:
        sampled.close()
    assert len(columns["time_ns"]) == 1
    assert columns["time_ns"][0] > 0


async def test_of_one_that_has_just_started_there_is_a_sample(group: cgroups.Cgroup) -> None:
    sampled = Metrics()
    try:
        sampled.watch("one", group, os.getpid())
        columns = sampled.columns("one")
    finally:
        sampled.close()
    assert len(columns["time_ns"]) == 1
