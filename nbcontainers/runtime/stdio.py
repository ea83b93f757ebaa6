"""A container's standard input, output and error: pipes, or a terminal.

The pipes are made ahead of time, so that the child is born with its ends. Which of them are used is known when the
container comes: with a terminal none of the three, without ``open_stdin`` only two.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios

from nbcontainers.runtime import log

_PIPE_BYTES = 1 << 20
_NONE = -1


class Stdio:
    """The shim's side of one container's standard streams.

    Attributes:
        childs_fds: The child's ends: standard input, output and error.
        outputs: What to read from → its stream in the log.
        input_fd: What to write the container's input to, or its terminal; -1 for none.
    """

    __slots__ = ("_master_fd", "_ours", "childs_fds", "input_fd", "outputs")

    def __init__(self) -> None:
        stdin_fd, input_fd = os.pipe2(os.O_CLOEXEC)
        self.childs_fds = [stdin_fd]
        self._ours = [input_fd]
        for _ in range(2):
            read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
            try:
                fcntl.fcntl(read_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            except PermissionError:
                pass  # the user's pipes are at their limit, smaller ones do as well
            os.set_blocking(read_fd, False)
            self.childs_fds.append(write_fd)
            self._ours.append(read_fd)
        self.outputs: dict[int, int] = {}
        self.input_fd = self._master_fd = _NONE

    def close_childs(self) -> None:
        """Close the ends that the child has got, so that their end is seen when the container has closed its own."""
        for fd in self.childs_fds:
            os.close(fd)

    def begin(self, *, tty: bool, open_stdin: bool) -> None:
        """Keep the pipes that this container needs."""
        input_fd, out_fd, err_fd = self._ours
        if open_stdin and not tty:
            self.input_fd = input_fd
        else:
            os.close(input_fd)
        if tty:
            os.close(out_fd)
            os.close(err_fd)
        else:
            self.outputs = {out_fd: log.STDOUT, err_fd: log.STDERR}

    def take_terminal(self, master_fd: int) -> None:
        """Use a terminal, of which the container has the other side."""
        os.set_blocking(master_fd, False)
        self.input_fd = self._master_fd = master_fd
        self.outputs[master_fd] = log.STDOUT

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size; without one nothing happens.

        Source: ioctl_tty(2) § TIOCSWINSZ.
        """
        if self._master_fd >= 0:
            fcntl.ioctl(self._master_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close_input(self) -> None:
        """Close standard input for good; a terminal stays."""
        if self.input_fd >= 0 and self.input_fd != self._master_fd:
            os.close(self.input_fd)
            self.input_fd = _NONE

    def close_output(self, fd: int) -> None:
        """Stop reading from one output."""
        del self.outputs[fd]
        if fd != self._master_fd:
            os.close(fd)


def readable(fd: int) -> bool:
    """Say whether there is something to read now, or the end."""
    return bool(select.select([fd], [], [], 0)[0])
