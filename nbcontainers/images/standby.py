"""Root file systems that are mounted before anybody wants them.

An overlay takes the kernel about 2 ms, most of it for the files that overlayfs makes in the work directory to find out
what the file system below can do; a mount point that the image lacks is a new file as well (see ``runtime.stock``).
Whoever has made a container from an image is likely to make another one. So a root file system of that image is
mounted at leisure, detached, with an upper directory that nobody has written to, and with the places in it where
every container has something mounted. A container takes it by a rename of the directory, of which the mount knows
nothing, and a descriptor.

Only one mount at a time may write to an upper directory: who wants to mount it in another way lets go of this one
first.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nbcontainers import errors
from nbcontainers.linux import files
from nbcontainers.runtime import attaching, rootfs
from nbcontainers.runtime.spec import Rootfs

MOST_READY = 2
_MOST_TAKEN = 8
_DIRECTORIES = ("/proc", "/dev", "/sys")
_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is mounted ahead.

    Attributes:
        parent: The committed snapshot that it stands on.
        volatile: Whether its files need not survive a crash of the machine.
    """

    parent: str
    volatile: bool


@dataclass(frozen=True, slots=True)
class _Mounted:
    wanted: Wanted
    directory: str
    fd: int


class Standby:
    """The root file systems that are mounted ahead; its methods may be called from any thread.

    Args:
        directory: Where their directories lie until they are taken; made when missing, emptied when not.
        take_blank: Puts an active snapshot that is empty at a path.
        describe: Returns the root file system to be mounted of such a snapshot, over what it is to stand on.
    """

    def __init__(
        self, directory: Path, take_blank: Callable[[Path], None], describe: Callable[[Path, Wanted], Rootfs]
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.remove_contents(directory)
        self._directory = directory
        self._take_blank = take_blank
        self._describe = describe
        self._wanted: Wanted | None = None
        self._ready: deque[_Mounted] = deque()
        self._taken: dict[str, int] = {}
        self._given_up: list[int] = []
        self._old: list[_Mounted] = []
        self._lock = threading.Lock()

    def take(self, key: str, wanted: Wanted, target: Path) -> bool:
        """Put a snapshot that is mounted at a path where nothing is; False when there is none.

        Args:
            key: The snapshot's key, by which the mount is had from now on.
            wanted: What it is to be; from now on that kind lies ready.
            target: Where its directory goes.
        """
        with self._lock:
            self._wanted = wanted
            if not self._ready or self._ready[0].wanted != wanted or os.path.lexists(target):
                return False
            mounted = self._ready.popleft()
            os.rename(mounted.directory, target)
            self._taken[key] = mounted.fd
            # A container that is not started soon does without.
            while len(self._taken) > _MOST_TAKEN:
                self._given_up.append(self._taken.pop(next(iter(self._taken))))
        return True

    def mount_of(self, key: str) -> int | None:
        """Return a taken snapshot's mount, which is the caller's from now on; None when it has none any more."""
        with self._lock:
            return self._taken.pop(key, None)

    def let_go(self, key: str) -> None:
        """Unmount what a snapshot has still mounted here."""
        if (fd := self.mount_of(key)) is not None:
            os.close(fd)

    def give_up(self, key: str) -> None:
        """Have unmounted later what a snapshot that nobody wants any more has mounted here.

        To unmount waits for the disk: the kernel writes out all that the file system of the upper directory has.
        """
        if (fd := self.mount_of(key)) is not None:
            self._given_up.append(fd)

    def forget(self, parent: str) -> None:
        """Give nobody what stands on a committed snapshot that is about to go; it is unmounted later."""
        with self._lock:
            if self._wanted is not None and self._wanted.parent == parent:
                self._wanted = None
            self._set_aside()

    def _set_aside(self) -> None:
        """Part what is not wanted any more from what is."""
        self._old += [mounted for mounted in self._ready if mounted.wanted != self._wanted]
        self._ready = deque(mounted for mounted in self._ready if mounted.wanted == self._wanted)

    def refill(self) -> None:
        """Mount as many as are missing, in place of those of another kind; any thread may call it, one at a time.

        Raises:
            OSError: The disk is full, for example.
        """
        with self._lock:
            wanted = self._wanted
            self._set_aside()
        self._remove_old()
        while wanted is not None and len(self._ready) < MOST_READY:
            try:
                made = self._mount(wanted)
            except errors.NotFound:  # what it stands on was removed just now
                return
            with self._lock:
                if self._wanted == wanted:
                    self._ready.append(made)
                    continue
            _remove(made)
            return

    def _mount(self, wanted: Wanted) -> _Mounted:
        directory = self._directory / os.urandom(8).hex()
        self._take_blank(directory)
        try:
            fd = rootfs.open_rootfs(self._describe(directory, wanted))
            try:
                _make_mount_points(fd)
            except BaseException:
                os.close(fd)
                raise
        except BaseException:
            with contextlib.suppress(OSError):
                files.remove_tree(str(directory))
            raise
        return _Mounted(wanted=wanted, directory=str(directory), fd=fd)

    def _remove_old(self) -> None:
        with self._lock:
            old, self._old = self._old, []
            given_up, self._given_up = self._given_up, []
        for fd in given_up:
            os.close(fd)
        for mounted in old:
            _remove(mounted)

    def close(self) -> None:
        """Unmount everything."""
        with self._lock:
            self._wanted = None
            self._set_aside()
            self._given_up += self._taken.values()
            self._taken.clear()
        self._remove_old()


def _make_mount_points(root_fd: int) -> None:
    """Make what every container's start would make. What cannot be made here is left to the start, which says why."""
    with contextlib.suppress(OSError):
        for path in _DIRECTORIES:
            os.close(attaching.open_target(root_fd, path, directory=True))
        for path in _FILES:
            os.close(attaching.open_target(root_fd, path, directory=False))


def _remove(mounted: _Mounted) -> None:
    os.close(mounted.fd)
    with contextlib.suppress(OSError):  # the next engine's start removes it
        files.remove_tree(mounted.directory)
