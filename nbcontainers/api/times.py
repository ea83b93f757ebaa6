"""Times as Docker writes them: RFC 3339 with nanoseconds, and in words. How it reads them is in ``moments``.

Source: Go package time, RFC3339Nano.
"""

import time

NEVER = "0001-01-01T00:00:00Z"


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
