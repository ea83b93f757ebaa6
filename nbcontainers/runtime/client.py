"""The engine's half of the runtime: asks the launcher for containers, and talks to their shims.

Nothing here forks: the launcher is a program of its own, started once, and started again when it was killed.
"""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from nbcontainers.errors import Error
from nbcontainers.linux import processes
from nbcontainers.runtime import protocol
from nbcontainers.runtime.shim import EXIT_NAME, SOCKET_NAME
from nbcontainers.runtime.spec import Request

_PACKAGE_PARENT = Path(__file__).resolve().parents[2]
_PROGRAM = "import sys; sys.path.insert(0, {parent!r}); from nbcontainers.runtime.launcher import main; main()"
PREPARED_SHIMS = 3
_ANSWER_SECONDS = 10.0
_ATTEMPTS = 2 * PREPARED_SHIMS


class StartError(Error):
    """A container could not be started.

    Args:
        message: Why.
        exit_code: 127 when the program does not exist, 126 when it cannot be executed, 125 for all else.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class _UnheardError(Exception):
    """Nobody has read the request."""


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

    def signal(self, number: int) -> None:
        """Send a signal to the container's first process; one that has ended is no error.

        Source: pidfd_send_signal(2).
        """
        try:
            processes.pidfd_send_signal(self._pidfd, number)
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise

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


class Launcher:
    """Starts containers, through shims that the launcher process has prepared.

    Args:
        cgroup_parent: The control group of all this engine's containers, such as ``/nbcontainers/1a2b3c4d``.
    """

    def __init__(self, cgroup_parent: str) -> None:
        self._cgroup_parent = cgroup_parent
        self._control: socket.socket | None = None
        self._prepared: deque[socket.socket] = deque()
        self._asked = 0
        self._waiting: deque[asyncio.Future[socket.socket | None]] = deque()

    def start(self) -> None:
        """Start the launcher process."""
        ours, launchers = protocol.pair()
        program = _PROGRAM.format(parent=str(_PACKAGE_PARENT))
        arguments = [sys.executable, "-I", "-S", "-c", program, str(launchers.fileno()), self._cgroup_parent]
        null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.set_inheritable(launchers.fileno(), True)
            # posix_spawn does not copy the engine's memory as fork would.
            self.pid = os.posix_spawn(
                sys.executable,
                arguments,
                _launcher_environment(),
                file_actions=[(os.POSIX_SPAWN_DUP2, null_fd, fd) for fd in (0, 1)],
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD],
            )
        finally:
            os.close(null_fd)
            launchers.close()
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._take_offer)
        self._refill()

    async def close(self) -> None:
        """End the launcher process and the shims that it has prepared; containers that run are not touched."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._dismiss(), _ANSWER_SECONDS)
        if self._control is not None:
            self._lose_launcher()
            with contextlib.suppress(ChildProcessError):
                await asyncio.to_thread(os.waitpid, self.pid, 0)

    async def _dismiss(self) -> None:
        """Send all prepared shims away, those still in the making as well; returns when they are gone."""
        while self._prepared or (self._asked and self._control is not None):
            if not self._prepared:
                channel = await self._next_offer()
                if channel is None:
                    return
            else:
                channel = self._prepared.popleft()
            channel.shutdown(socket.SHUT_WR)
            with contextlib.suppress(EOFError, OSError):
                await _receive(channel)
            channel.close()

    def _lose_launcher(self) -> None:
        """Let go of a launcher that has ended, or is to end; who waits for a shim of it is told so."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        self._asked = 0
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)

    def _take_offer(self) -> None:
        """Take one prepared shim from the launcher, for whoever has waited longest."""
        if self._control is None:
            return
        try:
            _, fds = protocol.receive(self._control)
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._lose_launcher()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
            return
        self._asked -= 1
        channel = socket.socket(fileno=fds[0])
        channel.setblocking(False)
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(channel)
                return
        self._prepared.append(channel)

    def _ask(self) -> None:
        """Ask the launcher for one more shim; it is offered when it is ready."""
        if self._control is not None:
            with contextlib.suppress(OSError):  # its end will be heard
                protocol.send(self._control, b"{}")
                self._asked += 1

    def _refill(self) -> None:
        while self._control is not None and len(self._prepared) + self._asked - len(self._waiting) < PREPARED_SHIMS:
            asked = self._asked
            self._ask()
            if self._asked == asked:
                return

    async def _take_shim(self) -> socket.socket:
        """Return the socket of a prepared shim; when there is none, of one that is made now."""
        for _ in range(_ATTEMPTS):
            if self._prepared:
                return self._prepared.popleft()
            if self._control is None:
                self.start()
            if self._asked <= len(self._waiting):
                self._ask()
            if channel := await self._next_offer():
                return channel
        raise StartError("the launcher was killed again and again", 125)

    async def _next_offer(self) -> socket.socket | None:
        """Wait for the next shim that is offered; None when the launcher has ended."""
        waiting: asyncio.Future[socket.socket | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return await waiting

    async def launch(self, request: Request, *, network_namespace_fd: int | None = None) -> ShimConnection:
        """Start a container.

        Args:
            request: The container.
            network_namespace_fd: Its network namespace, where the request says ``namespace``; stays the caller's.

        Returns:
            The running container.

        Raises:
            StartError: It could not be started; nothing of it is left.
        """
        payload = protocol.encode(dict(request))
        fds = [] if network_namespace_fd is None else [network_namespace_fd]
        try:
            for _ in range(_ATTEMPTS):
                channel = await self._take_shim()
                try:
                    return await _start(channel, payload, fds, request["directory"])
                except _UnheardError:
                    channel.close()  # the shim was killed while it waited: nothing has begun
                except BaseException:
                    channel.close()
                    raise
            raise StartError("prepared shims were killed again and again", 125)
        finally:
            # Only now: while the container starts, nothing else should.
            self._refill()


async def _start(channel: socket.socket, payload: bytes, fds: list[int], directory: str) -> ShimConnection:
    """Give a prepared shim its container, and hear that it runs.

    When the shim is killed on the way, its socket says how far it has come: it is made before the program runs.
    """
    socket_path = f"{directory}/{SOCKET_NAME}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(socket_path)  # of an earlier run whose shim was killed
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended, and may have said why
        protocol.send(channel, payload, fds)
    try:
        answer, received = await _receive(channel)
    except EOFError:
        if not os.path.exists(socket_path):
            raise _UnheardError from None
        raise StartError("the container's shim was killed while it started", 125) from None
    message = json.loads(answer)
    if "error" in message:
        raise StartError(message["error"], message["code"])
    return ShimConnection(channel, message["started"], received[0], directory)


def _launcher_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}


async def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
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
