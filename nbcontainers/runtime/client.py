"""A running container as the engine has it: the connection to its shim, its exit, and how to find it again."""

import asyncio
import contextlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from nbcontainers.errors import Error
from nbcontainers.linux import processes
from nbcontainers.runtime import protocol
from nbcontainers.runtime.supervising import EXIT_NAME, SOCKET_NAME

_ANSWER_SECONDS = 10.0


class StartError(Error):
    """A container could not be started.

    Args:
        message: Why.
        exit_code: 127 when the program does not exist, 126 when it cannot be executed, 125 for all else.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitStatus:
    """How a container ended: its exit code (128 + n for signal n), when, and whether memory ran out."""

    code: int
    finished_at_ns: int
    oom_killed: bool


class ShimConnection:
    """A running container, as its shim presents it.

    Attributes:
        pid: The process id of the container's first process, as the host sees it.
        started_at_ns: When it was started, nanoseconds since the epoch.
        trace: The steps of the start: name, begin, end; nanoseconds of the monotonic clock.
    """

    def __init__(self, channel: socket.socket, started: dict[str, object], pidfd: int, directory: str) -> None:
        self._channel = channel
        self._pidfd = pidfd
        self._directory = directory
        self.pid = int(str(started["pid"]))
        self.started_at_ns = int(str(started["at"]))
        steps = started["trace"]
        self.trace: list[tuple[str, int, int]] = [tuple(step) for step in steps] if isinstance(steps, list) else []
        self._exit: asyncio.Future[ExitStatus | None] | None = None
        self._stdin: list[asyncio.Future[int]] = []

    @property
    def pidfd(self) -> int:
        """The descriptor of the container's first process; it stays this connection's."""
        return self._pidfd

    def signal(self, number: int) -> None:
        """Send a signal to the container's first process; one that has ended is no error.

        Source: pidfd_send_signal(2).
        """
        processes.signal_if_alive(self._pidfd, number)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the container's terminal its size; without a terminal nothing happens."""
        self._ask({"op": "resize", "rows": rows, "columns": columns})

    def close_stdin(self) -> None:
        """Close the container's standard input for good."""
        self._ask({"op": "close-stdin"})

    def _ask(self, message: dict[str, object]) -> None:
        with contextlib.suppress(OSError):
            protocol.send(self._channel, protocol.encode(message))

    async def stdin_fd(self) -> int:
        """Return a descriptor to write to the container's standard input, or to read and write its terminal.

        Returns:
            The descriptor, the caller's to close; -1 when the container has no open standard input.
        """
        self._watch()
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._stdin.append(answer)
        self._ask({"op": "stdin"})
        return await asyncio.wait_for(answer, _ANSWER_SECONDS)

    async def wait(self) -> ExitStatus | None:
        """Wait until the container has ended; None when its shim was killed, and the status lost."""
        return await asyncio.shield(self._watch())

    def _watch(self) -> asyncio.Future[ExitStatus | None]:
        if self._exit is None:
            loop = asyncio.get_running_loop()
            self._exit = loop.create_future()
            loop.add_reader(self._channel.fileno(), self._hear)
        return self._exit

    def _hear(self) -> None:
        """Take one message of the shim's: its exit, or the answer to a question."""
        try:
            payload, fds = protocol.receive(self._channel)
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._ended(read_exit(self._directory))
            return
        message = json.loads(payload)
        if "exit" in message:
            self._ended(_status(message["exit"]))
        elif self._stdin:
            question = self._stdin.pop(0)
            if not question.done():
                question.set_result(fds[0] if fds else -1)
            elif fds:
                os.close(fds[0])  # who asked has given up

    def _ended(self, status: ExitStatus | None) -> None:
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        for question in self._stdin:
            if not question.done():
                question.set_result(-1)
        self._stdin.clear()
        if self._exit is not None and not self._exit.done():
            self._exit.set_result(status)

    def close(self) -> None:
        """Let go of the shim; the container is not touched."""
        if self._channel.fileno() >= 0:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            os.close(self._pidfd)


def _status(message: dict[str, object]) -> ExitStatus:
    return ExitStatus(
        code=int(str(message["code"])), finished_at_ns=int(str(message["at"])), oom_killed=bool(message["oom"])
    )


def read_exit(directory: str) -> ExitStatus | None:
    """Return the exit status that a shim has left in its container's directory, or None."""
    try:
        return _status(json.loads(Path(directory, EXIT_NAME).read_bytes()))
    except (FileNotFoundError, ValueError):
        return None


async def reconnect(directory: str) -> ShimConnection | ExitStatus | None:
    """Find out what became of a container that ran when the last engine ended.

    Returns:
        A connection when it still runs, its exit status when it ended, None when its shim was killed.
    """
    return await asyncio.to_thread(_reconnect, directory)


def _reconnect(directory: str) -> ShimConnection | ExitStatus | None:
    try:
        directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    channel.settimeout(_ANSWER_SECONDS)
    try:
        channel.connect(f"/proc/self/fd/{directory_fd}/{SOCKET_NAME}")
        protocol.send(channel, protocol.encode({"op": "identify"}))
        payload, fds = protocol.receive(channel)
        message = json.loads(payload)
        if "started" in message:
            channel.setblocking(False)
            return ShimConnection(channel, message["started"], fds[0], directory)
    except (OSError, EOFError):
        pass
    finally:
        os.close(directory_fd)
    channel.close()
    return read_exit(directory)


async def receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """Receive one message; see ``protocol.receive``."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return protocol.receive(channel)
        except ConnectionResetError:
            continue  # the other end was closed with our message unread; what it had said before comes next
        except BlockingIOError:
            readable = loop.create_future()
            loop.add_reader(channel.fileno(), readable.set_result, None)
            try:
                await readable
            finally:
                loop.remove_reader(channel.fileno())
