"""Seeing a container through: from before its program runs until its end has been told.

A shim does five things for the container that it has started: it writes the log, answers the engine, waits for the
end, leaves the exit status on disk, and goes. It needs no engine for that; one that comes later finds it by its socket.
The order at the end is: the output to its last byte, the status on disk, the socket gone, then the word to the engine.
"""

from __future__ import annotations

import json
import os
import select
import time

from nbcontainers.linux import processes
from nbcontainers.runtime import log, protocol, stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.linux.cgroups import Cgroup
    from nbcontainers.runtime.protocol import Socket
    from nbcontainers.runtime.spec import Request

SOCKET_NAME = "shim.sock"
EXIT_NAME = "exit.json"
EXIT_TEMPORARY = f".{EXIT_NAME}.tmp"
_CHUNK_BYTES = 512 << 10


class Supervisor:
    """One container's log, socket and exit status; all is ready before the program may be said to run.

    Args:
        request: What the engine has asked for.
        streams: The container's standard streams.

    Raises:
        OSError: The container's directory cannot be written to.
    """

    def __init__(self, request: Request, streams: stdio.Stdio) -> None:
        self._stdio = streams
        self._directory_fd = os.open(request["directory"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._log = log.Writer(
                request["directory"],
                request["logMaxBytes"],
                request["logMaxFiles"],
                compress=request.get("logCompress", False),
            )
            self._stdio.begin(tty=request["tty"], open_stdin=request["openStdin"])
            self._remove(EXIT_NAME)  # of an earlier run
            self._listen()
        except BaseException:
            self.withdraw()
            raise

    def withdraw(self) -> None:
        """Take back what tells others that the container runs."""
        self._remove(SOCKET_NAME)

    def _listen(self) -> None:
        # A path of 108 bytes at most fits a socket's address: name the directory by descriptor.
        path = f"/proc/self/fd/{self._directory_fd}/{SOCKET_NAME}"
        self._listening = protocol.listen(path)

    def _remove(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._directory_fd)
        except FileNotFoundError:
            return

    def supervise(
        self, report: Socket, pidfd: int, started: dict[str, object], group: Cgroup | None, *, kill_rest: bool
    ) -> None:
        """Log, answer and wait, until the container has ended, and tell that.

        Args:
            report: The engine that has started it.
            pidfd: The container's first process.
            started: What the engine was told of it, and others will be.
            group: The container's control group, if it has one.
            kill_rest: The kernel does not end the container's other processes with the first: they have to be killed.
        """
        self._pidfd = pidfd
        self._started = started
        self._serve(report)
        self._finish(group, kill_rest=kill_rest)

    def _serve(self, report: Socket) -> None:
        poll = select.epoll(flags=select.EPOLL_CLOEXEC)
        poll.register(self._pidfd, select.EPOLLIN)
        poll.register(self._listening.fileno(), select.EPOLLIN)
        for fd in self._stdio.outputs:
            poll.register(fd, select.EPOLLIN)
        self._connections = {report.fileno(): report}
        poll.register(report.fileno(), select.EPOLLIN)
        running = True
        while running:
            for fd, _ in poll.poll():
                if fd in self._stdio.outputs:
                    if not self._copy(fd):
                        poll.unregister(fd)
                        self._stdio.close_output(fd)
                elif fd == self._pidfd:
                    running = False
                elif fd == self._listening.fileno():
                    connection = self._listening.accept()[0]
                    self._connections[connection.fileno()] = connection
                    poll.register(connection.fileno(), select.EPOLLIN)
                elif not self._answer(self._connections[fd]):
                    poll.unregister(fd)
                    self._connections.pop(fd).close()

    def _copy(self, fd: int) -> bool:
        """Move what is there from a pipe or terminal to the log; False at its end."""
        try:
            data = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False  # EIO: the last one to hold the terminal has closed it
        if data:
            try:
                self._log.write(self._stdio.outputs[fd], data, time.time_ns())
            except OSError:
                return True  # the disk is full: the container goes on, its output is lost
        return bool(data)

    def _answer(self, connection: Socket) -> bool:
        """Do what an engine asks; False when it has gone."""
        try:
            payload, _ = protocol.receive(connection)
            message = json.loads(payload)
            if message["op"] == "stdin":
                fd = self._stdio.input_fd
                protocol.send(connection, b"{}", [] if fd < 0 else [fd])
            elif message["op"] == "close-stdin":
                self._stdio.close_input()
            elif message["op"] == "resize":
                self._stdio.resize(message["rows"], message["columns"])
            elif message["op"] == "identify":
                protocol.send(connection, protocol.encode(self._started), [self._pidfd])
        except (EOFError, OSError):
            return False
        return True

    def _finish(self, group: Cgroup | None, *, kill_rest: bool) -> None:
        """Record and report the end; what takes long comes after."""
        code = processes.wait_pidfd(self._pidfd)
        finished_ns = time.time_ns()
        if kill_rest and group is not None:
            group.kill()
        for fd in list(self._stdio.outputs):
            self._drain(fd)
        try:
            self._log.close(time.time_ns())
        except OSError:
            pass  # a full disk: readers take the exit status for the end
        oom_kills = group.oom_kills() if group is not None else 0
        status: dict[str, object] = {"code": code, "at": finished_ns, "oom": oom_kills > 0}
        try:
            self._leave_status(status)
        except OSError:
            pass  # as above; the engine that is connected hears it all the same
        os.unlink(SOCKET_NAME, dir_fd=self._directory_fd)
        for connection in self._connections.values():
            say(connection, {"exit": status})

    def _drain(self, fd: int) -> None:
        """Copy the rest; not until the end of file, for a descriptor may have escaped the container."""
        while stdio.readable(fd):
            if not self._copy(fd):
                return

    def _leave_status(self, status: dict[str, object]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(EXIT_TEMPORARY, flags, 0o600, dir_fd=self._directory_fd)
        os.write(fd, protocol.encode(status))
        os.close(fd)
        os.rename(EXIT_TEMPORARY, EXIT_NAME, src_dir_fd=self._directory_fd, dst_dir_fd=self._directory_fd)


def say(connection: Socket, message: dict[str, object]) -> None:
    """Tell somebody something, who may have gone."""
    try:
        protocol.send(connection, protocol.encode(message))
    except OSError:
        return
