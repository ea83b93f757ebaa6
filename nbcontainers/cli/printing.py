"""Tables for people at a terminal: docker's columns, as many as fit.

A DataFrame has more columns than a line has room for. What is printed of one is its *layout*: columns in the order of
docker's own tables, each with a rank. When a line is too long, columns of the least rank go first, and at last the
longest texts are cut. Into a pipe everything goes, uncut.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.cells import cell_len, set_cell_size

from nbcontainers.client.units import human_bytes, human_delay, human_rate

Row = dict[str, Any]
_GAP = 3
_NARROWEST = 12
_AGES = ((365 * 86400, "year"), (30 * 86400, "month"), (7 * 86400, "week"), (86400, "day"), (3600, "hour"))
_COMMAND_LENGTH = 20


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a layout: its heading, what stands in it, and its rank; 0 is never left out."""

    heading: str
    cell: Callable[[Row], str]
    rank: int = 0


def short(identifier: object) -> str:
    """Return the beginning of an id, as docker prints it."""
    return str(identifier).removeprefix("sha256:")[:12]


def age(time: object) -> str:
    """Return how long ago something was, as docker says it: ``3 minutes ago``."""
    if not isinstance(time, pd.Timestamp) or pd.isna(time):
        return ""
    seconds = max(int((pd.Timestamp.now(tz="UTC") - time).total_seconds()), 0)
    for length, unit in _AGES:
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}s ago"
    if seconds >= 3600:
        return "About an hour ago"
    if seconds >= 120:
        return f"{seconds // 60} minutes ago"
    return "About a minute ago" if seconds >= 60 else f"{seconds} seconds ago"


def command(text: object) -> str:
    """Return the beginning of a command, in quotes."""
    words = str(text)
    return f'"{words if len(words) <= _COMMAND_LENGTH else words[: _COMMAND_LENGTH - 1] + "…"}"'


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}%"


def _memory(row: Row) -> str:
    limit = row["memory_limit_bytes"]
    return f"{human_bytes(row['memory_bytes'])} / {human_bytes(limit) if limit else 'no limit'}"


def _with_port(address: str, port: object) -> str:
    if port is pd.NA:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _both(first: str, second: str) -> Callable[[Row], str]:
    """Return a cell of two numbers of bytes, as in ``1 MB / 2 MB``; empty where the server does not tell."""
    return lambda row: f"{human_bytes(row[first])} / {human_bytes(row[second])}" if first in row else ""


def _maybe_bytes(value: Any) -> str:
    return "" if pd.isna(value) else human_bytes(value)


_MARKS = {"added": "A", "changed": "C", "removed": "D"}
_CONTAINERS = [
    Column("CONTAINER ID", lambda row: short(row["id"])),
    Column("IMAGE", lambda row: row["image"], 1),
    Column("COMMAND", lambda row: command(row["command"]), 3),
    Column("CREATED", lambda row: age(row["created"]), 4),
    Column("STATUS", lambda row: row["status"]),
    Column("PORTS", lambda row: row["ports"], 2),
    Column("NAMES", lambda row: row["name"]),
]
_IMAGES = [
    Column("REPOSITORY", lambda row: row["repository"]),
    Column("TAG", lambda row: row["tag"]),
    Column("IMAGE ID", lambda row: short(row["id"]), 1),
    Column("CREATED", lambda row: age(row["created"]), 3),
    Column("SIZE", lambda row: human_bytes(row["size"]), 2),
]
_HISTORY = [
    Column("IMAGE", lambda row: short(row["id"])),
    Column("CREATED", lambda row: age(row["created"]), 2),
    Column("CREATED BY", lambda row: row["created_by"]),
    Column("SIZE", lambda row: human_bytes(row["size"]), 1),
    Column("COMMENT", lambda row: row["comment"], 3),
]
USE = [
    Column("CPU %", lambda row: _percent(row["cpu_percent"])),
    Column("MEM USAGE / LIMIT", _memory),
    Column("MEM %", lambda row: _percent(row["memory_percent"]), 2),
    Column("NET I/O", _both("rx_bytes", "tx_bytes"), 3),
    Column("BLOCK I/O", _both("io_read_bytes", "io_write_bytes"), 4),
    Column("PIDS", lambda row: str(row["pids"]), 1),
]
_LAYERS = [
    Column("LAYER", lambda row: str(row["layer"])),
    Column("DIGEST", lambda row: short(row["digest"]), 2),
    Column("SIZE", lambda row: human_bytes(row["size_bytes"])),
    Column("FILES", lambda row: str(row["files"]), 3),
    Column("WASTED", lambda row: human_bytes(row["wasted_bytes"]) if row["wasted_bytes"] else ""),
    Column("CREATED", lambda row: age(row["created"]), 4),
    Column("CREATED BY", lambda row: row["created_by"], 1),
]
_LAYER_FILES = [
    Column("LAYER", lambda row: str(row["layer"])),
    Column("", lambda row: _MARKS[row["change"]]),
    Column("SIZE", lambda row: human_bytes(row["size_bytes"] or -row["before_bytes"])),
    Column("WASTED", lambda row: human_bytes(row["wasted_bytes"]) if row["wasted_bytes"] else "", 1),
    Column("MODE", lambda row: row["mode"], 2),
    Column("PATH", lambda row: row["path"]),
]
_IMAGE_DIFF = [
    Column("", lambda row: _MARKS[row["change"]]),
    Column("BEFORE", lambda row: _maybe_bytes(row["before_bytes"]), 1),
    Column("AFTER", lambda row: _maybe_bytes(row["after_bytes"]), 1),
    Column("DIFFERS", lambda row: row["differs"], 2),
    Column("PATH", lambda row: row["path"]),
]
_DOCTOR = [
    Column("", lambda row: "✓" if row["available"] else "✗"),
    Column("FEATURE", lambda row: row["feature"]),
    Column("NEEDED FOR", lambda row: row["needed_for"], 1),
    Column("DETAIL", lambda row: row["detail"]),
]
_SHAPING = [
    Column("NETWORK", lambda row: row["network"]),
    Column("INTERFACE", lambda row: row["interface"], 1),
    Column("RATE", lambda row: human_rate(row["rate_bits_per_second"]) or "no limit"),
    Column("DELAY", lambda row: human_delay(row["delay_usec"]) or "none"),
    Column("LOSS", lambda row: f"{row['loss_percent']:g}%"),
]
_PACKETS = [
    Column("TIME", lambda row: row["time"].strftime("%H:%M:%S.%f"), 2),
    Column("INTERFACE", lambda row: row["interface"], 4),
    Column("", lambda row: row["direction"], 3),
    Column("SOURCE", lambda row: _with_port(row["src"], row["src_port"])),
    Column("DESTINATION", lambda row: _with_port(row["dst"], row["dst_port"])),
    Column("PROTOCOL", lambda row: row["proto"]),
    Column("LENGTH", lambda row: str(row["length"]), 1),
    Column("FLAGS", lambda row: row["flags"], 1),
    Column("INFO", lambda row: row["info"]),
]
_LAYOUTS: tuple[tuple[frozenset[str], list[Column]], ...] = (
    (frozenset(("id", "image", "command", "state", "ports")), _CONTAINERS),
    (frozenset(("id", "repository", "tag", "size")), _IMAGES),
    (frozenset(("id", "created_by", "comment")), _HISTORY),
    (frozenset(("layer", "digest", "wasted_bytes")), _LAYERS),
    (frozenset(("layer", "path", "change", "wasted_bytes")), _LAYER_FILES),
    (frozenset(("path", "change", "before_bytes", "after_bytes")), _IMAGE_DIFF),
    (frozenset(("name", "cpu_percent", "memory_bytes")), [Column("NAME", lambda row: row["name"]), *USE]),
    (frozenset(("time", "cpu_percent", "memory_bytes")), [Column("TIME", lambda row: _plain(row["time"])), *USE]),
    (frozenset(("network", "rate_bits_per_second", "delay_usec")), _SHAPING),
    (frozenset(("src", "dst", "proto", "flags", "info")), _PACKETS),
    (frozenset(("feature", "available", "remedy")), _DOCTOR),
)
"""Which layout is whose: by the columns that a table of the kind has."""


def _plain(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _layout(frame: pd.DataFrame) -> list[Column]:
    names = frozenset(map(str, frame.columns))
    for wanted, columns in _LAYOUTS:
        if wanted <= names:
            return columns
    return [Column(name.upper(), lambda row, name=name: _plain(row[name])) for name in map(str, frame.columns)]  # type: ignore[misc]


def lines(frame: pd.DataFrame, width: int | None) -> list[str]:
    """Return a table's lines, the headings first.

    Args:
        frame: Any of the tables that commands return; the others are printed with all their columns.
        width: The terminal's, in characters; None for no limit.
    """
    if frame.index.name:
        frame = frame.reset_index()
    columns = _layout(frame)
    records: list[Row] = [dict(zip(map(str, frame.columns), row, strict=True)) for row in frame.itertuples(index=False)]
    cells = [[column.heading, *(column.cell(record).replace("\n", " ") for record in records)] for column in columns]
    widths = [max(map(cell_len, texts)) for texts in cells]
    shown = list(range(len(columns)))
    if width is not None:
        shown = _that_fit(columns, widths, width)
        _cut(widths, shown, width)
    return [_line((cells[i][row], widths[i]) for i in shown) for row in range(len(records) + 1)]


def _length(widths: list[int], shown: list[int]) -> int:
    return sum(widths[i] + _GAP for i in shown) - _GAP


def _that_fit(columns: list[Column], widths: list[int], width: int) -> list[int]:
    """Return the columns that are left when those of the highest rank went, until the rest fits."""
    shown = list(range(len(columns)))
    for _, out in sorted(((column.rank, i) for i, column in enumerate(columns) if column.rank), reverse=True):
        if _length(widths, shown) <= width:
            break
        shown.remove(out)
    return shown


def _cut(widths: list[int], shown: list[int], width: int) -> None:
    """Make the widest column narrower, while the line is too long."""
    while (excess := _length(widths, shown) - width) > 0:
        widest = max(shown, key=lambda i: widths[i])
        if widths[widest] <= _NARROWEST:
            return
        second = sorted(widths[i] for i in shown)[-2] if len(shown) > 1 else 0
        widths[widest] = max(widths[widest] - excess, min(second, widths[widest] - 1), _NARROWEST)


def _line(cells: Iterable[tuple[str, int]]) -> str:
    return (" " * _GAP).join(_fitted(text, width) for text, width in cells).rstrip()


def _fitted(text: str, width: int) -> str:
    return set_cell_size(text, width) if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"
