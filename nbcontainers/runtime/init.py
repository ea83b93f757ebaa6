"""The container's first process, from its birth in new namespaces to the ``execve(2)`` of the user's program.

``born`` runs ahead of time, while nobody waits: the child of the shim leaves the host's mount tree for an empty one.
``become`` runs when a container is wanted, and every step of it counts: mounts, identity, limits, program. The order
is the order of what each step takes away: the host's root before the user's program can look around, the system
call filter while it may still be set, privileges last.

Nothing here returns to the caller but an exception; success is the program running.
"""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import termios
import time

from nbcontainers.errors import Error, InvalidArgument
from nbcontainers.linux import capabilities, mounts, namespaces, processes, seccomp
from nbcontainers.runtime import attaching, binds, devices, masking, protocol, reaping, users
from nbcontainers.runtime.defaults import DEVICES, NETWORK_SYSCTLS
from nbcontainers.runtime.stage import MOUNTS, Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from nbcontainers.linux.cgroups import Cgroup
    from nbcontainers.runtime.protocol import Socket
    from nbcontainers.runtime.spec import ConsoleSize, Process, Request, Shared, Spec

NEW_ROOT, STAGE = "root", "stage"
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_FAILED, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127


class Trace:
    """The steps of a start with their times, nanoseconds of the monotonic clock."""

    __slots__ = ("_began", "steps")

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self._began = time.monotonic_ns()

    def step(self, name: str) -> None:
        """Record that what happened since the last step was ``name``."""
        now = time.monotonic_ns()
        self.steps.append((name, self._began, now))
        self._began = now


def born() -> Stage:
    """Leave the host's mounts for a tree of three directories.

    They are ``/proc``, ``/root`` where the container's root will be, and ``/stage`` with what all containers have.

    Raises:
        SyscallError: A mount failed.

    Source: pivot_root(2), mount_namespaces(7).
    """
    processes.set_parent_death_signal(signal.SIGKILL)
    mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
    mounts.mount("tmpfs", "/proc", "tmpfs", 0, "mode=755,size=64k")
    os.chdir("/proc")
    os.mkdir(NEW_ROOT)
    mounts.pivot_root(".", ".")
    mounts.umount2(".", mounts.MNT_DETACH)
    os.chdir("/")
    os.mkdir("proc")
    mounts.mount("proc", "/proc", "proc")
    os.mkdir(STAGE)
    os.chdir(STAGE)
    stage = Stage()
    os.chdir("/")
    return stage


def main(channel: Socket, stdio: list[int], group: Cgroup | None, nice: int) -> NoReturn:
    """Be born, wait for the container that is wanted, and become it.

    Args:
        channel: To the shim.
        stdio: The pipes to be standard input, output and error.
        group: The control group to enter, unless the caller was born in it.
        nice: The priority that the container gets.

    Source: OCI runtime-spec, runtime.md § Lifecycle.
    """
    code = _FAILED
    try:
        if group is not None:
            group.enter()
            protocol.send(channel, protocol.encode({"entered": True}))
        stage = born()
        payload, fds = protocol.receive(channel)
        processes.renice(nice)
        become(json.loads(payload), fds, stdio, stage, channel)
    except EOFError:
        pass
    except ProgramError as error:
        _report(channel, str(error), error.code)
        code = error.code
    except InvalidArgument as error:
        # Docker does not tell a file that is not there, or is of another kind, from a program that is not.
        _report(channel, str(error), _NOT_FOUND if isinstance(error.__cause__, OSError) else _FAILED)
    except (Error, OSError) as error:
        _report(channel, str(error), _FAILED)
    except BaseException as error:
        _report(channel, f"{type(error).__name__}: {error}", _FAILED)
    os._exit(code)


class ProgramError(Exception):
    """The user's program cannot be executed; ``code`` is the exit code that Docker gives for the reason."""

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


def _report(channel: Socket, message: str, code: int) -> None:
    try:
        protocol.send(channel, protocol.encode({"error": message, "code": code}))
    except OSError:
        return


def become(request: Request, fds: list[int], stdio: list[int], stage: Stage, channel: Socket) -> None:
    """Turn the calling process into the container's.

    Args:
        request: The container.
        fds: The root file system, the network namespace if it has one of its own, the namespaces that it shares, the
            sources of bind mounts.
        stdio: The pipes of standard input, output and error, for a container without a terminal.
        stage: What was mounted ahead.
        channel: Where the trace goes, and errors; from where the word comes that the program may run.

    Raises:
        ProgramError: The program does not exist or cannot be executed.
        OSError: Any other step failed.
    """
    trace, spec = Trace(), request["spec"]
    root_fd, *rest = fds
    _enter_network(request["network"], rest)
    trace.step("network namespace")
    shared = request.get("shared", [])
    _join(shared, rest)
    if "cgroup" not in shared:
        namespaces.unshare(namespaces.CLONE_NEWCGROUP)
    if "uts" not in shared:
        _name_host(spec)
    trace.step("host name and cgroup namespace")
    mounts.move_mount(root_fd, NEW_ROOT)
    os.chdir(NEW_ROOT)
    trace.step("attach the overlay")
    fits = stage.fits(spec) and "ipc" not in shared  # its /dev/mqueue is that of the namespace it was born in
    _mount_all(root_fd, spec, rest, stage if fits else None, trace)
    _set_sysctls(spec["linux"]["sysctl"])
    if request["tty"]:
        stdio = [_open_terminal(channel, spec["process"].get("consoleSize"))] * 3
        trace.step("terminal")
    elif not request["openStdin"]:
        stdio[0] = os.open("dev/null", os.O_RDONLY | os.O_CLOEXEC)
    _enter_root(spec)
    trace.step("pivot_root")
    _run_program(request, stdio, channel, trace)


def _enter_network(network: str, fds: list[int]) -> None:
    if network == "namespace":
        namespace_fd = fds.pop(0)
        namespaces.setns(namespace_fd, namespaces.CLONE_NEWNET)
        os.close(namespace_fd)
    elif network == "none":
        namespaces.unshare(namespaces.CLONE_NEWNET)
        _raise_loopback()
        for name, value in NETWORK_SYSCTLS:
            with open(f"/proc/sys/net/{name}", "w") as file:
                file.write(value)
    elif network != "host":
        raise InvalidArgument(f"unknown network '{network}': none, host and namespace are known")


def _join(shared: list[Shared], fds: list[int]) -> None:
    """Join namespaces of others in place of one's own; those of pids and of mounts are the shim's business.

    Source: setns(2).
    """
    for kind in shared:
        if kind not in ("pid", "mnt"):
            fd = fds.pop(0)
            namespaces.setns(fd, namespaces.KINDS[kind])
            os.close(fd)


def _name_host(spec: Spec) -> None:
    namespaces.sethostname(spec["hostname"])
    if spec["domainname"]:
        namespaces.setdomainname(spec["domainname"])


def _raise_loopback() -> None:
    """Bring the interface lo up; ``netdevice(7)``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


def _mount_all(root_fd: int, spec: Spec, bind_fds: list[int], stage: Stage | None, trace: Trace) -> None:
    """Mount everything that belongs into the root file system, the working directory.

    ``stage`` is None for a container that wants something otherwise than it is there.
    """
    for destination in ("/proc", "/dev", "/sys"):
        attaching.refuse_link(destination)
    wanted, masked, readonly = spec["mounts"], spec["linux"]["maskedPaths"], spec["linux"]["readonlyPaths"]
    default, special = spec["linux"]["devices"][: len(DEVICES)], spec["linux"]["devices"][len(DEVICES) :]
    sources = {mount["destination"]: bind_fds.pop(0) for mount in wanted if mount["type"] in binds.OPENED_BY_SHIM}
    if stage is not None:
        stage.move_to(root_fd)
        wanted = [mount for mount in wanted if mount not in MOUNTS]
        masked, readonly = stage.remaining(masked), stage.remaining(readonly)
        trace.step("/proc and /dev")
    # /dev has its nodes before anything is mounted below it, and a mount's parent comes before it.
    first = [mount for mount in wanted if mount["destination"] in ("/proc", "/dev", "/sys")]
    for mount in first:
        attaching.attach(root_fd, mount, sources.get(mount["destination"]))
        trace.step(f"mount {mount['destination']}")
        if mount["destination"] == "/dev" and "/dev" not in sources:
            devices.make_devices(default)
            trace.step("device nodes")
    of_dev = [mount for mount in wanted if mount["destination"].startswith("/dev/")]
    for mount in (*of_dev, *(mount for mount in wanted if mount not in first and mount not in of_dev)):
        attaching.attach(root_fd, mount, sources.get(mount["destination"]))
        trace.step(f"mount {mount['destination']}")
    for device in special:
        # In a /dev that is somebody else's, nothing is made.
        if "/dev" not in sources or not device["path"].startswith("/dev/"):
            devices.make_device(root_fd, device)
    for path in masked:
        masking.mask_path(path)
    for path in readonly:
        masking.make_readonly(path)
    trace.step("masked and read-only paths")


def _open_terminal(channel: Socket, size: ConsoleSize | None) -> int:
    """Make a terminal in the container's own devpts, hand its master to the shim, and return the slave."""
    master_fd = os.open("dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    number = array.array("i", [0])
    fcntl.ioctl(master_fd, termios.TIOCSPTLCK if hasattr(termios, "TIOCSPTLCK") else 0x40045431, number)
    fcntl.ioctl(master_fd, 0x80045430, number)  # TIOCGPTN, which termios does not name
    if size is not None:
        fcntl.ioctl(master_fd, termios.TIOCSWINSZ, struct.pack("HHHH", size["height"], size["width"], 0, 0))
    slave_fd = os.open(f"dev/pts/{number[0]}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    protocol.send(channel, protocol.encode({"pty": True}), [master_fd])
    os.close(master_fd)
    os.close(os.open("dev/console", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    mounts.mount(f"dev/pts/{number[0]}", "dev/console", None, mounts.MS_BIND)
    return slave_fd


def _set_sysctls(values: dict[str, str]) -> None:
    # Through the /proc that is outside of the new root: the one inside is read-only already.
    for name, value in values.items():
        path = f"/proc/sys/{name.replace('.', '/')}"
        try:
            with open(path, "w") as file:
                file.write(value)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise InvalidArgument(f"error during container init: open {path}: {reason}") from error


def _enter_root(spec: Spec) -> None:
    """Make the new root the only one."""
    if spec["root"]["readonly"]:
        mounts.mount_setattr(".", set_attributes=mounts.MOUNT_ATTR_RDONLY)
    mounts.pivot_root(".", ".")
    mounts.umount2(".", mounts.MNT_DETACH)
    os.chdir("/")


def _run_program(request: Request, stdio: list[int], channel: Socket, trace: Trace) -> None:
    process = request["spec"]["process"]
    os.setsid()
    for target_fd, fd in enumerate(stdio):
        os.dup2(fd, target_fd)
    if process["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.fchown(0, -1, -1)
    identity = users.look_up(process["user"]["username"], process["user"]["additionalGids"])
    if not process["terminal"]:
        _own_stdio(identity)
    variables = environment(process, identity)
    set_limits(process)
    _enter_directory(process["cwd"], identity)
    trace.step("user and limits")
    restrict(request["spec"], identity)
    reset_signals()
    trace.step("privileges")
    protocol.send(channel, protocol.encode({"trace": trace.steps}))
    protocol.receive(channel)  # the shim is ready to take what the program writes
    if request.get("init"):
        reaping.fork_program(process["args"], terminal=process["terminal"])
    processes.close_range(3, flags=processes.CLOSE_RANGE_CLOEXEC)
    execute(process["args"], variables)


def _own_stdio(identity: users.Identity) -> None:
    """Give the pipes of stdio to the user, so that ``/dev/stdout`` can be opened by name."""
    for fd in range(3):
        try:
            os.fchown(fd, identity.uid, identity.gid)
        except PermissionError:
            continue


def environment(process: Process, identity: users.Identity) -> dict[str, str]:
    """Return the program's environment: what was asked for, and the user's home."""
    variables = dict(entry.partition("=")[::2] for entry in process["env"])
    variables.setdefault("HOME", identity.home)
    return variables


def set_limits(process: Process) -> None:
    """Set the resource limits, and how willingly the kernel kills when memory runs out; ``setrlimit(2)``."""
    for limit in process["rlimits"]:
        number = getattr(resource, limit["type"], None)
        if number is None:
            raise InvalidArgument(f"unknown resource limit '{limit['type']}'")
        resource.setrlimit(number, (limit["soft"], limit["hard"]))
    if process["oomScoreAdj"]:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(process["oomScoreAdj"]))


def _enter_directory(cwd: str, identity: users.Identity) -> None:
    try:
        os.chdir(cwd)
    except FileNotFoundError:
        os.makedirs(cwd, 0o755)
        os.chdir(cwd)
    except NotADirectoryError as error:
        raise InvalidArgument(f"the working directory '{cwd}' is not a directory") from error


def restrict(spec: Spec, identity: users.Identity) -> None:
    """Give up what the container may not have: bounding set, system calls, groups, user id, capabilities; so ordered.

    The filter of system calls is loaded while the process may still do that without ``no_new_privs``, which would keep
    the user's set-user-id programs from working.

    Source: capabilities(7) § Effect of user ID changes on capabilities; seccomp(2) § SECCOMP_SET_MODE_FILTER.
    """
    process = spec["process"]
    keep = capabilities.mask(process["capabilities"])
    if process["noNewPrivileges"]:
        processes.set_no_new_privs()
    capabilities.drop_bounding(keep)
    linux = spec["linux"]
    if "seccompProgram" in linux:
        seccomp.load(bytes.fromhex(linux["seccompProgram"]))
    elif linux["seccomp"]:
        seccomp.load(seccomp.default_program(frozenset(process["capabilities"])))
    processes.prctl(processes.PR_SET_KEEPCAPS, 1)
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if identity.uid == 0:
        capabilities.capset(keep, keep, 0)
    else:
        capabilities.capset(0, 0, 0)
    # Changing the user id has cleared it.
    processes.set_parent_death_signal(signal.SIGKILL)


def reset_signals() -> None:
    """Undo what the interpreter has set: a program expects the defaults and nothing blocked; ``signal(7)``."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def execute(args: list[str], environment: dict[str, str]) -> None:
    """Execute the program, looked for in the container's PATH; ``execve(2)``."""
    name = args[0]
    if "/" in name:
        candidates = [name]
    else:
        directories = environment.get("PATH", "").split(":") if name else []
        candidates = [f"{directory or '.'}/{name}" for directory in directories]
    denied: OSError | None = None
    for candidate in candidates:
        try:
            os.execve(candidate, args, environment)
        except FileNotFoundError as error:
            if "/" in name and os.path.exists(candidate):
                raise ProgramError(
                    f'exec: "{name}": its interpreter is missing in the container', _NOT_FOUND
                ) from error
        except NotADirectoryError:
            continue
        except OSError as error:
            denied = error
    if denied is not None:
        reason = "exec format error" if denied.errno == errno.ENOEXEC else os.strerror(denied.errno or 0).lower()
        raise ProgramError(f'exec: "{name}": {reason}', _NOT_EXECUTABLE)
    if "/" in name:
        raise ProgramError(f'exec: "{name}": stat {name}: no such file or directory', _NOT_FOUND)
    raise ProgramError(f'exec: "{name}": executable file not found in $PATH', _NOT_FOUND)
