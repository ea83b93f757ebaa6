"""A container's output as the engine has it on disk: parts of it, and what is still to come.

``selected`` reads what there is; ``follow`` goes on from a place until the container ends, woken by the kernel
when the shim writes (``inotify(7)``), never by a clock.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbcontainers.engine.model import Container, ContainerState
from nbcontainers.linux.inotify import IN_CREATE, IN_MODIFY, Inotify
from nbcontainers.runtime import log, rewind
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


class Follower:
    """Reads on from a reader's place until the container's run ends, or the container is removed.

    In force as soon as it is made, so that nothing written afterwards is missed. Use it in a ``with`` statement.
    """

    def __init__(self, engine: "Engine", container: Container, reader: Reader) -> None:
        self._reader = reader
        self._changed = asyncio.Event()
        self._ended = False
        directory = f"{engine.output_directory(container)}/{log.DIRECTORY}"
        os.makedirs(directory, 0o700, exist_ok=True)
        self._inotify = Inotify()
        self._inotify.add_watch(directory, IN_MODIFY | IN_CREATE)
        asyncio.get_running_loop().add_reader(self._inotify.fd, self._written)
        self._ends = [
            asyncio.ensure_future(engine.wait(container.id, condition)) for condition in ("next-exit", "removed")
        ]
        for end in self._ends:
            end.add_done_callback(self._end)

    def _written(self) -> None:
        self._inotify.drain()
        self._changed.set()

    def _end(self, end: "asyncio.Task[ContainerState]") -> None:
        if not end.cancelled():
            end.exception()  # a removed container is an end like any other
        self.finish()

    def finish(self) -> None:
        """Yield what is there, and then no more."""
        self._ended = True
        self._changed.set()

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.cancel()
        asyncio.get_running_loop().remove_reader(self._inotify.fd)
        self._inotify.close()
        self._reader.close()

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames as they are written, until the end."""
        while True:
            ended = self._ended
            self._changed.clear()
            complete = False
            for frame in self._reader.frames():
                complete = frame.stream == log.END
                if not complete:
                    yield frame
            if complete or ended:
                return
            await self._changed.wait()
