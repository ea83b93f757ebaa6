"""Killing a whole group where the kernel has no call for it: version 1, and version 2 before Linux 5.14."""

from __future__ import annotations

import errno
import os
import signal
import time

from nbcontainers.errors import SyscallError, Unavailable
from nbcontainers.linux import processes
from nbcontainers.linux.cgroups.common import PAUSE_SECONDS, Cgroup

_CHASE_SECONDS = 5.0
_CHASED_AT_ONCE = 256


def kill_all(group: Cgroup) -> None:
    """Kill every process of a group by signals, also those that fork.

    While the group is frozen none of its processes can fork, end, or leave its number to another, so one pass over
    them is complete. Where it cannot be frozen they are chased until none is left.

    Args:
        group: The group; it is thawed afterwards, for on version 1 the frozen cannot die.

    Raises:
        SyscallError: EBUSY, they could not be frozen, and fork faster than they can be killed.

    Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst; kill(2).
    """
    try:
        group.freeze()
    except (OSError, Unavailable):
        _chase(group)
        return
    try:
        for pid in group.procs():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    finally:
        group.thaw()


def _chase(group: Cgroup) -> None:
    deadline = time.monotonic() + _CHASE_SECONDS
    while _kill_some(group):
        if time.monotonic() > deadline:
            reason = f"{len(group.procs())} processes that cannot be frozen are left"
            raise SyscallError(errno.EBUSY, os.strerror(errno.EBUSY), "kill", group.path, reason)
        time.sleep(PAUSE_SECONDS)


def _kill_some(group: Cgroup) -> bool:
    """Kill some processes of a group that may change meanwhile; False when it has none.

    A process is only signalled by a descriptor that was opened before it was seen in the group: so whoever has got
    its number since is not hit.
    """
    fds: dict[int, int] = {}
    try:
        for pid in group.procs()[:_CHASED_AT_ONCE]:
            try:
                fds[pid] = processes.pidfd_open(pid)
            except OSError:
                continue
        for pid in fds.keys() & set(group.procs()):
            try:
                processes.pidfd_send_signal(fds[pid], signal.SIGKILL)
            except OSError:
                continue
    finally:
        for fd in fds.values():
            os.close(fd)
    return bool(group.procs())
