"""The launcher: a small process that forks, so that the engine, with its threads and its big heap, never has to.

It is started as ``python -I -S``, imports little, freezes its heap, and makes *prepared* shims: forked, with a child
in new namespaces, waiting. It does so when the engine asks, and hands the engine the socket of each; the engine keeps
a few, and a container is started by sending its request over one of these sockets. So the launcher plays no part in
a start, and may be killed at any time. In the same way it makes *keepers*, by which one more program is brought into a
container that runs. Shims and keepers that nobody waits for are made at the lowest priority, so that they take
no time from the containers that start meanwhile; they get their priority back with their container.

When the engine ends, the launcher ends; shims with a container and keepers with a program stay, prepared ones go.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys

from nbcontainers.linux import cgroups, processes, seccomp
from nbcontainers.runtime import devices, keeper, protocol, shim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.linux.cgroups import Driver
    from nbcontainers.runtime.protocol import Socket

_LEAST_NICE = 19


class Launcher:
    """Makes shims and keepers.

    Args:
        control: Connected to the engine.
        driver: The control groups of this machine.
        cgroup_parent: The group of all this engine's containers.
        may_renice: Whether a process that was made at a low priority can be given a higher one later.
    """

    def __init__(self, control: Socket, driver: Driver, cgroup_parent: str, *, may_renice: bool) -> None:
        self._control = control
        self._driver = driver
        self._cgroup_parent = cgroup_parent
        self._nice = os.getpriority(os.PRIO_PROCESS, 0)
        self._may_renice = may_renice

    def serve(self) -> None:
        """Make a shim or a keeper for every message, until the engine ends."""
        while True:
            try:
                payload, _ = protocol.receive(self._control)
                wanted = json.loads(payload)
                if self._may_renice:
                    os.setpriority(os.PRIO_PROCESS, 0, self._nice if wanted["urgent"] else _LEAST_NICE)
                self._offer(wanted["make"])
            except (EOFError, BrokenPipeError, ConnectionResetError):
                return

    def _offer(self, kind: str) -> None:
        """Start a shim or a keeper, and give the engine the other end of its channel."""
        engines, childs = protocol.pair()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            processes.keep_only([0, 1, 2, childs.fileno()])
            if kind == protocol.KEEPER:
                keeper.main(childs, self._driver, self._nice)
            shim.main(childs, self._driver, self._cgroup_parent, self._nice)
        childs.close()
        protocol.send(self._control, protocol.encode({"made": kind}), [engines.fileno()])
        engines.close()


def main() -> None:
    """Serve on the descriptor that the engine has given as the first argument.

    Source: python(1) § -I, -S.
    """
    control_fd, cgroup_parent = int(sys.argv[1]), sys.argv[2]
    os.setsid()
    processes.set_name("nbc-launcher")
    processes.set_dumpable(False)
    may_renice = processes.may_renice()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shims are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = cgroups.detect()
    seccomp.default_program(devices.default_capabilities(driver))  # compiled once, for all containers
    gc.disable()
    gc.freeze()  # what is here now is shared by all shims, as long as nobody touches it
    Launcher(protocol.Socket(fileno=control_fd), driver, cgroup_parent, may_renice=may_renice).serve()
