"""Times as Docker writes and reads them: RFC 3339 with nanoseconds out; three forms in.

Source: Docker Engine API, ``since`` and ``until``; Go package time, RFC3339Nano.
"""

import re
import time
from datetime import UTC, datetime

from nbcontainers import errors

NEVER = "0001-01-01T00:00:00Z"
_SECONDS = re.compile(r"(-?\d{1,12})(?:\.(\d{1,9}))?")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?(Z|z|[+-]\d\d:\d\d)?")


def rfc3339(time_ns: int) -> str:
    """Return a time with nanoseconds, trailing zeros cut off as Go does; 0 is Go's zero time.

    Args:
        time_ns: Nanoseconds since the epoch.
    """
    if not time_ns:
        return NEVER
    seconds, fraction = divmod(time_ns, 10**9)
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    text = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    return f"{text}.{fraction:09}".rstrip("0") + "Z" if fraction else text + "Z"


def parse_ns(text: str, now: datetime) -> int:
    """Read a time: seconds since the epoch (``1700000000.5``), a duration back from now (``10m``), or RFC 3339.

    Seconds before the epoch are a time like any other, as for dockerd.

    Args:
        text: The time, with UTC assumed where it names no zone.
        now: What a duration is counted back from.

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
        zone = "+00:00" if zone in (None, "Z", "z") else zone
        try:
            moment = datetime.fromisoformat(f"{date}T{clock or '00:00'}{zone}")
        except ValueError:
            moment = None
        if moment is not None:
            return int(moment.astimezone(UTC).timestamp()) * 10**9 + int((fraction or "").ljust(9, "0"))
    raise errors.InvalidArgument(
        f"invalid time '{text}': seconds since the epoch, a duration such as 10m, or RFC 3339 is wanted"
    )


def age(seconds: float) -> str:
    """Say roughly how long something lasts, in Docker's words.

    Source: the texts of ``docker ps``, such as ``Up 5 minutes`` and ``Exited (0) About an hour ago``.
    """
    if seconds < 1:
        return "Less than a second"
    for limit, singular, unit, plural in (
        (60, "1 second", 1, "seconds"),
        (3600, "About a minute", 60, "minutes"),
        (48 * 3600, "About an hour", 3600, "hours"),
    ):
        if seconds < limit:
            count = int(seconds / unit) if unit < 3600 else round(seconds / unit)
            return singular if count <= 1 else f"{count} {plural}"
    days = seconds / 86400
    if days < 14:
        return f"{int(days)} days"
    if days < 60:
        return f"{int(days / 7)} weeks"
    if days < 730:
        return f"{int(days / 30)} months"
    return f"{int(days / 365)} years"
