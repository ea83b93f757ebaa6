"""Docker's framing of two streams in one, and the forms in which a log goes out.

    | stream: u8 (1 stdout, 2 stderr) | 0 0 0 | length: u32, big endian | bytes … |

Source: Docker Engine API, § Attach to a container, "Stream format".
"""

import struct
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


class Bulk:
    """Turns frames of a log into as few and as large pieces as possible, for reading back what there is.

    Args:
        tty: Whether the container has a terminal: then there is one stream, without headers.
        prefix: What stands in front of each line.
    """

    def __init__(self, *, tty: bool, prefix: Prefix) -> None:
        self._tty = tty
        self._prefix = prefix
        self._inside: set[int] = set()  # streams whose last line is not at its end yet

    def format(self, frame: Frame) -> bytes:
        """Return a frame as it is sent."""
        data = frame.data if self._prefix.is_empty else self._prefixed(frame)
        return data if self._tty else HEADER.pack(frame.stream, len(data)) + data

    def _prefixed(self, frame: Frame) -> bytes:
        text, data = self._prefix.at(frame.ns), frame.data
        ended = data.endswith(b"\n")
        body = data[:-1].replace(b"\n", b"\n" + text) + b"\n" if ended else data.replace(b"\n", b"\n" + text)
        begun = b"" if frame.stream in self._inside and not frame.begins else text
        if ended:
            self._inside.discard(frame.stream)
        else:
            self._inside.add(frame.stream)
        return begun + body

    def rest(self) -> bytes:
        """Return nothing: all was sent."""
        return b""


class Lines:
    """Turns frames of a log into one piece per line, for following: whoever listens sees lines, not halves.

    Args:
        tty: Whether the container has a terminal: then output is passed on as it comes, with no lines to wait for.
        prefix: What stands in front of each line.
    """

    def __init__(self, *, tty: bool, prefix: Prefix) -> None:
        self._tty = tty
        self._prefix = prefix
        self._pending: dict[int, tuple[int, bytes]] = {}

    def format(self, frame: Frame) -> bytes:
        """Return the lines that a frame completes, as they are sent."""
        if self._tty and self._prefix.is_empty:
            return frame.data
        begun_ns, begun = self._pending.pop(frame.stream, (frame.ns, b""))
        lines = _split(begun + frame.data)
        if lines and not lines[-1].endswith(b"\n") and len(lines[-1]) < LONGEST_LINE_BYTES:
            self._pending[frame.stream] = (frame.ns if len(lines) > 1 else begun_ns, lines.pop())
        if not lines:
            return b""
        first = self._piece(self._prefix.at(begun_ns), frame.stream, lines[0])
        prefix = self._prefix.at(frame.ns)
        return first + b"".join([self._piece(prefix, frame.stream, line) for line in lines[1:]])

    def rest(self) -> bytes:
        """Return what never got its end of line."""
        return b"".join(self._piece(self._prefix.at(ns), stream, line) for stream, (ns, line) in self._drain())

    def _drain(self) -> Iterator[tuple[int, tuple[int, bytes]]]:
        yield from sorted(self._pending.items(), key=lambda item: item[1][0])
        self._pending.clear()

    def _piece(self, prefix: bytes, stream: int, line: bytes) -> bytes:
        data = prefix + line
        return data if self._tty else HEADER.pack(stream, len(data)) + data


def _split(data: bytes) -> list[bytes]:
    """Split after line feeds alone."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines
