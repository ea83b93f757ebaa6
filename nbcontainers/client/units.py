"""Numbers as people read them."""

import math

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")
_BITS = ("bit", "kbit", "Mbit", "Gbit")


def human_bytes(value: float) -> str:
    """Return a number of bytes as people read it: ``1.5 MB``; decimal units, as in Docker."""
    if math.isnan(value):
        return ""
    size, unit = float(value), 0
    while abs(size) >= 1000 and unit < len(_BYTES) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} B" if unit == 0 else f"{size:.3g} {_BYTES[unit]}"


def human_rate(bits_per_second: float) -> str:
    """Return a rate as people read it: ``1.5 Mbit/s``; empty for no limit."""
    if not bits_per_second:
        return ""
    rate, unit = float(bits_per_second), 0
    while rate >= 1000 and unit < len(_BITS) - 1:
        rate, unit = rate / 1000, unit + 1
    return f"{rate:.3g} {_BITS[unit]}/s"


def human_delay(usec: float) -> str:
    """Return a delay as people read it: ``20 ms``; empty for none."""
    for factor, unit in ((1_000_000, "s"), (1000, "ms")):
        if usec >= factor:
            return f"{usec / factor:.3g} {unit}"
    return f"{usec:.0f} µs" if usec else ""
