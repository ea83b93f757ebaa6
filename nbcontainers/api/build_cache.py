"""``POST /build/prune``, and the rows of the build cache in ``GET /system/df``.

Source: Docker Engine API v1.47, ``BuildCache`` and ``POST /build/prune``; moby, builder/builder-next/builder.go.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses, times
from nbcontainers.api.calls import Call, Filters
from nbcontainers.api.routing import Route
from nbcontainers.build.records import Record
from nbcontainers.moments import parse_ns

_TESTS: dict[str, Callable[[Record, str], bool]] = {
    "id": lambda record, text: record.id.startswith(text),
    "parent": lambda record, text: record.parent.startswith(text),
    "type": lambda record, text: record.kind == text,
    "description": lambda record, text: text in record.description,
    "inuse": lambda record, _: record.in_use,
    "shared": lambda record, _: record.shared,
    "private": lambda record, _: not record.shared,
    # ``docker system prune`` hands its filters on to all kinds of things; what a step has made bears no labels.
    "label": lambda record, _: False,
    "label!": lambda record, _: True,
}
FILTERS = frozenset((*_TESTS, "until", "unused-for"))


async def rows(call: Call) -> list[dict[str, object]]:
    """Return the cache's records as ``GET /system/df`` has them."""
    return [_row(record) for record in await asyncio.to_thread(call.engine.builder.records)]


def _row(record: Record) -> dict[str, object]:
    return {
        "ID": record.id,
        "Parent": record.parent,
        "Type": record.kind,
        "Description": record.description,
        "InUse": record.in_use,
        "Shared": record.shared,
        "Size": record.size_bytes,
        "CreatedAt": times.rfc3339(record.created_ns),
        "LastUsedAt": times.rfc3339(record.used_ns) if record.used_ns else None,
        "UsageCount": record.uses,
    }


async def prune(call: Call) -> web.Response:
    """Forget what earlier builds have made and no image has; with ``all``, what images have, too."""
    asked = call.filters(FILTERS)
    before_ns = _before_ns(asked)
    room = call.integer("keep-storage") if call.text("keep-storage") else 0
    records = await asyncio.to_thread(call.engine.builder.records)
    chosen = [
        record
        for record in records
        if not record.in_use
        and (call.flag("all") or not record.shared)
        and _last_ns(record) <= before_ns
        and all(any(test(record, text) for text in asked[name]) for name, test in _TESTS.items() if name in asked)
    ]
    gone = _beyond(room, records, chosen)
    freed = await asyncio.to_thread(call.engine.builder.prune, gone)
    call.engine.events.emit("builder", "prune", "", {"reclaimed": str(freed)})
    return responses.json({"CachesDeleted": [record.id for record in gone] or None, "SpaceReclaimed": freed})


def _last_ns(record: Record) -> int:
    return record.used_ns or record.created_ns


def _before_ns(asked: Filters) -> int:
    """Return the time since which a record must not have been used.

    Raises:
        errors.InvalidArgument: It is none, or there is more than one.
    """
    texts = [*asked.get("until", ()), *asked.get("unused-for", ())]
    if len(texts) > 1:
        raise errors.InvalidArgument("filters until and unused-for: more than one value was given")
    now = datetime.now(UTC)
    return parse_ns(texts[0], now) if texts else int((now.timestamp() + 1) * 10**9)


def _beyond(room_bytes: int, records: list[Record], chosen: list[Record]) -> list[Record]:
    """Return those that are to go so that what stays has room, the longest unused first; all where there is none."""
    if not room_bytes:
        return chosen
    total, gone = sum(record.size_bytes for record in records), []
    for record in sorted(chosen, key=_last_ns):
        if total <= room_bytes:
            break
        total -= record.size_bytes
        gone.append(record)
    return gone


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("POST", "/build/prune", prune)]
