"""A container's output as the engine has it on disk: parts of it, and what is still to come.

``selected`` reads what there is; a ``Follower`` goes on from a place until the container ends.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbcontainers.engine.model import Container, ContainerState
from nbcontainers.runtime import follow, log, rewind
from nbcontainers.runtime.log import Frame, Reader
from nbcontainers.runtime.rewind import Place

if TYPE_CHECKING:
    from nbcontainers.engine.engine import Engine

ALL_STREAMS = frozenset((log.STDOUT, log.STDERR))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which part of a log is wanted; times are nanoseconds since the epoch, both included; ``tail`` is in lines."""

    streams: frozenset[int] = ALL_STREAMS
    since_ns: int | None = None
    until_ns: int | None = None
    tail: int | None = None

    def has(self, frame: Frame) -> bool:
        """Say whether a frame belongs to it, its place from the end aside."""
        return (
            frame.stream in self.streams
            and (self.since_ns is None or frame.ns >= self.since_ns)
            and (self.until_ns is None or frame.ns <= self.until_ns)
        )


def place(directory: str, selection: Selection) -> Place:
    """Return where in a log a selection begins."""
    return rewind.find(
        directory,
        selection.streams,
        since_ns=selection.since_ns,
        until_ns=selection.until_ns,
        tail=selection.tail,
    )


def selected(reader: Reader, selection: Selection, place: Place | None = None) -> Iterator[Frame]:
    """Yield the frames of a selection, as far as they are written; of the last lines only those that were counted.

    Args:
        reader: At ``place``, or at the beginning of the log.
        selection: What is wanted.
        place: From ``place()``.
    """
    place = place or Place()
    beginning = Beginning(place)
    for frame in reader.frames():
        if place.end is not None and reader.position > place.end:
            return  # written meanwhile
        if selection.has(frame) and beginning.cut(frame).data:
            yield frame


class Beginning:
    """Leaves out, where reading begins in the midst of a log, what belongs to lines that began before."""

    def __init__(self, place: Place) -> None:
        self._index = place.index
        self._begun = set(ALL_STREAMS) if place.begun else set()

    def cut(self, frame: Frame) -> Frame:
        """Take away what does not belong to the selection from the next frame of it."""
        if self._index:
            frame.data = frame.data[self._index :]
            self._index = 0
            self._begun.discard(frame.stream)
        elif frame.stream in self._begun:
            if not frame.begins:
                _, newline, frame.data = frame.data.partition(b"\n")
                if not newline:
                    return frame
            self._begun.discard(frame.stream)
        return frame


class Follower(follow.Follower):
    """Reads on from a reader's place until the container's run ends, or the container is removed."""

    def __init__(self, engine: "Engine", container: Container, reader: Reader) -> None:
        super().__init__(engine.output_directory(container), reader)
        self._ends = [
            asyncio.ensure_future(engine.wait(container.id, condition)) for condition in ("next-exit", "removed")
        ]
        for end in self._ends:
            end.add_done_callback(self._end)

    def _end(self, end: "asyncio.Task[ContainerState]") -> None:
        if not end.cancelled():
            end.exception()  # a removed container is an end like any other
        self.end()

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.cancel()
        super().__exit__()
