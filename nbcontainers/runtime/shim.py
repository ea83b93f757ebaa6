"""The shim: one small process per container, which outlives the engine and needs nothing of it.

It is forked by the launcher before its container is wanted, and prepares what takes long: the pipes of its stdio, a
control group, and the child that will be the container's init, in new namespaces. (Where version 2 of control groups
has the controllers, the last two come with the container: a child can be born in its group there, and the group cannot
be renamed.) Then it waits. When a container comes it mounts the root file system and hands the rest over to the child;
while that goes on, it opens the log and its socket, so that nothing is left to do when the program runs but to report.
From then on it sees the container through (``supervising``).

What may be assumed of it: the engine or the launcher may die at any moment, and the container runs on, is logged,
and its exit status is found in ``exit.json``. When the shim itself is killed, the kernel kills the container
(``PR_SET_PDEATHSIG``).

A container can share namespaces with another one or with the host. Most kinds are joined late, by the child itself
(``setns(2)`` in ``init``): it leaves the one it was born in. Not so that of process ids, for a process is known by its
numbers from its birth to its end: ``setns`` only says where the caller's *later children* are born. So the shim joins,
dismisses the prepared child, and bears another one straight into the namespace, without one of its own
(``_bear_another``); no third process stands between them, and the shim, whose own numbers have not changed, waits for
it as ever. The same is done for a control group with another parent on version 1, where groups cannot move.
With a namespace of its own, a container's processes end with its first one, by the kernel's hand; where they are
others' neighbours, the shim kills what is left in the control group.
"""

from __future__ import annotations

import json
import os
import signal
import time

from nbcontainers.errors import Error
from nbcontainers.linux import namespaces, processes
from nbcontainers.runtime import binds, devices, init, protocol, rootfs, stdio
from nbcontainers.runtime.supervising import Supervisor, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from nbcontainers.linux.cgroups import Cgroup, Driver
    from nbcontainers.runtime.protocol import Socket
    from nbcontainers.runtime.spec import Request, Shared

PREPARED = "prepared-"
"""How the name of a prepared shim's control group begins; its process id follows."""
_NEW_NAMESPACES = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWPID | namespaces.CLONE_NEWUTS | namespaces.CLONE_NEWIPC
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


def main(channel: Socket, driver: Driver, cgroup_parent: str, nice: int) -> NoReturn:
    """Prepare, wait for a container on ``channel``, and see it through.

    Source: OCI runtime-spec, runtime.md § Lifecycle.
    """
    os.setsid()
    processes.set_name("nbc-shim")
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    shim = Shim(driver, cgroup_parent, nice)
    try:
        payload, fds = protocol.receive(channel)
    except (EOFError, OSError):
        shim.abandon()
        os._exit(0)
    try:
        shim.start(payload, fds, channel)
    except StartFailedError as error:
        shim.abandon()
        say(channel, {"error": str(error), "code": error.code})
        os._exit(1)
    shim.supervise(channel)
    os._exit(0)


class StartFailedError(Exception):
    """The container could not be started; ``code`` is what Docker's CLI exits with for the reason."""

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


class Shim:
    """One container, prepared, started and seen through.

    Args:
        driver: The control groups of this machine.
        cgroup_parent: The group of all this engine's containers.
        nice: The priority that containers get.
    """

    def __init__(self, driver: Driver, cgroup_parent: str, nice: int) -> None:
        self._driver = driver
        self._nice = nice
        self._cgroup_parent = cgroup_parent
        self._group: Cgroup | None = None
        self._namespaces = _NEW_NAMESPACES
        self.pid = self._pidfd = -1
        self._init: Socket
        self._supervisor: Supervisor
        self._started: dict[str, object] = {}
        self._stdio = stdio.Stdio()
        # In version 1 a group can get its final name later; in version 2 the child must be born in it.
        if driver.version == 1:
            self._group = driver.create(f"{cgroup_parent}/{PREPARED}{os.getpid()}", {"devices": devices.allowed()})
            self._bear(-1)
            protocol.receive(self._init)  # it has entered the group, which may be renamed from now on

    @property
    def _shares_pids(self) -> bool:
        return not self._namespaces & namespaces.CLONE_NEWPID

    def _bear(self, cgroup_fd: int) -> None:
        """Start the child that will be the container's init."""
        self._init, childs_end = protocol.pair()
        self.pid, self._pidfd = processes.clone(self._namespaces, cgroup_fd)
        if self.pid == 0:
            processes.keep_only([0, 1, 2, childs_end.fileno(), *self._stdio.childs_fds])
            group = self._group if self._driver.version == 1 else None
            init.main(childs_end, self._stdio.childs_fds, group, self._nice)
        childs_end.close()
        # With the last process of a mount namespace its mounts go, which takes the kernel a grace period. Held open,
        # they go with this shim instead, when the end of the container was reported long since.
        self._mount_namespace_fd = namespaces.open_namespace("mnt", self.pid)

    def _dismiss(self) -> None:
        """End the child."""
        if self._pidfd >= 0:
            processes.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            processes.wait_pidfd(self._pidfd)

    def abandon(self) -> None:
        """Undo what was prepared."""
        self._dismiss()
        if self._group is not None:
            try:
                self._group.remove()
            except OSError:
                return

    def start(self, payload: bytes, fds: list[int], report: Socket) -> None:
        """Start the container and report that it runs.

        Args:
            payload: The request.
            fds: The root file system, if it is mounted already, the network namespace, if it has one that was prepared,
                and the namespaces that it shares.
            report: The engine's end.

        Raises:
            StartFailedError: Some step failed; nothing of it is left but what ``abandon`` undoes.
        """
        trace = init.Trace()
        processes.renice(self._nice)
        try:
            request: Request = json.loads(payload)
            self._root_fd = fds.pop(0) if request.get("mounted") else -1
            if request.get("shared") or _parent(request) != self._cgroup_parent:
                fds = self._make_fit(request, fds)
            # Before the child gets to know its program: no instruction of it runs without its limits.
            if self._driver.version == 1 and self._group is not None:
                self._group.apply(request["spec"]["linux"]["resources"])
            trace.step("limits")
            self._hand_over(request, payload, fds)
            trace.step("overlay")
            if self._driver.version == 1 and self._group is not None:
                self._name_group(self._group, request["spec"]["linux"]["cgroupsPath"])
            self._supervisor = Supervisor(request, self._stdio)
            trace.step("log and socket, beside the container's steps")
            steps = self._execute(report, trace)
        except (Error, OSError) as error:
            raise StartFailedError(str(error), 125) from error
        steps = sorted(trace.steps + steps, key=lambda step: step[1])
        self._started = {"started": {"pid": self.pid, "at": time.time_ns(), "trace": steps}}
        try:
            protocol.send(report, protocol.encode(self._started), [self._pidfd])
        except OSError:
            pass  # the engine was killed meanwhile: the next one finds the container by its socket

    def _make_fit(self, request: Request, fds: list[int]) -> list[int]:
        """Do for a container with shared namespaces, or with a control group elsewhere, what cannot be done later.

        Returns:
            The descriptors without those that were used up here.
        """
        shared: list[Shared] = request.get("shared", [])
        own = len(fds) - len(shared)
        joined = dict(zip(shared, fds[own:], strict=True))
        elsewhere = _parent(request) != self._cgroup_parent
        if "pid" in joined:
            fd = joined.pop("pid")
            namespaces.setns(fd, namespaces.CLONE_NEWPID)
            os.close(fd)
            self._namespaces &= ~namespaces.CLONE_NEWPID
        self._donor_fd = joined.pop("mnt", -1)
        if self._driver.version == 1 and (self._shares_pids or elsewhere):
            self._bear_another(request["spec"]["linux"]["cgroupsPath"] if elsewhere else "")
        return [*fds[:own], *joined.values()]

    def _bear_another(self, cgroup_path: str) -> None:
        """Put another child in the place of the prepared one, in another control group where one is named."""
        self._dismiss()
        self._init.close()
        for fd in (self._pidfd, self._mount_namespace_fd):
            os.close(fd)
        self._pidfd = -1
        if cgroup_path and self._group is not None:
            self._group.remove()
            self._clear(cgroup_path)
            self._group = self._driver.create(cgroup_path, {"devices": devices.allowed()})
        self._bear(-1)
        protocol.receive(self._init)

    def _hand_over(self, request: Request, payload: bytes, network_fds: list[int]) -> None:
        """Open what the child needs of the host, and give it all that."""
        if self._root_fd < 0:
            self._root_fd = rootfs.open_rootfs(request["rootfs"])
        bind_fds = [
            binds.open_bind(mount) if mount["type"] == "bind" else binds.open_shared(mount, self._donor_fd)
            for mount in request["spec"]["mounts"]
            if mount["type"] in binds.OPENED_BY_SHIM
        ]
        if self._driver.version == 2:
            devices.do_without_rules(request, self._root_fd)
            payload = protocol.encode(dict(request))
            self._bear_in_group(request)
        try:
            protocol.send(self._init, payload, [self._root_fd, *network_fds, *bind_fds])
        except (BrokenPipeError, ConnectionResetError):
            pass  # the child has failed already, and has said why
        for fd in (*network_fds, *bind_fds):
            os.close(fd)
        self._stdio.close_childs()

    def _bear_in_group(self, request: Request) -> None:
        """On version 2 the child is born in its group, which has its final name from the start."""
        linux = request["spec"]["linux"]
        self._group = self._driver.create(linux["cgroupsPath"], linux["resources"])
        directory_fd = self._group.directory_fd()
        try:
            self._bear(directory_fd)
        finally:
            os.close(directory_fd)

    def _name_group(self, group: Cgroup, path: str) -> None:
        """Give the prepared group its final name."""
        if group.path != path:
            self._clear(path)
            group.rename(path)

    def _clear(self, path: str) -> None:
        """Remove a group that a shim which was killed may have left to nobody."""
        left = self._driver.open(path)
        if any(os.path.isdir(directory) for directory in left.directories()):
            left.kill()
            left.remove()

    def _execute(self, report: Socket, trace: init.Trace) -> list[tuple[str, int, int]]:
        """Have the child execute the program, as soon as the engine wants that; return the steps it has taken."""
        try:
            self._await_word(report)
            trace.step("wait for the word to start")
            say(self._init, {"go": True})
            return self._await_exec()
        except BaseException:
            self._supervisor.withdraw()
            raise

    def _await_word(self, report: Socket) -> None:
        """Wait until the engine wants the program executed."""
        try:
            protocol.receive(report)
        except EOFError:
            raise StartFailedError("the container was given up", 125) from None

    def _await_exec(self) -> list[tuple[str, int, int]]:
        """Wait until the child has executed the program: then its end of the channel is closed."""
        steps: list[tuple[str, int, int]] = []
        failure: StartFailedError | None = None
        while True:
            try:
                payload, fds = protocol.receive(self._init)
            except EOFError:
                break
            except ConnectionResetError:
                continue  # it has left our last word unread; what it has said before is still there
            message = json.loads(payload)
            if "pty" in message:
                self._stdio.take_terminal(fds[0])
            steps += [tuple(step) for step in message.get("trace", ())]
            if "error" in message:
                failure = StartFailedError(message["error"], message["code"])
        self._init.close()
        if failure is not None:
            raise failure
        if not steps:
            raise StartFailedError("the container's init was killed before it could execute the program", 125)
        return steps

    def supervise(self, report: Socket) -> None:
        """See the container through."""
        self._supervisor.supervise(report, self._pidfd, self._started, self._group, kill_rest=self._shares_pids)
        # Only now the overlay goes, whose unmounting may wait for the disk.
        os.close(self._root_fd)


def _parent(request: Request) -> str:
    return request["spec"]["linux"]["cgroupsPath"].rpartition("/")[0]
