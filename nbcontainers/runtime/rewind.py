"""Finding a place in a log from its end: where the last lines begin, or those since a moment.

A log may be long, and who asks for its end wants little of it. So the frames are walked backwards, by the length that
stands behind each, and only as far as what is asked for reaches. Lines of standard output and error lie interleaved;
a line stands where its first byte does.
"""

from __future__ import annotations

import os

from nbcontainers.runtime.log import DIRECTORY, HEADER, OVERHEAD, TRAILER, Frame, open_segment, segments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES = 1 << 20


class Place:
    """Where to read a log from.

    Attributes:
        segment: The segment's number, 0 for the oldest.
        offset: Of a frame in the segment.
        index: Of the first wanted byte in that frame.
        begun: Whether lines are to be left out that began before this place, in any stream.
        end: Segment and offset behind the newest frame that there was when lines were counted; None where none were.
    """

    __slots__ = ("begun", "end", "index", "offset", "segment")

    def __init__(
        self,
        segment: int = 0,
        offset: int = 0,
        index: int = 0,
        *,
        begun: bool = False,
        end: tuple[int, int] | None = None,
    ) -> None:
        self.segment = segment
        self.offset = offset
        self.index = index
        self.begun = begun
        self.end = end


def find(
    directory: str, streams: frozenset[int], *, since_ns: int | None, until_ns: int | None, tail: int | None
) -> Place:
    """Return where to begin, to read what is asked for.

    Args:
        directory: The container's directory.
        streams: The streams that count.
        since_ns: The earliest time of a line, nanoseconds since the epoch.
        until_ns: The latest; later lines do not count for ``tail``.
        tail: How many lines at most.
    """
    if since_ns is None and tail is None:
        return Place()
    if tail == 0:
        return end(directory)
    newest = None if tail is None else (0, 0)
    place, missing = Place(end=newest), tail
    for segment, offset, frame in backwards(directory):
        if newest == (0, 0):
            place.end = newest = (segment, offset + OVERHEAD + len(frame.data))
        if since_ns is not None and frame.ns < since_ns:
            place.begun = True
            return place
        if frame.stream not in streams or (until_ns is not None and frame.ns > until_ns):
            continue
        if missing is not None:
            starts = _line_starts(frame)
            if starts >= missing:
                return Place(segment, offset, _start_from_end(frame, missing), begun=True, end=newest)
            missing -= starts
        place = Place(segment, offset, end=newest)
    return place


def end(directory: str) -> Place:
    """Return the place at which the next frame will be written."""
    present = segments(directory)
    if not present:
        return Place(end=(0, 0))
    size = os.stat(f"{directory}/{DIRECTORY}/{present[-1]:08d}").st_size
    return Place(present[-1], size, begun=True, end=(present[-1], size))


def _line_starts(frame: Frame) -> int:
    """Count the lines that begin in a frame."""
    inner = frame.data.count(b"\n", 0, max(len(frame.data) - 1, 0))
    return inner + (1 if frame.begins and frame.data else 0)


def _start_from_end(frame: Frame, number: int) -> int:
    """Return where the line begins that is the ``number``-th from the end of those that begin in a frame."""
    end = max(len(frame.data) - 1, 0)
    for _ in range(number):
        newline = frame.data.rfind(b"\n", 0, end)
        if newline < 0:
            return 0
        end = newline
    return newline + 1


def backwards(directory: str) -> Iterator[tuple[int, int, Frame]]:
    """Yield segment, offset and frame, the newest first."""
    for number in reversed(segments(directory)):
        try:
            fd, packed = open_segment(directory, number)
        except FileNotFoundError:
            return  # removed by a rotation, and so are all older ones
        if packed is not None:
            from nbcontainers.runtime.packed import unpack

            fd = unpack(fd)
        try:
            for offset, frame in _backwards_in_segment(fd):
                yield number, offset, frame
        finally:
            os.close(fd)


def _backwards_in_segment(fd: int) -> Iterator[tuple[int, Frame]]:
    end = os.fstat(fd).st_size
    while end > 0:
        begin = max(0, end - _BLOCK_BYTES)
        block = os.pread(fd, end - begin, begin)
        position = len(block)
        while (found := _frame_before(block, position)) is not None:
            position, frame = found
            yield begin + position, frame
        if position == len(block):
            # What stands at the end is half a frame, of a crash or of a writer at work: from the start, then.
            yield from reversed(list(_forwards(fd, end)))
            return
        end = begin + position


def _frame_before(block: bytes, end: int) -> tuple[int, Frame] | None:
    """Return the frame that ends at ``end`` in a block, with its place; None where that is no whole frame."""
    if end < OVERHEAD:
        return None
    size = TRAILER.unpack_from(block, end - TRAILER.size)[0]
    begin = end - OVERHEAD - size
    if begin < 0:
        return None
    ns, length, stream, begins = HEADER.unpack_from(block, begin)
    if length != size:
        return None
    return begin, Frame(ns, stream, block[begin + HEADER.size : begin + HEADER.size + size], begins)


def _forwards(fd: int, end: int) -> Iterator[tuple[int, Frame]]:
    """Yield the whole frames of a segment's beginning."""
    offset = 0
    while offset + OVERHEAD <= end:
        ns, size, stream, begins = HEADER.unpack(os.pread(fd, HEADER.size, offset))
        data = os.pread(fd, size + TRAILER.size, offset + HEADER.size)
        if len(data) < size + TRAILER.size or TRAILER.unpack_from(data, size)[0] != size:
            return
        yield offset, Frame(ns, stream, data[:size], begins)
        offset += OVERHEAD + size
