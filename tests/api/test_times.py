"""Times in Docker's forms."""

from datetime import UTC, datetime

import pytest

from nbcontainers.api.times import age, rfc3339

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "0001-01-01T00:00:00Z"),
        (NOW_NS, "2026-01-02T03:04:05Z"),
        (NOW_NS + 120_000_000, "2026-01-02T03:04:05.12Z"),
        (NOW_NS + 1, "2026-01-02T03:04:05.000000001Z"),
    ],
)
def test_out(time_ns: int, text: str) -> None:
    assert rfc3339(time_ns) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3700, "About an hour"),
        (7300, "2 hours"),
        (3 * 86400, "3 days"),
        (30 * 86400, "4 weeks"),
        (100 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert age(seconds) == text
