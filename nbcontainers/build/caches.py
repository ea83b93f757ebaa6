"""The directories behind ``RUN --mount=type=cache``: they outlive builds, and builds share them.

    shared    any number of commands use the directory at once
    locked    one command at a time; the others wait
    private   a command that finds it in use gets another one

Each cache is a directory named after a digest of its id, with one directory inside for each private copy.

Source: Dockerfile reference § RUN --mount=type=cache.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from nbcontainers.build.runmounts import RunMount
from nbcontainers.linux import files

Fill = Callable[[str], None]
_DEFAULT_MODE = 0o755


class Caches:
    """All caches of one engine.

    Args:
        root: Where they are kept; made when missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._root.glob("*/.new-*"):
            files.remove_tree(str(leftover))
        self._users: dict[str, int] = {}
        self._locked: set[str] = set()
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def lease(self, mount: RunMount, name: str, fill: Fill) -> AsyncIterator[str]:
        """Give a command a cache's directory for as long as the context lasts.

        Args:
            mount: What was asked for.
            name: The cache's id.
            fill: Puts what a new directory is to begin with into it.
        """
        cache = self._root / hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        path = await self._take(mount, cache)
        try:
            await asyncio.to_thread(_make, mount, path, fill)
            yield path
        finally:
            async with self._changed:
                self._users[path] -= 1
                if not self._users[path]:
                    del self._users[path]
                self._locked.discard(path)
                self._changed.notify_all()

    async def _take(self, mount: RunMount, cache: Path) -> str:
        """Choose a directory, and wait for it where it must be waited for."""
        async with self._changed:
            path = str(cache / "0")
            if mount.sharing == "private":
                number = 0
                while path in self._users:
                    number += 1
                    path = str(cache / str(number))
                self._locked.add(path)
            elif mount.sharing == "locked":
                await self._changed.wait_for(lambda: path not in self._users)
                self._locked.add(path)
            else:
                await self._changed.wait_for(lambda: path not in self._locked)
            self._users[path] = self._users.get(path, 0) + 1
            return path

    def places(self) -> list[tuple[str, bool]]:
        """Return the directories, and whether a command uses each."""
        return [(str(path), str(path) in self._users) for path in self._root.glob("*/*") if path.name.isdigit()]

    @staticmethod
    def size_bytes(path: str) -> int:
        """Return how many bytes the files of a directory have."""
        return sum(os.lstat(inside).st_size for inside in files.walk(path))

    def remove(self, name: str) -> int:
        """Remove the directory of a record, unless a command uses it; returns how many bytes that were."""
        path = str(self._root.joinpath(*name.rsplit("-", 1)))
        if path in self._users or not os.path.isdir(path):
            return 0
        freed = self.size_bytes(path)
        files.remove_tree(path)
        return freed


def _make(mount: RunMount, path: str, fill: Fill) -> None:
    """Make a cache's directory, whole or not at all."""
    if os.path.isdir(path):
        return
    directory, name = os.path.split(path)
    os.makedirs(directory, 0o700, exist_ok=True)
    temporary = f"{directory}/.new-{name}-{os.urandom(4).hex()}"
    os.mkdir(temporary)
    try:
        fill(temporary)
        os.chmod(temporary, _DEFAULT_MODE if mount.mode is None else mount.mode)
        os.chown(temporary, mount.uid, mount.gid)
        os.rename(temporary, path)
    except BaseException:
        files.remove_tree(temporary)
        if not os.path.isdir(path):  # else another command of the same kind was faster
            raise
