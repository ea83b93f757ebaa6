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
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import click
from docker.utils.socket import STDERR, frames_iter

from nbcontainers.cli.aside import Aside
from nbcontainers.cli.face import Face
from nbcontainers.client import Client
from nbcontainers.detach import DEFAULT_KEYS, DetachKeys, parse_keys

Resize = Callable[[int, int], object]

_CHUNK_BYTES = 64 << 10


class Stream:
    """One hijacked connection; use it in a ``with`` statement.

    It is not of the client's pool: docker-py's HTTP library takes it for idle, and would send the next request into the
    container's standard input. Nor is it left to the garbage collector, for the engine hears its end.

    Args:
        client: The engine.
        begin: Asks for the stream, and returns what docker-py does for ``socket=True``.
        tty: Whether it carries a terminal, that is, no frames.
    """

    def __init__(self, client: Client, begin: Callable[[Client], Any], *, tty: bool) -> None:
        self._client = client.another()
        try:
            self._answer = begin(self._client)
        except BaseException:
            self._client.close()
            raise
        self._tty = tty
        self._feeder: threading.Thread | None = None
        self._over, self._end = socket.socketpair()
        self.socket = cast(socket.socket, getattr(self._answer, "_sock", self._answer))

    @classmethod
    def attached(cls, client: Client, container: str, *, tty: bool, stdin: bool, detach_keys: str = "") -> "Stream":
        """Attach to a container's output from now on, and to its input where that is wanted."""
        asked: dict[str, str | int] = {"stream": 1, "stdin": int(stdin), "stdout": 1, "stderr": 1}
        if detach_keys:
            asked["detachKeys"] = detach_keys
        return cls(client, lambda own: own.api.attach_socket(container, params=asked), tty=tty)

    @classmethod
    def executing(cls, client: Client, made: str, *, tty: bool) -> "Stream":
        """Start an exec that was made, and attach to it."""
        return cls(client, lambda own: own.api.exec_start(made, tty=tty, socket=True), tty=tty)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # whoever sends is let go
        self._end.close()
        if self._feeder is not None:
            self._feeder.join()
        self._over.close()
        self._answer.close()
        self.socket.close()
        self._client.close()

    def show(self, face: Face) -> None:
        """Give all that comes to a face, until the end."""
        for number, data in frames_iter(self._answer, self._tty):
            (face.err if number == STDERR else face.out)(data)

    def feed(self, face: Face, *, end: bool = True) -> None:
        """Send a face's input from a thread, and its end where the program is to have that, too."""
        if face.stdin is None and not face.own_stdin:
            return
        chunks = self._standard_input() if face.stdin is None else iter([face.stdin])
        self._feeder = threading.Thread(target=self._send, args=(chunks, end), daemon=True)
        self._feeder.start()

    def _send(self, chunks: Iterator[bytes], end: bool) -> None:
        with contextlib.suppress(OSError):  # the program has ended before it read everything
            for chunk in chunks:
                self.socket.sendall(chunk)
            if end:
                self.socket.shutdown(socket.SHUT_WR)

    def _standard_input(self) -> Iterator[bytes]:
        """Yield this process's standard input as it comes; what comes when the stream is closed is left to others."""
        stdin_fd = sys.stdin.fileno()
        with selectors.PollSelector() as selector:  # epoll takes no files
            selector.register(stdin_fd, selectors.EVENT_READ)
            selector.register(self._over, selectors.EVENT_READ)
            while all(key.fd == stdin_fd for key, _ in selector.select()):
                data = os.read(stdin_fd, _CHUNK_BYTES)
                if not data:
                    return
                yield data


def refuse_in_cell(face: Face, *, wants_input: bool, tty: bool) -> None:
    """Refuse ``-it`` where nobody can type: the program would wait for ever.

    Raises:
        click.ClickException: Both were asked for in a cell that gives no input.
    """
    if wants_input and tty and face.stdin is None and not face.own_stdin:
        raise click.ClickException(
            "a notebook has no terminal to type in: leave out -it, give the input with %%container and -i, "
            "or run it in a terminal with nbcontainers"
        )


def is_at_terminal(face: Face, *, stdin: bool, tty: bool) -> bool:
    """Say whether a container is to have this process's terminal.

    Raises:
        click.ClickException: It is, but there is none, in docker's words; or this system's cannot be given away.
    """
    if not (stdin and tty and face.stdin is None and face.own_stdin):
        return False
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.ClickException("the input device is not a TTY")
    try:
        import termios  # noqa: F401
    except ImportError:
        raise click.ClickException(
            "this system's terminal cannot be given to a container: leave out --tty, or use docker's command line"
        ) from None
    return True


def size() -> tuple[int, int]:
    """Return the rows and columns of this process's terminal."""
    found = shutil.get_terminal_size()
    return found.lines, found.columns


@contextlib.contextmanager
def size_told(face: Face, resize: Resize) -> Iterator[None]:
    """Tell a container's terminal its rows and columns at once, and whenever those of this process's change."""
    if not (face.own_stdin and sys.stdout.isatty() and hasattr(signal, "SIGWINCH")):
        yield
        return

    with Aside() as aside:
        handler = signal.signal(signal.SIGWINCH, lambda *_: aside.do(lambda: resize(*size())))
        try:
            aside.do(lambda: resize(*size()))
            yield
        finally:
            signal.signal(signal.SIGWINCH, handler)


def at_terminal(face: Face, stream: Stream, resize: Resize, detach_keys: str = "") -> bool:
    """Join a stream to this process's terminal until it ends, or until its user leaves it.

    The engine looks for the detach keys as well. To look here means to know at once why there is nothing more to come.

    Args:
        face: Of a terminal.
        stream: With a terminal.
        resize: Tells the container's terminal its size.
        detach_keys: What the user leaves it with; empty for docker's own.

    Returns:
        Whether the user has left it.
    """
    import termios
    import tty

    stdin_fd = sys.stdin.fileno()
    sys.stdout.flush()
    before = termios.tcgetattr(stdin_fd)
    try:
        tty.setraw(stdin_fd, termios.TCSADRAIN)
        with size_told(face, resize):
            keys = DetachKeys(parse_keys(detach_keys or DEFAULT_KEYS))
            return _join(stream.socket, stdin_fd, sys.stdout.fileno(), keys)
    finally:
        termios.tcsetattr(stdin_fd, termios.TCSADRAIN, before)


def _join(connection: socket.socket, stdin_fd: int, stdout_fd: int, keys: DetachKeys) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(stdin_fd, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == stdin_fd:
                    if data := os.read(stdin_fd, _CHUNK_BYTES):
                        with contextlib.suppress(OSError):  # its end is heard below
                            connection.sendall(data)
                        if keys.feed(data)[1]:
                            return True
                    else:
                        selector.unregister(stdin_fd)
                    continue
                try:
                    data = connection.recv(_CHUNK_BYTES)
                except ConnectionError:
                    data = b""
                if not data:
                    return False
                while data:
                    data = data[os.write(stdout_fd, data) :]
