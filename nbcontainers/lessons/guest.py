"""The notebook's side: start a guest, tell it what to do, hear what came of it.

A notebook's kernel has threads. ``fork(2)`` copies only the thread that calls it, with all locks as they are, so a
forked kernel may wait for ever for a lock whose holder does not exist; ``unshare(2)`` would change one thread of the
kernel and not the others. So the kernel *executes* a new Python instead (``vfork`` and ``exec``, by ``subprocess``),
and that one forks and unshares. The engine does the same with its launcher.
"""

import inspect
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable
from typing import Any

from nbcontainers.lessons.inside import LIMIT_BYTES
from nbcontainers.linux import processes

_PROGRAM = "from nbcontainers.lessons.inside import main; main()"
_CREDENTIALS = struct.Struct("=3i")
_END_SECONDS = 2.0
_CHUNK_BYTES = 64 << 10


class GuestError(Exception):
    """The guest could not do what it was told; the message is the guest's own traceback, or says how it ended."""


class Guest:
    """A small Python process to experiment with. As a context manager it ends with the block.

    Attributes:
        pid: The process that answered last, as the notebook's pid namespace has it: another one than at first when
            the guest has forked and its child goes on.
        exit_code: None while it lives; 128 + n when signal n has ended it, as shells have it.
    """

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._output_fd, output_fd = os.pipe()
        os.set_blocking(self._output_fd, False)
        command = [sys.executable, "-I", "-c", _PROGRAM, str(theirs.fileno())]
        with theirs:
            # A session of its own: an interrupt of the kernel is not meant for it.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output_fd,
                stderr=output_fd,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        os.close(output_fd)
        # By process id: the one that was started here, and others that have answered since.
        self._pidfds = {self._process.pid: processes.pidfd_open(self._process.pid)}
        self._finalizer = weakref.finalize(self, _end, self._process, self._pidfds, self._channel, self._output_fd)
        self._answer: tuple[str, Any] | None = None
        self._hung_up = False
        self.pid = self._process.pid
        self.exit_code: int | None = None
        self._waiting = True
        self.wait()

    def __enter__(self) -> "Guest":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, source: str) -> Any:
        """Execute statements in the guest, and return the value of the last one if it is an expression.

        Raises:
            GuestError: They raised an exception, or the guest has ended.
        """
        self._send(source, "", ())
        return self.wait()

    def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function in the guest, and return its value. It finds the guest's names, not the notebook's.

        Raises:
            GuestError: It raised an exception, or the guest has ended.
        """
        self.start(function, *arguments)
        return self.wait()

    def start(self, function: Callable[..., Any], *arguments: object) -> None:
        """Have the guest begin with a function, and return at once.

        Raises:
            GuestError: It is still busy, or has ended.
        """
        self._send(textwrap.dedent(inspect.getsource(function)), function.__name__, arguments)

    def _send(self, source: str, function: str, arguments: tuple[object, ...]) -> None:
        if self.exit_code is not None:
            raise GuestError(f"the guest has ended, with exit code {self.exit_code}")
        if self._waiting:
            raise GuestError("the guest is still busy")
        self._answer = None
        self._channel.send(pickle.dumps((source, function, arguments)))
        self._waiting = True

    @property
    def busy(self) -> bool:
        """Whether the guest lives and has not answered yet."""
        self._listen(0)
        return self._waiting

    def wait(self) -> Any:
        """Wait until the guest has done what it was told, and return the value.

        Raises:
            GuestError: It raised an exception, or the guest has ended.
        """
        while self._waiting:
            self._listen(None)
        if self._answer is None:
            raise GuestError(f"the guest has ended, with exit code {self.exit_code}")
        kind, value = self._answer
        if kind == "error":
            raise GuestError(f"in the guest:\n{value}")
        return value

    def _listen(self, timeout_ms: int | None) -> None:
        """Take the answer when there is one, or the end; pass on what was printed."""
        if not self._waiting:
            return
        channel_fd, first_pidfd = self._channel.fileno(), self._pidfds[self._process.pid]
        poll = select.poll()
        for fd in (self._output_fd, first_pidfd, *(() if self._hung_up else (channel_fd,))):
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(timeout_ms)}
        if channel_fd in ready and self._receive():
            self._waiting = False
        elif first_pidfd in ready:
            self._waiting = False
            self.exit_code = _exit_code(self._process)
        self._print()

    def _receive(self) -> bool:
        """Take an answer, and learn who gave it; False when nobody is left to answer."""
        message, ancillary, _, _ = self._channel.recvmsg(LIMIT_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
        if not message:
            self._hung_up = True
            return False
        self._answer = pickle.loads(message)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                self.pid = _CREDENTIALS.unpack(data)[0]
        if self.pid not in self._pidfds:
            self._pidfds[self.pid] = processes.pidfd_open(self.pid)
        return True

    def _print(self) -> None:
        """Write what has come from the guest's standard output and error."""
        pieces = []
        try:
            while piece := os.read(self._output_fd, _CHUNK_BYTES):
                pieces.append(piece)
        except BlockingIOError:
            pass
        if pieces:
            sys.stdout.write(b"".join(pieces).decode(errors="replace"))

    def close(self) -> None:
        """End the guest, whatever it does, and reap it.

        Raises:
            GuestError: It does not end, as a process in a frozen control group of version 1 does not.
        """
        if not self._finalizer.alive:
            return
        self._waiting = False
        self._print()
        if not _end(self._process, self._pidfds, self._channel, self._output_fd):
            raise GuestError(f"the guest, process {self._process.pid}, does not end: is its control group frozen?")
        self._finalizer.detach()
        self.exit_code = _exit_code(self._process)


def _end(process: "subprocess.Popen[bytes]", pidfds: dict[int, int], channel: socket.socket, output_fd: int) -> bool:
    """Kill a guest and reap it, or return False; it may then be tried again.

    The child that went on is killed first: the guest that forked it waits for it, reaps it, and ends by itself.
    """
    channel.close()
    first_pidfd = pidfds[process.pid]
    for pidfd in (*(pidfd for pid, pidfd in pidfds.items() if pid != process.pid), first_pidfd):
        try:
            processes.pidfd_send_signal(pidfd, signal.SIGKILL)
        except OSError:
            pass  # it has ended already
        ended = bool(select.select([first_pidfd], [], [], _END_SECONDS)[0])
    if ended:
        process.wait()
        for fd in (output_fd, *pidfds.values()):
            os.close(fd)
    return ended


def _exit_code(process: "subprocess.Popen[bytes]") -> int:
    code = process.wait()
    return 128 - code if code < 0 else code
