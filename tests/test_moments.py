"""Moments as Docker's users give them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from nbcontainers import errors
from nbcontainers.moments import in_seconds, parse_ns

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1767323045", NOW_NS),
        ("1767323045.5", NOW_NS + 5 * 10**8),
        ("1767323045.000000001", NOW_NS + 1),
        ("10m", NOW_NS - 600 * 10**9),
        ("1h30m", NOW_NS - 5400 * 10**9),
        ("2026-01-02T03:04:05Z", NOW_NS),
        ("2026-01-02T04:04:05.25+01:00", NOW_NS + 25 * 10**7),
        ("2026-01-02T03:04:05", NOW_NS),
        ("2026-01-02", int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()) * 10**9),
    ],
)
def test_in(text: str, time_ns: int) -> None:
    assert parse_ns(text, NOW) == time_ns


@pytest.mark.parametrize("text", ["yesterday", "10 parsecs", "2026-13-01", "-5m", "1e9"])
def test_no_time(text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="invalid time"):
        parse_ns(text, NOW)


def test_a_time_without_a_zone_is_of_the_zone_where_it_is_given() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=2)))
    assert parse_ns("2026-01-02T05:04:05", there) == parse_ns("2026-01-02T03:04:05Z", there) == NOW_NS


def test_every_engine_takes_seconds() -> None:
    assert in_seconds("2026-01-02T03:04:05Z") == "1767323045"
    assert in_seconds("2026-01-02T03:04:05.000000001Z") == "1767323045.000000001"
    assert [in_seconds(text) for text in ("0", "1.5", "-1")] == ["0", "1.5", "-1"]
    assert abs(float(in_seconds("1h")) - datetime.now(UTC).timestamp() + 3600) < 600
