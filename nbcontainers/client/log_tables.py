"""A container's output as a DataFrame, one row per line: from this engine's frames, or from Docker's lines."""

import struct
from typing import cast

import numpy as np
import pandas as pd
from docker import DockerClient

from nbcontainers.client import extension
from nbcontainers.client.tables import Table

_FRAME = struct.Struct("<qBI")
_STREAMS = pd.CategoricalDtype(["stdout", "stderr"])


def logs(
    client: DockerClient,
    container: str,
    *,
    tail: int | None = None,
    since: str | None = None,
    until: str | None = None,
    details: bool = False,
) -> Table:
    """Return a container's output, one row per line.

    Returns:
        Columns time (UTC timestamp, nanoseconds), stream (category: stdout, stderr), line (text); with ``details`` also
        details (text), what the log's options have it tell of the container: ``a=b,c=d``, escaped as in a URL.
    """
    query: dict[str, object] = {
        name: value for name, value in (("tail", tail), ("since", since), ("until", until)) if value is not None
    }
    if details:
        return _with_details(_lines_of_docker(client, container, {**query, "details": 1}))
    if extension.is_ours(client):
        identifier = client.api.inspect_container(container)["Id"]
        return _lines_of_frames(extension.get_bytes(client, f"/containers/{identifier}/logs/columns", **query))
    return _lines_of_docker(client, container, query)


def _lines_of_frames(data: bytes) -> Table:
    """Split this engine's frames into lines: a line has the time of the frame that it begins in."""
    rests: dict[int, tuple[int, bytes]] = {}
    lines: list[bytes] = []
    times: list[tuple[int, int, int]] = []  # time, stream, number of lines
    position, end = 0, len(data)
    while position < end:
        ns, stream, size = _FRAME.unpack_from(data, position)
        position += _FRAME.size
        chunk = data[position : position + size]
        position += size
        if stream in rests:
            begun_ns, rest = rests.pop(stream)
            first, newline, chunk = chunk.partition(b"\n")
            if not newline:
                rests[stream] = (begun_ns, rest + first)
                continue
            lines.append(rest + first)
            times.append((begun_ns, stream, 1))
        found = chunk.split(b"\n")
        if found[-1]:
            rests[stream] = (ns, found[-1])
        found.pop()
        if found:
            lines += found
            times.append((ns, stream, len(found)))
    for stream, (ns, rest) in rests.items():
        lines.append(rest)
        times.append((ns, stream, 1))
    return _log_table(lines, times)


def _log_table(lines: list[bytes], times: list[tuple[int, int, int]]) -> Table:
    # One decoding for all lines is much cheaper than one each; no line holds a line feed.
    texts = b"\n".join(lines).decode(errors="replace").split("\n") if lines else []
    table = np.array(times, dtype=np.int64).reshape(-1, 3)
    stamps = np.repeat(table[:, 0], table[:, 2])
    codes = np.repeat(table[:, 1] - 1, table[:, 2]).astype(np.int8)
    frame = pd.DataFrame(
        {
            "time": pd.DatetimeIndex(stamps.view("M8[ns]")).tz_localize("UTC"),
            "stream": pd.Categorical.from_codes(codes, dtype=_STREAMS),
            "line": pd.Series(np.array(texts, dtype=object), dtype="object"),
        }
    )
    return Table(frame)


def _lines_of_docker(client: DockerClient, container: str, query: dict[str, object]) -> Table:
    """Ask a Docker daemon for both streams, one after the other, with Docker's own stamps."""
    api, tail = client.api, query.get("tail")
    lines: list[bytes] = []
    times: list[tuple[int, int, int]] = []
    for number, stream in ((1, "stdout"), (2, "stderr")):
        response = api._get(api._url("/containers/{0}/logs", container), params={stream: 1, "timestamps": 1, **query})
        for line in api._get_result(container, False, response).splitlines():
            stamp, _, rest = line.partition(b" ")
            lines.append(rest)
            times.append((pd.Timestamp(stamp.decode()).value, number, 1))
    table = _log_table(lines, times).sort_values("time", kind="stable").reset_index(drop=True)
    return Table(table if tail is None else table.tail(cast(int, tail)).reset_index(drop=True))


def _with_details(table: Table) -> Table:
    """Take what stands in front of each line, up to a space, into a column of its own."""
    parts = table["line"].str.partition(" ") if len(table) else pd.DataFrame({0: [], 2: []}, dtype="object")
    return Table(table.assign(line=parts[2], details=parts[0]))
