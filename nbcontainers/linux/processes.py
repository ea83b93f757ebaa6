"""Processes: started in new namespaces, held by descriptors, signalled without races.

A process id may be given to another process as soon as its owner was waited for; a pidfd always means the process
it was opened for. So everything that lasts longer than a moment holds a pidfd, and what must be found again after
a crash is named by process id *and* start time.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from nbcontainers.linux.libc import (
    SYS_CLONE3,
    SYS_CLOSE_RANGE,
    SYS_PIDFD_OPEN,
    SYS_PIDFD_SEND_SIGNAL,
    libc,
    oserror,
    syscall,
)

CLONE_PIDFD = 0x00001000
CLONE_INTO_CGROUP = 0x200000000
P_PIDFD = 3
CLOSE_RANGE_CLOEXEC = 4

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47

_SIGCHLD = 17
_EVERY_FD = 0xFFFFFFFF
_CLONE_ARGS = struct.Struct("=11Q")
"""``struct clone_args``: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
set_tid_size, cgroup; ``clone(2)`` § clone3()."""

# PyDLL keeps the interpreter's lock across the call: the child has one thread, and that one must hold it.
_python = ctypes.PyDLL(None, use_errno=True)
_python.syscall.restype = ctypes.c_long


def clone(flags: int, cgroup_fd: int = -1) -> tuple[int, int]:
    """Start a child like ``fork(2)``, but in new namespaces, in a given cgroup, and with a pidfd.

    Args:
        flags: ``CLONE_NEW…`` constants from ``namespaces``, combined with ``|``.
        cgroup_fd: A cgroup v2 directory in which the child is to start, or -1 for the caller's own.

    Returns:
        In the parent the child's process id and a pidfd for it; in the child ``(0, -1)``.

    Raises:
        SyscallError: EPERM without CAP_SYS_ADMIN, EAGAIN at a limit on processes, ENOSPC at one on namespaces.

    Source: clone(2) § clone3().
    """
    pidfd = ctypes.c_int(-1)
    into_cgroup = CLONE_INTO_CGROUP if cgroup_fd >= 0 else 0
    arguments = ctypes.create_string_buffer(
        _CLONE_ARGS.pack(
            flags | CLONE_PIDFD | into_cgroup,
            ctypes.addressof(pidfd),
            *(0, 0, _SIGCHLD, 0, 0, 0, 0, 0),
            cgroup_fd if into_cgroup else 0,
        ),
        _CLONE_ARGS.size,
    )
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _python.syscall(ctypes.c_long(SYS_CLONE3), arguments, ctypes.c_size_t(_CLONE_ARGS.size))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0, -1
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        oserror("clone3")
    return pid, pidfd.value


def pidfd_open(pid: int) -> int:
    """Return a descriptor of a process.

    Raises:
        SyscallError: ESRCH when there is no such process.

    Source: pidfd_open(2).
    """
    return syscall("pidfd_open", SYS_PIDFD_OPEN, pid, 0)


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Send a signal to the process behind a descriptor, never to another.

    Raises:
        SyscallError: ESRCH when the process has ended, EINVAL for a number that is no signal.

    Source: pidfd_send_signal(2).
    """
    syscall("pidfd_send_signal", SYS_PIDFD_SEND_SIGNAL, pidfd, signal, None, 0)


def signal_if_alive(pidfd: int, signal: int) -> None:
    """Send a signal to the process behind a descriptor; one that has ended needs none.

    Raises:
        SyscallError: EINVAL for a number that is no signal.

    Source: pidfd_send_signal(2) § ESRCH.
    """
    try:
        pidfd_send_signal(pidfd, signal)
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


def wait_pidfd(pidfd: int) -> int:
    """Wait until a child ends, and reap it.

    Returns:
        Its exit code; 128 + n when signal n ended it, as shells have it.

    Raises:
        OSError: ECHILD when the process is no child of the caller.

    Source: waitid(2) § P_PIDFD.
    """
    result = os.waitid(P_PIDFD, pidfd, os.WEXITED)
    if result is None:
        raise ChildProcessError("the child has not ended")
    if result.si_code == os.CLD_EXITED:
        return result.si_status
    return 128 + result.si_status


def close_range(first: int, last: int = _EVERY_FD, flags: int = 0) -> None:
    """Close the descriptors from ``first`` to ``last``, both included.

    Args:
        first: The lowest descriptor.
        last: The highest; by default there is none.
        flags: ``CLOSE_RANGE_CLOEXEC`` to have them closed by the next ``execve(2)`` instead.

    Raises:
        SyscallError: EINVAL when ``first`` is above ``last``.

    Source: close_range(2).
    """
    syscall("close_range", SYS_CLOSE_RANGE, first, last, flags)


def keep_only(descriptors: list[int]) -> None:
    """Close every descriptor but these.

    Raises:
        SyscallError: See ``close_range``.

    Source: close_range(2).
    """
    first = 0
    for fd in sorted(set(descriptors)):
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def prctl(option: int, argument: int = 0, name: str = "prctl", *, second: int = 0) -> None:
    """Operate on the calling process.

    Args:
        option: A ``PR_…`` constant.
        argument: The option's first argument.
        name: What to call it in the error.
        second: The option's second argument.

    Raises:
        SyscallError: EINVAL for an option that the kernel does not know.

    Source: prctl(2).
    """
    if libc.prctl(option, argument, second, 0, 0) < 0:
        oserror(name)


def set_parent_death_signal(signal: int) -> None:
    """Have the kernel send ``signal`` to the caller when the thread that started it ends.

    The setting is forgotten when the caller changes its user id or executes a set-user-id program.

    Raises:
        SyscallError: EINVAL for a number that is no signal.

    Source: prctl(2) § PR_SET_PDEATHSIG.
    """
    prctl(PR_SET_PDEATHSIG, signal, "prctl(PR_SET_PDEATHSIG)")


def set_dumpable(dumpable: bool) -> None:
    """Allow or forbid that others of the same user trace the caller or open its ``/proc`` files.

    Raises:
        SyscallError: Never, on Linux as it is.

    Source: prctl(2) § PR_SET_DUMPABLE.
    """
    prctl(PR_SET_DUMPABLE, int(dumpable), "prctl(PR_SET_DUMPABLE)")


def set_no_new_privs() -> None:
    """Promise for the caller and its descendants that no ``execve(2)`` gives privileges.

    Raises:
        SyscallError: Never, on Linux as it is.

    Source: prctl(2) § PR_SET_NO_NEW_PRIVS.
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1, "prctl(PR_SET_NO_NEW_PRIVS)")


def set_child_subreaper() -> None:
    """Have the caller become the parent of descendants whose own parent ends.

    Raises:
        SyscallError: Never, on Linux as it is.

    Source: prctl(2) § PR_SET_CHILD_SUBREAPER.
    """
    prctl(PR_SET_CHILD_SUBREAPER, 1, "prctl(PR_SET_CHILD_SUBREAPER)")


def renice(nice: int) -> None:
    """Set the caller's priority, from -20 for the highest to 19 for the lowest, unless it is that already.

    Raises:
        PermissionError: A higher priority than now, without CAP_SYS_NICE.

    Source: setpriority(2).
    """
    if os.getpriority(os.PRIO_PROCESS, 0) != nice:
        os.setpriority(os.PRIO_PROCESS, 0, nice)


def may_renice() -> bool:
    """Say whether a process that has lowered its priority could raise it again; tried out by a child.

    Source: setpriority(2) § Errors; getrlimit(2) § RLIMIT_NICE.
    """
    pid = os.fork()
    if pid == 0:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        try:
            renice(19)
            renice(nice)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def set_name(name: str) -> None:
    """Name the calling thread, as ``ps`` shows it; 15 bytes at most.

    Raises:
        SyscallError: Never, on Linux as it is.

    Source: prctl(2) § PR_SET_NAME.
    """
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    prctl(PR_SET_NAME, ctypes.addressof(buffer), "prctl(PR_SET_NAME)")


def set_title(title: str) -> None:
    """Show ``title`` in place of the calling process's arguments, cut to the room that these have.

    Raises:
        OSError: EACCES or ENOENT, ``/proc`` is not there.

    Source: proc_pid_cmdline(5); proc_pid_stat(5), fields 48 and 49.
    """
    with open("/proc/self/stat", "rb") as file:
        stat = file.read()
    begin, end = (int(field) for field in stat[stat.rindex(b")") + 2 :].split()[45:47])
    ctypes.memmove(begin, title.encode()[: end - begin - 1].ljust(end - begin, b"\0"), end - begin)


def boot_id() -> str:
    """Return what tells this run of the machine from others.

    Source: random(4) § /proc interfaces.
    """
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_time_ticks(pid: int | str = "self") -> int:
    """Return when a process was started, in clock ticks since boot: with its id, this names it for good.

    Raises:
        OSError: ENOENT when there is no such process.

    Source: proc_pid_stat(5), field 22.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        stat = file.read()
    # The second field, the program's name, may itself hold blanks and parentheses.
    return int(stat[stat.rindex(b")") + 2 :].split()[19])
