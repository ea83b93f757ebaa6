"""What both versions share: the interface, the record of use, and waiting for groups to be empty."""

from __future__ import annotations

import errno
import os
import time

from nbcontainers.errors import SyscallError
from nbcontainers.linux.cgroups.files import UNLIMITED, read_whole, subdirectories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from nbcontainers.runtime.spec import LinuxResources

PAUSE_SECONDS = 0.001


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
        pids_refused: How often the kernel refused to make one because of the limit.
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
        "pids_refused",
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
        self.pids_refused = 0
        self.io_read_bytes = 0
        self.io_write_bytes = 0
        self.oom_kills = 0

    def as_dict(self) -> dict[str, int]:
        """Return all of it by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Cgroup:
    """One group, whatever the version. ``path`` is as in ``linux.cgroupsPath``.

    As a context manager it is there for the block: at the end its processes are killed and it is removed.
    """

    path: str
    removal_seconds = 5.0
    """How long ``remove`` waits for dying processes."""

    def directories(self) -> list[str]:
        """Return the group's directories: one, or on version 1 one in each hierarchy."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.kill()
        except FileNotFoundError:
            pass  # it was removed in the block
        self.remove()

    def apply(self, resources: LinuxResources) -> None:
        """Set limits, on a new group or on one that is in use; what is not named stays as it is.

        Raises:
            InvalidArgument: A value makes no sense; the message says what would.
            Conflict: More memory is in use than is to be allowed, and cannot be taken back.
            Unavailable: This kernel, or the way it was set up, has no such limit.
            SyscallError: The kernel refuses for another reason.
        """
        raise NotImplementedError

    def attach(self, pid: int) -> None:
        """Move a process into the group; its later children are born there.

        Raises:
            SyscallError: ESRCH, there is no such process; EBUSY on version 2, there are groups below this one.
        """
        raise NotImplementedError

    def enter(self) -> None:
        """Move the calling process, which has a single thread, into the group."""
        raise NotImplementedError

    def entrances(self) -> list[str]:
        """Return the paths of files that let in, one after the other, whoever writes "0" to them.

        The writer, which has a single thread, may have lost sight of the group, and its rights to it: what counts is
        who has opened the files.
        """
        raise NotImplementedError

    def directory_fd(self) -> int:
        """Return a descriptor of the group's directory, on version 2, where a child can be born in a group."""
        raise NotImplementedError

    def procs(self) -> list[int]:
        """Return the process ids in the group and in those below it; none where it is gone."""
        return [
            int(pid) for group in tree(self.directories()[0]) for pid in read_whole(f"{group}/cgroup.procs").split()
        ]

    def freeze(self) -> None:
        """Stop all its processes where they are; returns when the last one has stopped.

        Raises:
            Unavailable: This kernel, or the way it was set up, has no freezer.
            SyscallError: EBUSY, some process cannot be stopped, such as one that waits for a disk; all go on.
        """
        raise NotImplementedError

    def thaw(self) -> None:
        """Let its processes go on."""
        raise NotImplementedError

    def kill(self) -> None:
        """Kill all processes in it and in the groups below it, also those that are about to fork.

        It returns when all were signalled; ``remove`` waits until they have ended.

        Raises:
            SyscallError: EBUSY, the kernel has no means to hold them, and they fork faster than they can be killed.
        """
        raise NotImplementedError

    def usage(self) -> Usage:
        """Return what it has used.

        Raises:
            SyscallError: ENOENT or ENODEV, the group is gone.
        """
        raise NotImplementedError

    def details(self) -> dict[str, dict[str, int]]:
        """Return what the kernel counts beside ``usage``, under its own names, which differ between the versions.

        Returns:
            ``memory``: the lines of ``memory.stat``; on version 1 also ``memory_peak``: ``bytes`` and ``failures``, and
            ``cpu``: nanoseconds by the number of the processor. Empty where a controller is missing.

        Raises:
            SyscallError: ENOENT or ENODEV, the group is gone.
        """
        raise NotImplementedError

    def oom_kills(self) -> int:
        """Return how many of its processes were killed for want of memory; 0 where it is gone."""
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

        Raises:
            SyscallError: ENOENT or ENODEV, the group is gone.

        Source: Documentation/accounting/psi.rst.
        """
        raise NotImplementedError

    def rename(self, path: str) -> None:
        """Give the group another name under the same parent.

        Raises:
            Unavailable: The version has no such thing.
            SyscallError: EEXIST, the name is taken.
        """
        raise NotImplementedError

    def remove(self) -> None:
        """Remove the group; one that is not there is no error. Processes that are dying are waited for.

        Raises:
            SyscallError: EBUSY, it has groups below it, or processes that do not end.

        Source: cgroups(7); rmdir(2).
        """
        self.close()
        deadline = time.monotonic() + self.removal_seconds
        for directory in self.directories():
            while not _removed(directory):
                if below := subdirectories(directory):
                    raise _busy(directory, f"there are groups below it: {', '.join(sorted(below))}")
                if time.monotonic() > deadline:
                    raise _busy(directory, f"it has processes that do not end: {self.procs()}")
                self.wait_until_empty(directory, deadline - time.monotonic())

    def wait_until_empty(self, directory: str, seconds: float) -> None:
        """Wait until one of the group's directories may have no processes any more, or the time is over."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the descriptors that reading has opened."""
        raise NotImplementedError


class Driver:
    """Makes and finds groups.

    Attributes:
        version: 2 where a child can be born in a group, so that nothing has to be prepared; else 1.
        controllers: What can be limited: memory, cpu, cpuset, pids, io, and others that only version 1 has.
    """

    version: int
    controllers: frozenset[str]

    def version_of(self, controller: str) -> int:
        """Return the version of the hierarchy that a controller is in."""
        raise NotImplementedError

    def create(self, path: str, resources: LinuxResources) -> Cgroup:
        """Make a group with limits, and its parents; one that is there already is taken as it is.

        Raises:
            InvalidArgument: See ``Cgroup.apply``; then no group was made.
            Unavailable: See there; or no groups can be made here.
            SyscallError: EACCES or EROFS, this user may not make groups here.
        """
        group = self.open(path)
        made = self.make(path)
        try:
            group.apply(resources)
        except BaseException:
            group.close()
            remove_made(made)
            raise
        return group

    def make(self, path: str) -> list[str]:
        """Make a group's directories, and those of its parents.

        Returns:
            The group's own directories, as far as they were not there already.
        """
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

    def realtime(self) -> bool:
        """Say whether processes of a realtime policy can be limited."""
        raise NotImplementedError


def make_directory(directory: str) -> bool:
    """Make a group's directory; False where it is there already.

    Raises:
        SyscallError: EACCES or EROFS, this user may not; ENOENT, its parent is not there.

    Source: mkdir(2).
    """
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        return False
    except OSError as error:
        hint = "the hierarchy is mounted read-only here" if error.errno == errno.EROFS else ""
        raise SyscallError(error.errno or 0, os.strerror(error.errno or 0), "mkdir", directory, hint) from None
    return True


def remove_made(directories: list[str]) -> None:
    """Remove directories that were just made.

    Raises:
        SyscallError: EBUSY, somebody has put a process there.

    Source: rmdir(2).
    """
    for directory in directories:
        if not _removed(directory):
            raise _busy(directory, "a process was moved into it")


def tree(directory: str) -> list[str]:
    """Return a group's directory and those of all groups below it, parents first.

    Source: cgroups(7).
    """
    found = [directory]
    for group in found:
        found += [f"{group}/{name}" for name in subdirectories(group)]
    return found


def _removed(directory: str) -> bool:
    """Remove a directory, and with it the files that the kernel keeps there; False while the group is in use."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise SyscallError(error.errno or 0, os.strerror(error.errno or 0), "rmdir", directory) from None
    return True


def _busy(directory: str, hint: str) -> SyscallError:
    return SyscallError(errno.EBUSY, os.strerror(errno.EBUSY), "rmdir", directory, hint)
