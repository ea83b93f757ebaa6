"""Moments as Docker's users give them: seconds since the epoch, RFC 3339, or how long ago.

Docker's daemon takes only the first of them for logs and events; its command line turns the others into that, in its
own time zone, and so do our faces.

Source: Docker Engine API, ``since`` and ``until``; Docker documentation, "docker container logs" § --since.
"""

import re
from datetime import UTC, datetime

from nbcontainers import errors

_SECONDS = re.compile(r"(-?\d{1,12})(?:\.(\d{1,9}))?")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?(Z|z|[+-]\d\d:\d\d)?")


def parse_ns(text: str, now: datetime) -> int:
    """Read a time: seconds since the epoch (``1700000000.5``), a duration back from now (``10m``), or RFC 3339.

    Seconds before the epoch are a time like any other, as for dockerd.

    Args:
        text: The time.
        now: What a duration is counted back from; its zone is that of a time which names none.

    Returns:
        Nanoseconds since the epoch.

    Raises:
        errors.InvalidArgument: It is none of the three.
    """
    if found := _SECONDS.fullmatch(text):
        return int(found[1]) * 10**9 + int((found[2] or "").ljust(9, "0"))
    if _DURATION.fullmatch(text):
        back = sum(float(number) * _UNIT_NS[unit] for number, unit in _DURATION_PART.findall(text))
        return int(now.timestamp()) * 10**9 + now.microsecond * 1000 - int(back)
    if found := _RFC3339.fullmatch(text):
        date, clock, fraction, zone = found.groups()
        zone = "+00:00" if zone in ("Z", "z") else zone or ""
        try:
            moment = datetime.fromisoformat(f"{date}T{clock or '00:00'}{zone}")
        except ValueError:
            moment = None
        if moment is not None:
            moment = moment if zone else moment.replace(tzinfo=now.tzinfo)
            return int(moment.astimezone(UTC).timestamp()) * 10**9 + int((fraction or "").ljust(9, "0"))
    raise errors.InvalidArgument(
        f"invalid time '{text}': seconds since the epoch, a duration such as 10m, or RFC 3339 is wanted"
    )


def in_seconds(text: str) -> str:
    """Return a moment that somebody has given here as every engine takes it.

    Raises:
        errors.InvalidArgument: It is none.
    """
    if _SECONDS.fullmatch(text):
        return text
    seconds, fraction = divmod(parse_ns(text, datetime.now().astimezone()), 10**9)
    return f"{seconds}.{fraction:09}" if fraction else f"{seconds}"
