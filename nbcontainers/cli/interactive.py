"""A container's streams at the place where a command is given: output as it comes, input, and a terminal of its own.

``Stream`` is one hijacked connection, as attach and exec have it, whatever engine is at its other end. ``at_terminal``
joins one with a terminal to this process's terminal, which is raw for as long: every key goes to the container.

Source: Docker Engine API, § Attach to a container, "Stream format"; termios(3).
"""

import contextlib
import os
import selectors
import shutil
import signal
import socket
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from typing import Any, cast

from docker.utils.socket import STDERR, frames_iter

from nbcontainers.cli.face import Face

_CHUNK_BYTES = 64 << 10


class Stream:
    """One hijacked connection.

    Args:
        answer: What docker-py returns for ``socket=True``.
        tty: Whether it carries a terminal, that is, no frames.
    """

    def __init__(self, answer: Any, *, tty: bool) -> None:
        self._answer = answer
        self._tty = tty
        self.socket = cast(socket.socket, getattr(answer, "_sock", answer))

    def show(self, face: Face) -> None:
        """Give all that comes to a face, until the end."""
        for number, data in frames_iter(self._answer, self._tty):
            (face.err if number == STDERR else face.out)(data)

    def feed(self, chunks: Iterator[bytes], *, end: bool = True) -> None:
        """Send input from a thread, and its end where the program is to have that, too."""
        threading.Thread(target=self._send, args=(chunks, end), daemon=True).start()

    def _send(self, chunks: Iterator[bytes], end: bool) -> None:
        with contextlib.suppress(OSError):  # the program has ended before it read everything
            for chunk in chunks:
                self.socket.sendall(chunk)
            if end:
                self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()
        self.socket.close()


def standard_input() -> Iterator[bytes]:
    """Yield this process's standard input as it comes."""
    while data := os.read(sys.stdin.fileno(), _CHUNK_BYTES):
        yield data


def has_terminal() -> bool:
    """Say whether this process has a terminal to give to a container."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def at_terminal(stream: Stream, resize: Callable[[int, int], object]) -> None:
    """Join a stream to this process's terminal until it ends.

    Args:
        stream: With a terminal.
        resize: Tells the container's terminal its rows and columns; called at once, and whenever ours changes.
    """
    stdin_fd, stdout_fd = sys.stdin.fileno(), sys.stdout.fileno()
    sys.stdout.flush()

    def tell_size(*_: object) -> None:
        size = shutil.get_terminal_size()
        with contextlib.suppress(Exception):  # the program has just ended: there is nothing to resize
            resize(size.lines, size.columns)

    before = termios.tcgetattr(stdin_fd)
    handler = signal.signal(signal.SIGWINCH, tell_size)
    try:
        tty.setraw(stdin_fd, termios.TCSADRAIN)
        tell_size()
        _join(stream.socket, stdin_fd, stdout_fd)
    finally:
        termios.tcsetattr(stdin_fd, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)


def _join(connection: socket.socket, stdin_fd: int, stdout_fd: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(stdin_fd, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == stdin_fd:
                    if data := os.read(stdin_fd, _CHUNK_BYTES):
                        with contextlib.suppress(OSError):  # its end is heard below
                            connection.sendall(data)
                    else:
                        selector.unregister(stdin_fd)
                    continue
                try:
                    data = connection.recv(_CHUNK_BYTES)
                except ConnectionError:
                    data = b""
                if not data:
                    return
                while data:
                    data = data[os.write(stdout_fd, data) :]
