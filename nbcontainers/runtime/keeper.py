"""The keeper: one small process per ``exec``, which brings a program into a container that runs, and sees it through.

It is forked by the launcher before it is wanted, and waits. When it is, it opens the ways into the container's control
group, joins all its namespaces with one ``setns(2)`` on the pidfd of the container's first process, and looks up the
user; then it bears the child that becomes the program, and from then on only waits for its end. It is the child's
parent, but stays outside of the container's process ids and its control group: the container neither sees it nor pays
for it, and cannot freeze it.

Why not the container's own shim? It would have to fork while somebody waits, and would have to be left in peace by a
program that goes wrong; a keeper costs its fork ahead of time, and takes nothing along when it is killed but its own
program. What the program reads and writes is no business of either: its pipes end in the engine, its terminal's other
side too, so nothing is copied twice, and a client that does not read holds up its own program alone.

What keeps the container from using the child, which is in its sight before it has given up all privileges
(CVE-2016-9962, CVE-2019-5736, CVE-2024-21626):

- it is not dumpable, so nobody may trace it or look into its ``/proc`` who could not do worse;
- it is born after the keeper has joined the mount namespace: it has never seen the host's files;
- its descriptors are the standard ones, and files, never a directory, of the control group, closed before the program's
  working directory is entered, which is then checked to be one that can be reached from the container's root;
- ``/proc/PID/exe`` is the interpreter by way of a mount that is read-only for good (see ``launching``);
- the user's databases are read only if they are ordinary files: nothing there can make the keeper wait.

What may be assumed of it: when the engine ends, the program goes on, and the keeper waits for it; when the keeper is
killed, so is the program (``PR_SET_PDEATHSIG``); when the container ends, its programs do.

Source: setns(2), pid_namespaces(7) § setns(2) and unshare(2) semantics.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import stat
import struct
import termios

from nbcontainers.errors import Error, InvalidArgument
from nbcontainers.linux import namespaces, processes
from nbcontainers.runtime import init, protocol, users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from nbcontainers.linux.cgroups import Driver
    from nbcontainers.runtime.protocol import Socket
    from nbcontainers.runtime.spec import ConsoleSize, Spec

_ALL_NAMESPACES = (
    namespaces.CLONE_NEWNS
    | namespaces.CLONE_NEWPID
    | namespaces.CLONE_NEWNET
    | namespaces.CLONE_NEWUTS
    | namespaces.CLONE_NEWIPC
    | namespaces.CLONE_NEWCGROUP
)
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
_NULL, _PTMX = os.makedev(1, 3), os.makedev(5, 2)
_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_DATABASE_BYTES = 4 << 20
_UMASK = 0o022
_NOT_INVOCABLE, _NOT_FOUND = 126, 127
_PREFIX = "OCI runtime exec failed: exec failed: unable to start container process"


class RefusedError(Exception):
    """The child could not become the program; ``payload`` is the message in which it has said why."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        super().__init__("the child could not become the program")


def main(channel: Socket, driver: Driver, nice: int) -> NoReturn:
    """Wait for a program on ``channel``, and see it through.

    Source: OCI runtime-spec, runtime.md § Lifecycle.
    """
    os.setsid()
    processes.set_name("nbc-keeper")
    processes.set_title("nbc-keeper")  # the container sees the child, for a moment
    processes.set_dumpable(False)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _rehearse(driver)
    try:
        payload, fds = protocol.receive(channel)
    except (EOFError, OSError):
        os._exit(0)
    processes.renice(nice)
    try:
        pidfd = _Keeper(json.loads(payload), fds, channel, driver).enter()
    except RefusedError as error:
        protocol.send(channel, error.payload)
        os._exit(1)
    except BaseException as error:
        _say(channel, _explained(error))
        os._exit(1)
    code = processes.wait_pidfd(pidfd)
    _say(channel, {"exit": code})
    os._exit(0)


def _rehearse(driver: Driver) -> None:
    """Do once, while nobody waits, what will have to be done, so that the memory it touches is this process's own.

    After a fork the first write to a page copies it, and to use an object is to write to it.
    """
    users.look_up("0", [], _read_database)
    driver.open("/rehearsal").entrances()
    os.close(_open_null(os.O_RDONLY))
    ours, theirs = protocol.pair()
    protocol.send(ours, protocol.encode({}), [ours.fileno()])
    payload, fds = protocol.receive(theirs)
    json.loads(payload)
    for fd in (ours.detach(), theirs.detach(), *fds):
        os.close(fd)


def _explained(error: BaseException) -> dict[str, object]:
    """Return a failure in Docker's words, with the exit code that Docker gives.

    Source: moby, daemon/errors.go, translateContainerdStartErr().
    """
    if isinstance(error, InvalidArgument):
        return {"error": str(error), "code": _NOT_INVOCABLE}
    code = _NOT_FOUND if isinstance(error, OSError) and error.errno == errno.ENOENT else _NOT_INVOCABLE
    if isinstance(error, init.ProgramError):
        code = error.code
    elif not isinstance(error, (Error, OSError)):
        return {"error": f"{type(error).__name__}: {error}", "code": code}
    return {"error": f"{_PREFIX}: {error}: unknown", "code": code}


class _Keeper:
    """Brings one program into its container.

    Args:
        spec: The container's specification, but its process is the program.
        fds: A pidfd of the container's first process; then, where they are wanted, pipes to be standard output and
            error, and one to be standard input.
        channel: Where to report.
        driver: The control groups of this machine.
    """

    def __init__(self, spec: Spec, fds: list[int], channel: Socket, driver: Driver) -> None:
        self._spec = spec
        self._process = spec["process"]
        self._container_pidfd, *self._pipes = fds
        self._stdio: list[int] = []
        self._channel = channel
        self._driver = driver
        self._group_fds: list[int] = []
        self._birth_fd = -1

    def enter(self) -> int:
        """Execute the program, report that it runs, and return a pidfd of it.

        Raises:
            RefusedError: The child could not become the program.
            InvalidArgument: There is no such user.
            OSError: ESRCH, the container has ended; or another step failed.
        """
        if self._driver.version == 2:  # as the container's first process, see ``devices``
            self._process["capabilities"] = [name for name in self._process["capabilities"] if name != "CAP_MKNOD"]
        self._open_group()
        namespaces.setns(self._container_pidfd, _ALL_NAMESPACES)
        identity = users.look_up(
            self._process["user"]["username"], self._process["user"]["additionalGids"], _read_database
        )
        master_fds = self._open_stdio()
        ours, childs = protocol.pair()
        self._keeper_pidfd = processes.pidfd_open(os.getpid())
        pid, pidfd = processes.clone(0, self._birth_fd)
        if pid == 0:
            self._be_born(identity, childs)
        childs.close()
        for fd in {*self._stdio, *self._group_fds}:
            os.close(fd)
        _await_program(ours, pidfd)
        protocol.send(self._channel, protocol.encode({"started": pid}), [pidfd, *master_fds])
        for fd in master_fds:
            os.close(fd)
        return pidfd

    def _open_stdio(self) -> list[int]:
        """Open what is still missing of the three streams; returns the other side of a terminal, if it is one."""
        if self._process["terminal"]:
            master_fd, slave_fd = _open_terminal(self._process.get("consoleSize"))
            self._stdio = [slave_fd] * 3
            return [master_fd]
        # Never the host's null device: its owner and mode could be changed by way of the descriptor.
        outputs = self._pipes[:2] or [_open_null(os.O_WRONLY)] * 2
        inputs = self._pipes[2:] or [_open_null(os.O_RDONLY)]
        self._stdio = [*inputs, *outputs]
        return []

    def _open_group(self) -> None:
        """Open the ways into the container's control group, while they can still be seen."""
        group = self._driver.open(self._spec["linux"]["cgroupsPath"])
        if self._driver.version == 2:
            self._birth_fd = group.directory_fd()
        else:
            self._group_fds = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in group.entrances()]

    def _be_born(self, identity: users.Identity, channel: Socket) -> NoReturn:
        """Be the child: become the program, or say why not."""
        try:
            self._become(identity, channel)
        except BaseException as error:
            _say(channel, _explained(error))
        os._exit(_NOT_INVOCABLE)

    def _become(self, identity: users.Identity, channel: Socket) -> None:
        for fd in self._group_fds:
            os.write(fd, b"0")
        for target_fd, fd in enumerate(self._stdio):
            os.dup2(fd, target_fd)
        processes.keep_only([0, 1, 2, channel.fileno(), self._keeper_pidfd])
        os.setsid()
        if self._process["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        _own_stdio(identity)
        os.umask(_UMASK)
        init.set_limits(self._process)
        _enter_directory(self._process["cwd"])
        init.restrict(self._spec, identity)
        if select.select([self._keeper_pidfd], [], [], 0)[0]:
            raise init.ProgramError("its keeper was killed", _NOT_INVOCABLE)  # before the child had asked to be told
        init.reset_signals()
        variables = init.environment(self._process, identity)
        processes.close_range(3, flags=processes.CLOSE_RANGE_CLOEXEC)
        init.execute(self._process["args"], variables)


def _await_program(channel: Socket, pidfd: int) -> None:
    """Wait until the child has become the program: then its end of the channel is closed.

    Raises:
        RefusedError: It has not.
    """
    try:
        payload, _ = protocol.receive(channel)
    except EOFError:
        return
    finally:
        channel.close()
    processes.wait_pidfd(pidfd)
    raise RefusedError(payload)


def _open_terminal(size: ConsoleSize | None) -> tuple[int, int]:
    """Make a terminal in the container's devpts and return both sides.

    The container's root may have put something else in its place: what is opened is checked, and the other side is
    asked of the kernel, not of the file system.

    Source: pty(7), ioctl_tty(2) § TIOCGPTPEER.
    """
    master_fd = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    _check_device(master_fd, _PTMX, "/dev/pts/ptmx")
    fcntl.ioctl(master_fd, _TIOCSPTLCK, struct.pack("i", 0))
    slave_fd: int = fcntl.ioctl(master_fd, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if size is not None:
        fcntl.ioctl(master_fd, termios.TIOCSWINSZ, struct.pack("HHHH", size["height"], size["width"], 0, 0))
    return master_fd, slave_fd


def _open_null(mode: int) -> int:
    fd = os.open("/dev/null", mode | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    _check_device(fd, _NULL, "/dev/null")
    os.set_blocking(fd, True)
    return fd


def _check_device(fd: int, device: int, path: str) -> None:
    status = os.fstat(fd)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != device:
        raise InvalidArgument(f"'{path}' in the container is not the device that it should be")


def _read_database(path: str) -> str:
    """Read ``/etc/passwd`` or ``/etc/group`` of the container: an ordinary file of ordinary size, or nothing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(fd, errors="surrogateescape") as file:
        return file.read(_DATABASE_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else ""


def _own_stdio(identity: users.Identity) -> None:
    """Give pipes and terminal to the user, so that ``/dev/stdout`` can be opened by name."""
    for fd in range(3):
        if os.fstat(fd).st_rdev != _NULL:  # that one is everybody's
            try:
                os.fchown(fd, identity.uid, -1)
            except PermissionError:
                continue


def _enter_directory(cwd: str) -> None:
    """Enter the working directory, which must be one that the container can reach.

    Source: chdir(2), getcwd(3) § ENOENT; CVE-2024-21626.
    """
    if not cwd.startswith("/"):
        raise InvalidArgument("OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown")
    try:
        os.chdir(cwd)
    except OSError as error:
        text = os.strerror(error.errno or 0).lower()
        code = _NOT_FOUND if error.errno == errno.ENOENT else _NOT_INVOCABLE
        raise init.ProgramError(f'chdir to cwd ("{cwd}") set in config.json failed: {text}', code) from error
    try:
        os.getcwd()
    except FileNotFoundError:
        raise init.ProgramError(
            "current working directory is outside of container mount namespace root", _NOT_INVOCABLE
        ) from None


def _say(channel: Socket, message: dict[str, object]) -> None:
    try:
        protocol.send(channel, protocol.encode(message))
    except OSError:
        return
