"""A stock of directories that were made before anybody wants one.

A new file is an *inode* that the file system has to find, to write and to remember in its journal: 0.2 to 1.5 ms each
on ext4, and a container needs ten of them, which is more than the kernel takes for its namespaces and its mounts.
A rename takes 0.03 ms. So directories are made at leisure, with all the files in them that will be wanted, and
whoever wants one takes it by a rename; should none be left, it is made on the spot.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from nbcontainers.linux import files
from nbcontainers.linux.spreading import spread

_MOST = 8


class Stock:
    """Directories of one kind.

    Args:
        directory: Where they lie until they are taken; made when missing, emptied when not: after a crash they may
            be half made. It is on the file system of all places that they are taken to.
        fill: Makes what belongs into an empty directory, given its path.
    """

    def __init__(self, directory: Path, fill: Callable[[str], None]) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.remove_contents(directory)
        spread(directory)
        self._directory = directory
        self._fill = fill
        self._made: deque[str] = deque()

    def take(self, target: Path) -> None:
        """Put a directory at a path where nothing is.

        Raises:
            FileExistsError: Something is there.
            OSError: ENOSPC, the disk is full; nothing is there.

        Source: rename(2).
        """
        if os.path.lexists(target):
            raise FileExistsError(f"'{target}' exists")
        try:
            made = self._made.popleft()
        except IndexError:
            made = self._make()
        os.rename(made, target)

    def _make(self) -> str:
        made = str(self._directory / os.urandom(8).hex())
        try:
            os.mkdir(made, 0o700)
            self._fill(made)
        except BaseException:
            with contextlib.suppress(OSError):
                files.remove_tree(made)
            raise
        return made

    def refill(self) -> None:
        """Make as many as are missing; any thread may call it, one at a time.

        Raises:
            OSError: The disk is full, for example.
        """
        while len(self._made) < _MOST:
            self._made.append(self._make())
