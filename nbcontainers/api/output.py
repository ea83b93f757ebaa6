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
from nbcontainers.runtime import log
from nbcontainers.runtime.log import Frame, Reader

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


def selected(reader: Reader, selection: Selection, skip_lines: int = 0) -> Iterator[Frame]:
    """Yield the frames of a selection, as far as they are written, without the first ``skip_lines`` lines."""
    for frame in reader.frames():
        if not selection.has(frame):
            continue
        if skip_lines:
            frame.data, skip_lines = skipped(frame.data, skip_lines)
        if frame.data:
            yield frame


def skipped(data: bytes, lines: int) -> tuple[bytes, int]:
    """Leave out so many lines; return what is left, and how many are still to be left out."""
    if not lines:
        return data, 0
    count = data.count(b"\n")
    if count < lines:
        return b"", lines - count
    position = 0
    for _ in range(lines):
        position = data.index(b"\n", position) + 1
    return data[position:], 0


def lines_to_skip(directory: str, selection: Selection) -> int:
    """Return how many lines stand before the last ``tail`` ones of a selection."""
    if selection.tail is None:
        return 0
    reader = Reader(directory)
    count, unfinished = 0, {}
    try:
        for frame in reader.frames():
            if selection.has(frame):
                count += frame.data.count(b"\n")
                unfinished[frame.stream] = not frame.data.endswith(b"\n")
    finally:
        reader.close()
    return max(0, count + sum(unfinished.values()) - selection.tail)


def at_end(directory: str) -> Reader:
    """Return a reader of what will be written from now on."""
    present = log.segments(directory)
    if not present:
        return Reader(directory)
    size = os.stat(f"{directory}/{log.DIRECTORY}/{present[-1]:08d}").st_size
    return Reader(directory, present[-1], size)


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
