"""Docker's framing of two streams in one, and the forms in which a log goes out.

    | stream: u8 (1 stdout, 2 stderr) | 0 0 0 | length: u32, big endian | bytes … |

Source: Docker Engine API, § Attach to a container, "Stream format".
"""

import struct
import sys
import time
from collections.abc import Iterator

from nbcontainers.engine.log_attributes import Details
from nbcontainers.runtime.log import Frame

HEADER = struct.Struct(">BxxxL")
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"
LONGEST_LINE_BYTES = 16 << 10  # Docker too cuts longer ones (moby, daemon/logger, defaultBufSize)


def content_type(tty: bool, version: tuple[int, int]) -> str:
    """Return the content type of a container's output; before API 1.42 there was but one."""
    return MULTIPLEXED if not tty and version >= (1, 42) else RAW


def multiplex(stream: int, data: bytes) -> bytes:
    """Return bytes of one stream with the header in front."""
    return HEADER.pack(stream, len(data)) + data


def stamp(time_ns: int) -> bytes:
    """Return the time in front of a line of ``docker logs --timestamps``: RFC 3339, always nine digits, a space."""
    seconds, fraction = divmod(time_ns, 10**9)
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    return b"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ " % (year, month, day, hour, minute, second, fraction)


class Prefix:
    """What stands in front of each line.

    Args:
        timestamps: Its time.
        details: Docker's ``--details``: what the log's options have it tell of the container, and a space.
    """

    def __init__(self, *, timestamps: bool, details: Details | None = None) -> None:
        self._timestamps = timestamps
        self._details = details
        self.is_empty = not timestamps and details is None

    def at(self, ns: int) -> bytes:
        """Return it for a line of this time."""
        details = b"" if self._details is None else self._details.at(ns) + b" "
        return stamp(ns) + details if self._timestamps else details


class Lines:
    """Turns frames of a log into one piece per line, as Docker does: clients hand on to their users what they get.

    Args:
        tty: Whether the container has a terminal: then there is one stream, without headers, and without a prefix
            output is passed on as it comes, with no lines to wait for.
        prefix: What stands in front of each line.
        alone: How many lines have a piece of their own; those after them may share one. Half of the time that a long
            log takes would go into its pieces, most of it the client's. None: all lines have.
    """

    def __init__(self, *, tty: bool, prefix: Prefix, alone: int | None = None) -> None:
        self._tty = tty
        self._prefix = prefix
        self._alone = sys.maxsize if alone is None else alone
        self._pending: dict[int, tuple[int, bytes]] = {}

    def format(self, frame: Frame) -> bytes:
        """Return the lines that a frame completes, as they are sent."""
        if self._tty and self._prefix.is_empty:
            return frame.data
        pieces: list[bytes] = []
        begun_ns, begun = self._pending.pop(frame.stream, (frame.ns, b""))
        if begun and frame.begins:  # nothing goes on with it: the run that wrote it has ended
            pieces.append(self._piece(begun_ns, frame.stream, begun))
            begun_ns, begun = frame.ns, b""
        lines = (begun + frame.data).split(b"\n")
        last = lines.pop()
        if begun and lines:
            pieces.append(self._piece(begun_ns, frame.stream, lines.pop(0) + b"\n"))
            begun_ns = frame.ns
        if lines:
            pieces.append(self._pieces(frame.ns, frame.stream, lines))
            begun_ns = frame.ns
        if len(last) >= LONGEST_LINE_BYTES:
            pieces.append(self._piece(begun_ns, frame.stream, last))
        elif last:
            self._pending[frame.stream] = (begun_ns, last)
        return b"".join(pieces)

    def rest(self) -> bytes:
        """Return what never got its end of line."""
        return b"".join(self._piece(ns, stream, line) for stream, (ns, line) in self._drain())

    def _drain(self) -> Iterator[tuple[int, tuple[int, bytes]]]:
        yield from sorted(self._pending.items(), key=lambda item: item[1][0])
        self._pending.clear()

    def _piece(self, ns: int, stream: int, line: bytes) -> bytes:
        data = self._prefix.at(ns) + line
        return data if self._tty else multiplex(stream, data)

    def _pieces(self, ns: int, stream: int, lines: list[bytes]) -> bytes:
        """Return many lines of one time, given without their ends: a log may have millions."""
        prefix = self._prefix.at(ns)
        if self._tty:
            return _joined(prefix, lines)
        alone, others = lines[: self._alone], lines[self._alone :]
        self._alone -= len(alone)
        heads = _Heads(stream, prefix)
        pieces = [heads[len(line)] + line + b"\n" for line in alone]
        if others:
            pieces.append(multiplex(stream, _joined(prefix, others)))
        return b"".join(pieces)


def _joined(prefix: bytes, lines: list[bytes]) -> bytes:
    """Return lines, given without their ends, with the prefix in front of each."""
    return prefix + (b"\n" + prefix).join(lines) + b"\n"


class _Heads(dict[int, bytes]):
    """What stands in front of a line of some length: made once for all lines that are as long."""

    def __init__(self, stream: int, prefix: bytes) -> None:
        self._stream, self._prefix = stream, prefix

    def __missing__(self, length: int) -> bytes:
        head = self[length] = HEADER.pack(self._stream, len(self._prefix) + length + 1) + self._prefix
        return head
