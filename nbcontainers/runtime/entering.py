"""The engine's half of bringing one more program into a container that runs: a keeper is given it, and reports.

``enter`` returns when the program has been executed, with the program as an ``Entered``: its streams, which the caller
reads and writes, its end, and the means to signal it. Nothing here forks.
"""

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass

from nbcontainers.linux import processes
from nbcontainers.runtime import protocol
from nbcontainers.runtime.client import StartError, receive
from nbcontainers.runtime.launching import Launcher
from nbcontainers.runtime.spec import Spec

NONE = -1
_ATTEMPTS = 8
_CHUNK_BYTES = 256 << 10
_PIPE_BYTES = 1 << 20
_LOST_CODE = 137


@dataclass(slots=True)
class Streams:
    """The engine's ends of a program's standard streams, or of its terminal; -1 for none. None of them blocks.

    With a terminal ``stdin_fd`` and ``stdout_fd`` are the same.
    """

    stdin_fd: int = NONE
    stdout_fd: int = NONE
    stderr_fd: int = NONE

    def close_stdin(self) -> None:
        """Let the program see the end of its input; a terminal stays."""
        if self.stdin_fd not in (NONE, self.stdout_fd):
            os.close(self.stdin_fd)
            self.stdin_fd = NONE

    def close(self) -> None:
        """Close them all."""
        for fd in {self.stdin_fd, self.stdout_fd, self.stderr_fd} - {NONE}:
            os.close(fd)
        self.stdin_fd = self.stdout_fd = self.stderr_fd = NONE


class Entered:
    """A program that was brought into a container.

    Attributes:
        pid: Its process id, as the host sees it.
        streams: Its standard streams; the caller closes them.
        terminal: Whether they are a terminal.
    """

    def __init__(self, pid: int, pidfd: int, streams: Streams, channel: socket.socket, *, terminal: bool) -> None:
        self.pid = pid
        self.streams = streams
        self.terminal = terminal
        self._pidfd = pidfd
        self._channel = channel
        loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = loop.create_future()
        loop.add_reader(channel.fileno(), self._hear)

    def _hear(self) -> None:
        """Take the keeper's last word: the exit code."""
        try:
            code = int(json.loads(protocol.receive(self._channel)[0])["exit"])
        except BlockingIOError:
            return
        except (EOFError, OSError):
            code = _LOST_CODE
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._exit.set_result(code)

    async def wait(self) -> int:
        """Wait until the program has ended, and return its exit code; 137 also when its keeper was killed."""
        return await asyncio.shield(self._exit)

    async def output(self, fd: int) -> AsyncIterator[bytes]:
        """Yield what is written to one of the streams, as it comes.

        It ends when the stream does, or when the program has ended and all is read that is there: a process that the
        program has left behind may hold its streams open for ever.
        """
        while True:
            over = self._exit.done()
            try:
                data = os.read(fd, _CHUNK_BYTES)
            except BlockingIOError:
                if over:
                    return
                await self._readable(fd)
                continue
            except OSError:
                return  # EIO: the last one to hold the terminal has closed it
            if not data:
                return
            yield data

    async def _readable(self, fd: int) -> None:
        """Wait until there is something to read, or the program has ended."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        loop.add_reader(fd, news.set)
        self._exit.add_done_callback(wake := lambda _: news.set())
        try:
            await news.wait()
        finally:
            loop.remove_reader(fd)
            self._exit.remove_done_callback(wake)

    def signal(self, number: int) -> None:
        """Send a signal to the program; one that has ended is no error.

        Source: pidfd_send_signal(2).
        """
        processes.signal_if_alive(self._pidfd, number)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size; without one nothing happens.

        Source: ioctl_tty(2) § TIOCSWINSZ.
        """
        if self.terminal and self.streams.stdout_fd != NONE:
            fcntl.ioctl(self.streams.stdout_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Let go of the keeper; a program that still runs is not touched."""
        if not self._exit.done():
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._exit.cancel()
        self._channel.close()
        os.close(self._pidfd)


async def enter(launcher: Launcher, container_pidfd: int, spec: Spec, *, stdin: bool, output: bool) -> Entered:
    """Bring a program into a container, and return when it has been executed.

    Args:
        launcher: Has keepers.
        container_pidfd: Of the container's first process; the caller's.
        spec: The container's specification, but its process is the program.
        stdin: Whether its standard input is wanted; otherwise it is the null device.
        output: Whether its output is wanted; otherwise all three streams are the null device.

    Raises:
        StartError: It could not be executed; nothing of it is left.
    """
    terminal = spec["process"]["terminal"]
    streams, childs = (Streams(), []) if terminal or not output else _pipes(stdin=stdin)
    try:
        try:
            channel = await _hand_over(launcher, protocol.encode(dict(spec)), [container_pidfd, *childs])
        finally:
            for fd in childs:
                os.close(fd)
        try:
            return await _entered(channel, streams, terminal=terminal)
        except BaseException:
            channel.close()
            raise
    except BaseException:
        streams.close()
        raise
    finally:
        launcher.refill_soon()


async def _hand_over(launcher: Launcher, payload: bytes, fds: list[int]) -> socket.socket:
    """Give the program to a keeper; one that was killed while it waited is passed over."""
    for _ in range(_ATTEMPTS):
        channel = await launcher.take_keeper()
        try:
            protocol.send(channel, payload, fds)
        except OSError as error:
            channel.close()
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise
        else:
            return channel
    raise StartError("prepared keepers were killed again and again", 126)


async def _entered(channel: socket.socket, streams: Streams, *, terminal: bool) -> Entered:
    try:
        payload, fds = await receive(channel)
    except EOFError:
        raise StartError("the program's keeper was killed while it started", 126) from None
    message = json.loads(payload)
    if "error" in message:
        raise StartError(message["error"], message["code"])
    pidfd, *master = fds
    if terminal:
        os.set_blocking(master[0], False)
        streams.stdin_fd = streams.stdout_fd = master[0]
    return Entered(message["started"], pidfd, streams, channel, terminal=terminal)


def _pipes(*, stdin: bool) -> tuple[Streams, list[int]]:
    """Return new pipes: our ends, and the program's."""
    childs: list[int] = []
    streams = Streams()
    try:
        streams.stdout_fd, write_fd = _output_pipe()
        childs.append(write_fd)
        streams.stderr_fd, write_fd = _output_pipe()
        childs.append(write_fd)
        if stdin:
            read_fd, streams.stdin_fd = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(streams.stdin_fd, False)
            childs.append(read_fd)
    except BaseException:
        streams.close()
        for fd in childs:
            os.close(fd)
        raise
    return streams, childs


def _output_pipe() -> tuple[int, int]:
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(PermissionError):  # the user's pipes are at their limit, smaller ones do as well
        fcntl.fcntl(read_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(read_fd, False)
    return read_fd, write_fd
