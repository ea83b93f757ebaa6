"""The launcher: a small process that forks, so that the engine, with its threads and its big heap, never has to.

It is started as ``python -I -S``, imports little, freezes its heap, and keeps a few *prepared* shims: forked, with a
child in new namespaces, waiting. A request from the engine is handed on to one of them, unread, and the launcher
plays no further part in that container. When no shim is left it forks one at once; it makes new ones when the engine
has been quiet for a moment, so that making them does not delay a start.

When the engine ends, the launcher ends; shims with a container stay, prepared ones go.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys

from nbcontainers.linux import capabilities, cgroups, processes, seccomp
from nbcontainers.runtime import protocol, shim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.linux.cgroups import Driver
    from nbcontainers.runtime.protocol import Socket

PREPARED = 3
QUIET_SECONDS = 0.03


class Launcher:
    """Hands requests to shims.

    Args:
        control: Connected to the engine.
        cgroup_parent: The group of all this engine's containers.
    """

    def __init__(self, control: Socket, cgroup_parent: str) -> None:
        self._control = control
        self._driver: Driver = cgroups.detect()
        self._cgroup_parent = cgroup_parent
        self._prepared: list[Socket] = []

    def serve(self) -> None:
        """Take requests until the engine ends."""
        poll = select.poll()
        poll.register(self._control.fileno(), select.POLLIN)
        while True:
            missing = len(self._prepared) < PREPARED
            if not poll.poll(QUIET_SECONDS * 1000 if missing else None):
                self._prepared.append(self._fork())
                continue
            try:
                payload, fds = protocol.receive(self._control)
            except (EOFError, ConnectionResetError):
                return
            self._hand_on(payload, fds)
            for fd in fds:
                os.close(fd)

    def _hand_on(self, payload: bytes, fds: list[int]) -> None:
        """Give a request to a prepared shim; one that was killed in the meantime is passed over."""
        while True:
            channel = self._prepared.pop(0) if self._prepared else self._fork()
            try:
                protocol.send(channel, payload, fds)
            except (BrokenPipeError, ConnectionResetError, ConnectionRefusedError):
                continue
            finally:
                channel.close()
            return

    def _fork(self) -> Socket:
        """Start a shim and return the end of its channel."""
        ours, shims = protocol.pair()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            processes.keep_only([0, 1, 2, shims.fileno()])
            shim.main(shims, self._driver, self._cgroup_parent)
        shims.close()
        return ours


def main() -> None:
    """Serve on the descriptor that the engine has given as the first argument.

    Source: python(1) § -I, -S.
    """
    control_fd, cgroup_parent = int(sys.argv[1]), sys.argv[2]
    os.setsid()
    processes.set_name("nbc-launcher")
    processes.set_dumpable(False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shims are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seccomp.default_program(frozenset(capabilities.DEFAULT))  # compiled once, for all shims
    gc.disable()
    gc.freeze()  # what is here now is shared by all shims, as long as nobody touches it
    Launcher(protocol.Socket(fileno=control_fd), cgroup_parent).serve()
