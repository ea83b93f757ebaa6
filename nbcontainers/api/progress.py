"""How far something is, as Docker's streams tell it: numbers for programs, and a bar for people.

Source: Docker Engine API v1.47, ``ProgressDetail``; moby, pkg/jsonmessage, for the bar.
"""

from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from nbcontainers.api import failures, responses
from nbcontainers.images.progress import Work

_BAR = 50
Json = dict[str, object]
T = TypeVar("T")


async def relay(
    work: Work[T], response: web.StreamResponse, event: T | None, lines: Callable[[T], list[Json]], root: object
) -> None:
    """Write what is told to the end, and why it has failed if it has; what has come meanwhile goes in one piece.

    Args:
        work: What is being done.
        response: A stream that has begun.
        event: What was told already; the rest follows.
        lines: Returns what a stream says of an event.
        root: The engine's directory.
    """
    while event is not None:
        said: list[Json] = []
        while event is not None:
            said += lines(event)
            if not work.has_news:
                break
            event = await work.next()
        await response.write(b"".join(responses.encode(line) + b"\r\n" for line in said))
        if event is not None:
            event = await work.next()
    try:
        await work.task
    except Exception as raw:
        await responses.write_json_line(response, failures.in_stream(raw, root))


def line(status: str, name: str, current: int | None = None, total: int | None = None) -> Json:
    """Return one message of a stream.

    Args:
        status: What is being done.
        name: What to, such as the beginning of a layer's digest.
        current: How many bytes of it are done, None where that says nothing.
        total: How many there are.
    """
    if current is None or total is None:
        return {"status": status, "progressDetail": {}, "id": name}
    share = min(current / total, 1.0) if total else 1.0
    arrow = f"{'=' * int(share * _BAR)}>".ljust(_BAR)
    bar = f"[{arrow}] {size(current):>8}/{size(total)}"
    return {"status": status, "progressDetail": {"current": current, "total": total}, "progress": bar, "id": name}


def size(value: float) -> str:
    """Return a size as Docker has it: four digits, decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.4g}{unit}"
        value /= 1000
    return f"{value:.4g}TB"
