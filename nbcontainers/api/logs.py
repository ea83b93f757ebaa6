"""``GET /containers/{id}/logs``, and the same as columns for DataFrames."""

import asyncio
import contextlib
import struct
import time
from collections.abc import Iterator

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import frames, output, responses
from nbcontainers.api.calls import Call
from nbcontainers.api.output import Selection
from nbcontainers.api.routing import Route
from nbcontainers.engine.log_attributes import Details
from nbcontainers.runtime import log
from nbcontainers.runtime.log import Reader
from nbcontainers.runtime.rewind import Place

PIECE_BYTES = 256 << 10
INLINE_LOG_BYTES = 4 << 20  # a log up to this size is counted in the event loop, a longer one in a thread
LINES_ALONE = 10_000
_COLUMN = struct.Struct("<qBI")


def selection(call: Call, streams: frozenset[int]) -> Selection:
    """Return the part of the log that the query asks for.

    Raises:
        errors.InvalidArgument: A time or number is none.
    """
    tail = call.text("tail")
    return Selection(
        streams=streams,
        since_ns=call.time_ns("since") or None,
        until_ns=call.time_ns("until") or None,  # clients send 0 for none
        # Docker takes what is no number, such as ``all``, and what is negative, for everything.
        tail=int(tail) if tail.isdigit() else None,
    )


async def logs(call: Call) -> web.StreamResponse:
    """Answer with what there is, and with what is still to come, where asked to follow.

    Each line is a piece of its own, but for those at the end of a long log that nobody follows.
    """
    container = call.engine.container(call.parameters["id"])
    streams = frozenset(stream for name, stream in (("stdout", log.STDOUT), ("stderr", log.STDERR)) if call.flag(name))
    if not streams:
        raise errors.InvalidArgument("bad parameters: you must choose at least one stream")
    directory = call.engine.log_directory(container.id)
    asked = selection(call, streams)
    tty = container.config.tty
    details = Details(directory) if call.flag("details") else None
    prefix = frames.Prefix(timestamps=call.flag("timestamps"), details=details)
    follow = call.flag("follow") and call.engine.is_live(container)
    lines = frames.Lines(tty=tty, prefix=prefix, alone=None if call.flag("follow") else LINES_ALONE)
    place, reader = await _opened(directory, asked)
    kind = frames.content_type(tty, call.version)
    if follow:
        with output.Follower(call.engine, container, reader) as follower:
            response = await responses.stream(call, kind)
            await _follow(response, follower, asked, place, lines)
            return response
    try:
        return await _send(call, kind, reader, asked, place, lines)
    finally:
        reader.close()


async def _opened(directory: str, asked: Selection) -> tuple[Place, Reader]:
    """Return where a selection begins, and a reader that is there."""
    size, packed = log.extent(directory)
    if not packed and (size <= INLINE_LOG_BYTES or (asked.tail is None and asked.since_ns is None)):
        place = output.place(directory, asked)
        return place, Reader(directory, place.segment, place.offset)
    return await asyncio.to_thread(_opened_slowly, directory, asked)


def _opened_slowly(directory: str, asked: Selection) -> tuple[Place, Reader]:
    place = output.place(directory, asked)
    reader = Reader(directory, place.segment, place.offset)
    reader.prepare()
    return place, reader


async def _send(
    call: Call, kind: str, reader: Reader, asked: Selection, place: Place, lines: frames.Lines
) -> web.StreamResponse:
    """Send what there is; a short log as one answer, a long one as a stream."""
    response: web.StreamResponse | None = None
    pieces: list[bytes] = []
    size = 0
    for frame in output.selected(reader, asked, place):
        piece = lines.format(frame)
        pieces.append(piece)
        size += len(piece)
        if size >= PIECE_BYTES:
            response = response or await responses.stream(call, kind)
            await response.write(b"".join(pieces))
            pieces.clear()
            size = 0
    pieces.append(lines.rest())
    if response is None:
        return web.Response(body=b"".join(pieces), headers={**responses.HEADERS, "Content-Type": kind})
    await response.write(b"".join(pieces))
    return response


async def _follow(
    response: web.StreamResponse, follower: output.Follower, asked: Selection, place: Place, lines: frames.Lines
) -> None:
    """Send lines as they come, until the container ends or ``until`` has come, whether or not anything is written."""
    beginning = output.Beginning(place)
    with _ending_at(follower, asked.until_ns):
        async for frame in follower.frames():
            if asked.until_ns is not None and frame.ns > asked.until_ns:
                break
            if not asked.has(frame):
                continue
            if piece := lines.format(beginning.cut(frame)):
                await response.write(piece)
        if rest := lines.rest():
            await response.write(rest)


@contextlib.contextmanager
def _ending_at(follower: output.Follower, until_ns: int | None) -> Iterator[None]:
    if until_ns is None:
        yield
        return
    seconds = max(0.0, (until_ns - time.time_ns()) / 10**9)
    timer = asyncio.get_running_loop().call_later(seconds, follower.end)
    try:
        yield
    finally:
        timer.cancel()


async def columns(call: Call) -> web.StreamResponse:
    """``GET /nbcontainers/v1/containers/{id}/logs/columns``: frames of time, stream, length, bytes, and no more."""
    container = call.engine.container(call.parameters["id"])
    directory = call.engine.log_directory(container.id)
    asked = selection(call, output.ALL_STREAMS)
    place, reader = await _opened(directory, asked)
    try:
        response = await responses.stream(call, "application/octet-stream")
        for frame in output.selected(reader, asked, place):
            await response.write(_COLUMN.pack(frame.ns, frame.stream, len(frame.data)) + frame.data)
        return response
    finally:
        reader.close()


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/containers/{id}/logs", logs, interruptible=True),
        Route("GET", "/nbcontainers/v1/containers/{id}/logs/columns", columns, interruptible=True),
    ]
