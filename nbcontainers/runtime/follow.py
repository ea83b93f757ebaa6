"""Following a log as it is written: woken by the kernel (``inotify(7)``), never by a clock."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Self

from nbcontainers.linux.inotify import IN_CREATE, IN_MODIFY, Inotify
from nbcontainers.runtime.log import DIRECTORY, END, Frame, Reader


class Follower:
    """Reads on from a reader's place until the log's end mark, or until told that there will be none.

    In force as soon as it is made, so that nothing written afterwards is missed. Use it in a ``with`` statement.

    Args:
        directory: The container's directory.
        reader: Where to read on from; the follower closes it.
    """

    def __init__(self, directory: str, reader: Reader) -> None:
        self._reader = reader
        self._changed = asyncio.Event()
        self._ended = False
        os.makedirs(f"{directory}/{DIRECTORY}", 0o700, exist_ok=True)
        self._inotify = Inotify()
        self._inotify.add_watch(f"{directory}/{DIRECTORY}", IN_MODIFY | IN_CREATE)
        asyncio.get_running_loop().add_reader(self._inotify.fd, self._written)

    def _written(self) -> None:
        self._inotify.drain()
        self._changed.set()

    def end(self) -> None:
        """Say that nothing more will be written: what is there is read, and that is all."""
        self._ended = True
        self._changed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._inotify.fd)
        # Closing waits for one of the kernel's grace periods: 5 ms that nobody else need wait for.
        loop.run_in_executor(None, self._inotify.close)
        self._reader.close()

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames as they are written, until the end."""
        while True:
            ended = self._ended
            self._changed.clear()
            complete = False
            for frame in self._reader.frames():
                complete = frame.stream == END
                if not complete:
                    yield frame
            if complete or ended:
                return
            await self._changed.wait()
