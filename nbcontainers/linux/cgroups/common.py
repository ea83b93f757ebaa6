"""What both versions share: the interface, the record of use, and reading the kernel's small files."""

from __future__ import annotations

import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from nbcontainers.runtime.spec import LinuxResources

_DYING_SECONDS = 2.0
_PAUSE_SECONDS = 0.001
UNLIMITED = 0
"""How a limit that is not set shows in ``Usage``."""


class Usage:
    """What a group has used, at one moment.

    Attributes:
        memory_bytes: In use now, with the page cache.
        memory_limit_bytes: The limit, 0 for none.
        memory_cache_bytes: Of it, inactive file cache, which the kernel can take back at once.
        cpu_total_ns: Processor time used since the group was made.
        cpu_user_ns: Of it, outside the kernel.
        cpu_system_ns: Of it, inside the kernel.
        cpu_periods: Scheduling periods in which the group ran under a quota.
        cpu_throttled_periods: Of them, those in which it used its quota up.
        cpu_throttled_ns: How long it was held back.
        pids: Processes and threads now.
        pids_limit: The limit, 0 for none.
        io_read_bytes: Read from block devices.
        io_write_bytes: Written to block devices.
        oom_kills: Processes that the kernel killed for want of memory.
    """

    __slots__ = (
        "cpu_periods",
        "cpu_system_ns",
        "cpu_throttled_ns",
        "cpu_throttled_periods",
        "cpu_total_ns",
        "cpu_user_ns",
        "io_read_bytes",
        "io_write_bytes",
        "memory_bytes",
        "memory_cache_bytes",
        "memory_limit_bytes",
        "oom_kills",
        "pids",
        "pids_limit",
    )

    def __init__(self) -> None:
        self.memory_bytes = 0
        self.memory_limit_bytes = UNLIMITED
        self.memory_cache_bytes = 0
        self.cpu_total_ns = 0
        self.cpu_user_ns = 0
        self.cpu_system_ns = 0
        self.cpu_periods = 0
        self.cpu_throttled_periods = 0
        self.cpu_throttled_ns = 0
        self.pids = 0
        self.pids_limit = UNLIMITED
        self.io_read_bytes = 0
        self.io_write_bytes = 0
        self.oom_kills = 0

    def as_dict(self) -> dict[str, int]:
        """Return all of it by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Files:
    """The files of one directory in a hierarchy, kept open once they were read.

    A file in which the kernel tells something can be read again and again from the start: one ``pread(2)`` instead
    of open, read and close, and it works until the group is gone.
    """

    __slots__ = ("_fds", "directory")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._fds: dict[str, int] = {}

    def read(self, name: str) -> bytes:
        """Return a file's content; empty where the kernel has no such file."""
        fd = self._fds.get(name)
        if fd is None:
            try:
                fd = os.open(f"{self.directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return b""
            self._fds[name] = fd
        try:
            return os.pread(fd, 65536, 0)
        except OSError:
            return b""

    def number(self, name: str) -> int:
        """Return a file's number; 0 where there is none, or where it says ``max``."""
        text = self.read(name).strip()
        return int(text) if text.lstrip(b"-").isdigit() else UNLIMITED

    def table(self, name: str) -> dict[bytes, int]:
        """Return a file of ``key number`` lines."""
        words = self.read(name).split()
        return {words[i]: int(words[i + 1]) for i in range(0, len(words) - 1, 2)}

    def write(self, name: str, value: str) -> None:
        """Write a value into a file.

        Raises:
            OSError: The kernel refuses the value, or has no such file.
        """
        fd = os.open(f"{self.directory}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close what was opened."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()


class Cgroup:
    """One group, whatever the version. ``path`` is as in ``linux.cgroupsPath``.

    As a context manager it is there for the block: at the end its processes are killed and it is removed.
    """

    path: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.kill()
        except FileNotFoundError:
            pass  # it was removed in the block
        self.remove()

    def apply(self, resources: LinuxResources) -> None:
        """Set limits.

        Raises:
            OSError: The kernel refuses a value.
            Unavailable: No controller here can hold that limit.
        """
        raise NotImplementedError

    def attach(self, pid: int) -> None:
        """Move a process into the group; its later children are born there."""
        raise NotImplementedError

    def directory_fd(self) -> int:
        """Return a descriptor of the group's directory, on version 2, where a child can be born in a group."""
        raise NotImplementedError

    def procs(self) -> list[int]:
        """Return the process ids in the group."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Stop all its processes where they are."""
        raise NotImplementedError

    def thaw(self) -> None:
        """Let its processes go on."""
        raise NotImplementedError

    def kill(self) -> None:
        """Kill all its processes; returns when they were signalled."""
        raise NotImplementedError

    def usage(self) -> Usage:
        """Return what it has used."""
        raise NotImplementedError

    def oom_kills(self) -> int:
        """Return how many of its processes were killed for want of memory."""
        raise NotImplementedError

    def events(self) -> dict[str, int]:
        """Return how often each limit was felt, since the group was made.

        Returns:
            ``oom_kills``: processes that were killed for want of memory; ``forks_refused``: by the limit of pids;
            ``cpu_throttled_periods``: those in which the quota was used up.
        """
        raise NotImplementedError

    def pressure(self) -> dict[str, dict[str, float]]:
        """Return how long its processes waited, by resource, in percent; empty where the kernel does not tell.

        Source: Documentation/accounting/psi.rst.
        """
        raise NotImplementedError

    def rename(self, path: str) -> None:
        """Give the group another name under the same parent.

        Raises:
            OSError: The version has no such thing, or the name is taken.
        """
        raise NotImplementedError

    def remove(self) -> None:
        """Remove the group; one that is not there is no error.

        Raises:
            OSError: EBUSY while it has processes or groups below it.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the descriptors that reading has opened."""
        raise NotImplementedError


class Driver:
    """Makes and finds groups."""

    version: int
    controllers: frozenset[str]

    def create(self, path: str, resources: LinuxResources) -> Cgroup:
        """Make a group with limits, and its parents; one that is there already is taken as it is."""
        raise NotImplementedError

    def open(self, path: str) -> Cgroup:
        """Return a group, which need not exist."""
        raise NotImplementedError

    def children(self, path: str) -> set[str]:
        """Return the names of the groups directly below ``path``."""
        raise NotImplementedError

    def swap_limit(self) -> bool:
        """Say whether swap can be limited."""
        raise NotImplementedError


def remove_directory(directory: str) -> None:
    """Remove a group's directory; the kernel removes the files in it.

    A process that was killed leaves its group a moment after its parent has heard of its end, and version 1 tells
    nobody when: a group without groups below it is waited for, for as long as a dying process may take.

    Raises:
        OSError: EBUSY, there are groups below it, or processes that do not end.
    """
    deadline = time.monotonic() + _DYING_SECONDS
    while True:
        try:
            return os.rmdir(directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EBUSY or subdirectories(directory) or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def subdirectories(directory: str) -> set[str]:
    """Return the names of the groups in a group's directory."""
    try:
        return {entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)}
    except FileNotFoundError:
        return set()
