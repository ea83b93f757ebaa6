"""A user at a terminal: a command on a pseudo terminal of its own."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Callable

from tests.waiting import SECONDS

_rests: dict[int, bytes] = {}
"""What was read from a terminal beyond what a test has waited for."""


def until(master_fd: int, text: bytes) -> bytes:
    """Read until a text has come, and return all up to its end."""
    seen = _rests.pop(master_fd, b"")
    while text not in seen:
        assert select.select([master_fd], [], [], SECONDS)[0], f"{text!r} did not come, only {seen!r}"
        seen += os.read(master_fd, 4096)
    before, _, _rests[master_fd] = seen.partition(text)
    return before + text


def resize(terminal_fd: int, rows: int, columns: int) -> None:
    """Give a terminal another size."""
    fcntl.ioctl(terminal_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def at_terminal(command: list[str], environment: dict[str, str], talk: Callable[[int], None]) -> int:
    """Run a command on a terminal of 40 rows and 100 columns; return its exit status.

    Args:
        command: The command and its arguments.
        environment: What is in its environment.
        talk: What its user does, given the other end of the terminal.
    """
    master_fd, slave_fd = pty.openpty()
    _rests.pop(master_fd, None)
    resize(slave_fd, 40, 100)
    process = subprocess.Popen(
        ["setsid", "--ctty", *command],  # its own terminal, which tells it of a new size
        stdin=slave_fd,
        stdout=slave_fd,
        stderr=slave_fd,
        env={**environment, "TERM": "xterm"},
    )
    os.close(slave_fd)
    try:
        talk(master_fd)
        return process.wait(20)
    finally:
        process.kill()
        process.wait()
        os.close(master_fd)
