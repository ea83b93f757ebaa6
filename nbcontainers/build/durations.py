"""Durations as Go writes them: ``1m30s``, ``1.5h``, ``300ms``.

Source: Go, package time § ParseDuration; Dockerfile reference § HEALTHCHECK.
"""

import re
from decimal import Decimal

_PART = r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"([+-]?)((?:{_PART})+)")
_UNIT_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_LONGEST_NS = (1 << 63) - 1


def duration_ns(text: str) -> int:
    """Return a duration in nanoseconds.

    Raises:
        ValueError: It is none, or longer than 292 years.
    """
    if text.lstrip("+-") == "0" and len(text) <= 2:
        return 0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid duration '{text}': such as 30s or 1m30s is wanted")
    total = sum(int(Decimal(number) * _UNIT_NS[unit]) for number, unit in re.findall(_PART, match[2]))
    if total > _LONGEST_NS:
        raise ValueError(f"invalid duration '{text}': it is too long")
    return -total if match[1] == "-" else total
