"""An init process in the container: it takes in orphans, passes signals on, and ends with the program.

Whatever has the number 1 in a namespace of process ids becomes the parent of every process whose own parent ends, and
has to wait for them; and a signal that it has no handler for does nothing to it. Few programs are written for that
part. With ``--init`` a process of ours keeps the number 1 and the program is its child.

It is the very process that has set the container up, which forks once more where it would otherwise have executed the
program: the image needs no binary for it, and nothing of the host is mounted for it. What that costs is one fork, and
2 MB, the pages of a sleeping interpreter that are not shared with the launcher's. It has given up all that the program
may not have either, and it cannot be traced (``PR_SET_DUMPABLE``) by a container without CAP_SYS_PTRACE; the executable
that ``/proc/1/exe`` leads to is on a mount that nobody can write to (see ``launching``).

Source: pid_namespaces(7) § The namespace init process; wait(2).
"""

from __future__ import annotations

import os
import signal

from nbcontainers.linux import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_NAME = "nbc-init"


def fork_program(args: list[str], *, terminal: bool) -> None:
    """Split in two: the child returns, to execute the program; the caller never does, and is the container's init.

    Args:
        args: The program and its arguments, for who looks at the processes.
        terminal: The program is to have the terminal, so that keys such as Ctrl-C mean it.

    Source: fork(2), tcsetpgrp(3).
    """
    # What arrives before somebody waits for it stays pending: a blocked signal is never ignored.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    program = os.fork()
    if program == 0:
        os.setpgid(0, 0)
        if terminal:
            os.tcsetpgrp(0, os.getpid())
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return
    processes.close_range(3)
    processes.set_name(_NAME)
    processes.set_title(f"{_NAME} -- {' '.join(args)}")
    _attend(program)


def _attend(program: int) -> NoReturn:
    """Wait for all children, and pass signals on to the program, until it ends; then end as it did.

    Source: sigwaitinfo(2), wait(2).
    """
    while True:
        number = signal.sigwaitinfo(signal.valid_signals()).si_signo
        if number != signal.SIGCHLD:
            try:
                os.kill(program, number)
            except OSError:
                continue  # it is of another user by now, or has ended
        else:
            _reap(program)


def _reap(program: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
