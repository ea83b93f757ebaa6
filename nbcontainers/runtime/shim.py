"""The shim: one small process per container, which outlives the engine and needs nothing of it.

It is forked by the launcher before its container is wanted, and prepares what takes long: the child that will be the
container's init, in new namespaces, and (on cgroup version 1) in a control group of its own. Then it waits. When a
container comes it mounts, connects, reports, and from then on does five things: writes the log, answers the engine,
waits for the end, leaves the exit status on disk, and goes.

What may be assumed of it: the engine or the launcher may die at any moment, and the container runs on, is logged,
and its exit status is found in ``exit.json``. When the shim itself is killed, the kernel kills the container
(``PR_SET_PDEATHSIG``).
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import termios
import time

from nbcontainers.errors import Error
from nbcontainers.linux import mounts, namespaces, processes, seccomp
from nbcontainers.runtime import init, log, protocol, rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from nbcontainers.linux.cgroups import Cgroup, Driver
    from nbcontainers.runtime.protocol import Socket
    from nbcontainers.runtime.spec import LinuxDeviceCgroup, Request

SOCKET_NAME = "shim.sock"
EXIT_NAME = "exit.json"
_CHUNK_BYTES = 512 << 10
_PIPE_BYTES = 1 << 20
_NEW_NAMESPACES = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWPID | namespaces.CLONE_NEWUTS | namespaces.CLONE_NEWIPC
_ANY = -1
_DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, _ANY))
"""null, zero, full, random, urandom, tty, console, ptmx, and all pseudo-terminals."""
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


def main(control: Socket, driver: Driver, cgroup_parent: str) -> NoReturn:
    """Prepare, wait for a container on ``control``, and see it through.

    Source: OCI runtime-spec, runtime.md § Lifecycle.
    """
    os.setsid()
    processes.set_name("nbc-shim")
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    shim = Shim(driver, cgroup_parent)
    try:
        payload, fds = protocol.receive(control)
    except (EOFError, OSError):
        shim.abandon()
        os._exit(0)
    control.close()
    report = protocol.Socket(fileno=fds.pop(0))
    try:
        shim.start(json.loads(payload), fds, report)
    except StartFailedError as error:
        shim.abandon()
        _say(report, {"error": str(error), "code": error.code})
        os._exit(1)
    shim.serve(report)
    os._exit(0)


class StartFailedError(Exception):
    """The container could not be started; ``code`` is what Docker's CLI exits with for the reason."""

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


class Shim:
    """One container's keeper.

    Args:
        driver: The control groups of this machine.
        cgroup_parent: The group of all this engine's containers.
    """

    def __init__(self, driver: Driver, cgroup_parent: str) -> None:
        self._driver = driver
        self._group: Cgroup | None = None
        self.pid = self._pidfd = -1
        self._channel: Socket
        # A process is moved to its group ahead of time in version 1, where that may take a grace period.
        if driver.version == 1:
            self._group = driver.create(f"{cgroup_parent}/prepared-{os.getpid()}", {"devices": _device_rules()})
            self._bear(-1)
            self._group.attach(self.pid)

    def _bear(self, cgroup_fd: int) -> None:
        """Start the child that will be the container's init."""
        self._channel, childs_end = protocol.pair()
        self.pid, self._pidfd = processes.clone(_NEW_NAMESPACES, cgroup_fd)
        if self.pid == 0:
            processes.keep_only([0, 1, 2, childs_end.fileno()])
            init.main(childs_end)
        childs_end.close()

    def abandon(self) -> None:
        """Undo what was prepared."""
        if self._pidfd >= 0:
            processes.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            processes.wait_pidfd(self._pidfd)
        if self._group is not None:
            try:
                self._group.remove()
            except OSError:
                return

    def start(self, request: Request, fds: list[int], report: Socket) -> None:
        """Start the container and report that it runs.

        Args:
            request: The container.
            fds: The network namespace, if it has one of its own that was prepared.
            report: The engine's end.

        Raises:
            StartFailedError: Some step failed; nothing of it is left but what ``abandon`` undoes.
        """
        trace = init.Trace()
        try:
            # Before the child gets to know its program: no instruction of it runs without its limits.
            self._limit(request)
            trace.step("control group")
            self._connect(request, fds)
            trace.step("overlay, pipes and log")
            steps = self._await_exec()
        except (Error, OSError) as error:
            raise StartFailedError(str(error), 125) from error
        started = {
            "pid": self.pid,
            "at": time.time_ns(),
            "trace": sorted(trace.steps + steps, key=lambda step: step[1]),
        }
        self._write_identity()
        self._listen()
        try:
            protocol.send(report, protocol.encode({"started": started}), [self._pidfd])
        except OSError:
            pass  # the engine was killed meanwhile: the next one finds the container by its socket

    def _connect(self, request: Request, network_fds: list[int]) -> None:
        """Open what the child needs of the host, and hand it over."""
        self._directory = request["directory"]
        self._directory_fd = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._log = log.Writer(self._directory, request["logMaxBytes"], request["logMaxFiles"])
        self._root_fd = rootfs.open_rootfs(request["rootfs"])
        bind_fds = [rootfs.open_bind(mount) for mount in request["spec"]["mounts"] if mount["type"] == "bind"]
        self._outputs: dict[int, int] = {}
        self._stdin_fd = -1
        self._master_fd = -1
        childs: list[int] = [] if request["tty"] else self._open_pipes(request["openStdin"])
        if self._driver.version == 2:
            _do_without_device_rules(request, self._root_fd)
            self._bear_in_group(request)
        request["seccomp"] = _seccomp_program(request)
        payload = protocol.encode(dict(request))
        protocol.send(self._channel, payload, [self._root_fd, *childs, *network_fds, *bind_fds])
        for fd in (*childs, *network_fds, *bind_fds):
            os.close(fd)

    def _bear_in_group(self, request: Request) -> None:
        """On version 2 the child is born in its group, which has its final name from the start."""
        linux = request["spec"]["linux"]
        self._group = self._driver.create(linux["cgroupsPath"], linux["resources"])
        directory_fd = self._group.directory_fd()
        try:
            self._bear(directory_fd)
        finally:
            os.close(directory_fd)

    def _open_pipes(self, open_stdin: bool) -> list[int]:
        """Make the three pipes of stdio; returns the child's ends."""
        childs = []
        if open_stdin:
            read_fd, self._stdin_fd = os.pipe2(os.O_CLOEXEC)
            childs.append(read_fd)
        else:
            childs.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        for stream in (log.STDOUT, log.STDERR):
            read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
            try:
                fcntl.fcntl(read_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            except PermissionError:
                pass  # the user's pipes are at their limit, smaller ones do as well
            os.set_blocking(read_fd, False)
            self._outputs[read_fd] = stream
            childs.append(write_fd)
        return childs

    def _limit(self, request: Request) -> None:
        """Set the limits, and give the group its final name."""
        if self._driver.version == 1 and self._group is not None:
            linux = request["spec"]["linux"]
            self._group.apply(linux["resources"])
            self._group.rename(linux["cgroupsPath"])

    def _await_exec(self) -> list[tuple[str, int, int]]:
        """Wait until the child has executed the program: then its end of the channel is closed."""
        steps: list[tuple[str, int, int]] = []
        failure: StartFailedError | None = None
        while True:
            try:
                payload, fds = protocol.receive(self._channel)
            except EOFError:
                break
            except ConnectionResetError:
                break
            message = json.loads(payload)
            if "pty" in message:
                self._master_fd = fds[0]
                os.set_blocking(self._master_fd, False)
                self._outputs[self._master_fd] = log.STDOUT
            steps += [tuple(step) for step in message.get("trace", ())]
            if "error" in message:
                failure = StartFailedError(message["error"], message["code"])
        self._channel.close()
        if failure is not None:
            raise failure
        if not steps:
            raise StartFailedError("the container's init was killed before it could execute the program", 125)
        return steps

    def _write_identity(self) -> None:
        """Leave on disk who the container and its shim are, for an engine that comes later."""
        identity: dict[str, object] = {
            "pid": self.pid,
            "pidStart": processes.start_time_ticks(self.pid),
            "shim": os.getpid(),
            "shimStart": processes.start_time_ticks(),
            "at": time.time_ns(),
        }
        self._write("pid.json", identity)

    def _write(self, name: str, document: dict[str, object]) -> None:
        temporary = f".{name}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=self._directory_fd)
        os.write(fd, protocol.encode(document))
        os.close(fd)
        os.rename(temporary, name, src_dir_fd=self._directory_fd, dst_dir_fd=self._directory_fd)

    def _listen(self) -> None:
        # A path of 108 bytes at most fits a socket's address: name the directory by descriptor.
        path = f"/proc/self/fd/{self._directory_fd}/{SOCKET_NAME}"
        try:
            os.unlink(SOCKET_NAME, dir_fd=self._directory_fd)
        except FileNotFoundError:
            pass
        self._listening = protocol.listen(path)

    def serve(self, report: Socket) -> None:
        """Log, answer and wait, until the container has ended."""
        poll = select.epoll(flags=select.EPOLL_CLOEXEC)
        poll.register(self._pidfd, select.EPOLLIN)
        poll.register(self._listening.fileno(), select.EPOLLIN)
        for fd in self._outputs:
            poll.register(fd, select.EPOLLIN)
        self._connections = {report.fileno(): report}
        poll.register(report.fileno(), select.EPOLLIN)
        running = True
        while running:
            for fd, _ in poll.poll():
                if fd in self._outputs:
                    if not self._copy(fd):
                        poll.unregister(fd)
                        self._close_output(fd)
                elif fd == self._pidfd:
                    running = False
                elif fd == self._listening.fileno():
                    connection = self._listening.accept()[0]
                    self._connections[connection.fileno()] = connection
                    poll.register(connection.fileno(), select.EPOLLIN)
                elif not self._answer(self._connections[fd]):
                    poll.unregister(fd)
                    self._connections.pop(fd).close()
        self._finish()

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
                self._log.write(self._outputs[fd], data, time.time_ns())
            except OSError:
                return True  # the disk is full: the container goes on, its output is lost
        return bool(data)

    def _close_output(self, fd: int) -> None:
        del self._outputs[fd]
        if fd != self._master_fd:
            os.close(fd)

    def _answer(self, connection: Socket) -> bool:
        """Do what an engine asks; False when it has gone."""
        try:
            payload, _ = protocol.receive(connection)
            message = json.loads(payload)
            if message["op"] == "stdin":
                fd = self._master_fd if self._master_fd >= 0 else self._stdin_fd
                protocol.send(connection, b"{}", [] if fd < 0 else [fd])
            elif message["op"] == "close-stdin" and self._stdin_fd >= 0:
                os.close(self._stdin_fd)
                self._stdin_fd = -1
            elif message["op"] == "resize" and self._master_fd >= 0:
                size = struct.pack("HHHH", message["rows"], message["columns"], 0, 0)
                fcntl.ioctl(self._master_fd, termios.TIOCSWINSZ, size)
            elif message["op"] == "identify":
                identity = {"started": {"pid": self.pid, "at": 0, "trace": []}}
                protocol.send(connection, protocol.encode(identity), [self._pidfd])
        except (EOFError, OSError):
            return False
        return True

    def _finish(self) -> None:
        """Record and report the end; what takes long comes after."""
        code = processes.wait_pidfd(self._pidfd)
        finished_ns = time.time_ns()
        for fd in list(self._outputs):
            self._drain(fd)
        try:
            self._log.close(time.time_ns())
        except OSError:
            pass  # a full disk: readers take the exit status for the end
        oom_kills = self._group.oom_kills() if self._group is not None else 0
        status: dict[str, object] = {"code": code, "at": finished_ns, "oom": oom_kills > 0}
        try:
            self._write(EXIT_NAME, status)
        except OSError:
            pass  # as above; the engine that is connected hears it all the same
        os.unlink(SOCKET_NAME, dir_fd=self._directory_fd)
        for connection in self._connections.values():
            _say(connection, {"exit": status})
        # Only now the overlay goes, whose unmounting may wait for the disk.
        os.close(self._root_fd)

    def _drain(self, fd: int) -> None:
        """Copy the rest; not until the end of file, for a descriptor may have escaped the container."""
        while select.select([fd], [], [], 0)[0]:
            if not self._copy(fd):
                return


def _device_rules() -> list[LinuxDeviceCgroup]:
    """Return which devices a container may open: those in its /dev; making nodes of others gives no access.

    Source: OCI runtime-spec, config-linux.md § Default Devices; Docker's default device rules.
    """
    rules: list[LinuxDeviceCgroup] = [{"allow": False}]
    rules += [{"allow": True, "type": kind, "access": "m"} for kind in ("c", "b")]
    for major, minor in _DEVICES:
        rules.append({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"})
    return rules


def _do_without_device_rules(request: Request, root_fd: int) -> None:
    """Keep a container from the host's devices where no controller does (version 2).

    It cannot make device nodes, and those that its image has cannot be opened.

    Source: capabilities(7) § CAP_MKNOD, mount_setattr(2) § MOUNT_ATTR_NODEV.
    """
    process = request["spec"]["process"]
    process["capabilities"] = [name for name in process["capabilities"] if name != "CAP_MKNOD"]
    mounts.mount_setattr("", set_attributes=mounts.MOUNT_ATTR_NODEV, dir_fd=root_fd)


def _seccomp_program(request: Request) -> str:
    """Return the filter as hex digits: the child cannot compile it, for it has no libraries where it is."""
    if not request["spec"]["linux"]["seccomp"]:
        return ""
    return seccomp.default_program(frozenset(request["spec"]["process"]["capabilities"])).hex()


def _say(connection: Socket, message: dict[str, object]) -> None:
    try:
        protocol.send(connection, protocol.encode(message))
    except OSError:
        return
