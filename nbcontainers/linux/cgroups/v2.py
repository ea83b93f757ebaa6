"""Version 2: one hierarchy; a group is one directory, and its controllers are switched on by its parent.

A group that has processes cannot give controllers to groups below it (the rule of no internal processes), so a
container's group is always a leaf, and its parents hold none. A child can be born in a group (``clone`` with a
``cgroup_fd``): nothing has to be moved.

Source: Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import errno
import os
import select
import time

from nbcontainers.errors import SyscallError, Unavailable
from nbcontainers.linux.cgroups.common import PAUSE_SECONDS, Cgroup, Driver, Usage, make_directory, remove_made
from nbcontainers.linux.cgroups.files import Files, read_whole, subdirectories
from nbcontainers.linux.cgroups.killing import kill_all
from nbcontainers.linux.cgroups.v2_limits import LimitsV2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxResources

_WANTED = ("memory", "cpu", "cpuset", "pids", "io")
_FREEZE_SECONDS = 2.0
_INTERNAL = "it has processes of its own, and a group of version 2 has either processes or groups below it with limits"


class DriverV2(Driver):
    """The hierarchy of version 2.

    Args:
        mount: Where it is mounted.
    """

    version = 2

    def __init__(self, mount: str) -> None:
        self.mount = mount
        available = read_whole(f"{mount}/cgroup.controllers").decode().split()
        self.controllers = frozenset(name for name in _WANTED if name in available)

    def version_of(self, controller: str) -> int:
        """Return 2.

        Source: cgroups(7).
        """
        return 2

    def make(self, path: str) -> list[str]:
        """See ``Driver``; the group has all controllers.

        Source: Documentation/admin-guide/cgroup-v2.rst § Enabling and Disabling.
        """
        directory = self.mount + path
        try:
            made = make_directory(directory)
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
            self._give_controllers(path)
            made = make_directory(directory)
        if not self.controllers <= set(read_whole(f"{directory}/cgroup.controllers").decode().split()):
            try:
                self._give_controllers(path)
            except BaseException:
                remove_made([directory] if made else [])
                raise
        return [directory] if made else []

    def _give_controllers(self, path: str) -> None:
        """Make the groups above, and have each give the controllers to those below it."""
        above = self.mount
        for name in path.strip("/").split("/"):
            enabled = set(read_whole(f"{above}/cgroup.subtree_control").decode().split())
            if missing := self.controllers - enabled:
                self._enable(above, " ".join(f"+{controller}" for controller in sorted(missing)))
            above = f"{above}/{name}"
            if above != self.mount + path:
                make_directory(above)

    def _enable(self, directory: str, controllers: str) -> None:
        try:
            Files(directory).write("cgroup.subtree_control", controllers)
        except SyscallError as error:
            if error.errno != errno.EBUSY:
                raise
            remedy = "move them into a group below it first, or start the engine with systemd-run -p Delegate=yes"
            raise Unavailable(f"control groups below '{directory}'", _INTERNAL, remedy) from None

    def open(self, path: str) -> CgroupV2:
        """See ``Driver``.

        Source: cgroups(7).
        """
        return CgroupV2(path, self.mount, self.controllers)

    def children(self, path: str) -> set[str]:
        """See ``Driver``.

        Source: cgroups(7).
        """
        return subdirectories(self.mount + path)

    def swap_limit(self) -> bool:
        """See ``Driver``; the root group does not say, so a group below it is asked, and made where there is none.

        Source: Documentation/admin-guide/cgroup-v2.rst § Memory Interface Files.
        """
        if "memory" not in self.controllers:
            return False
        for name in subdirectories(self.mount):
            if os.path.exists(f"{self.mount}/{name}/memory.max"):
                return os.path.exists(f"{self.mount}/{name}/memory.swap.max")
        try:
            group = self.create(f"/nbcontainers-probe-{os.getpid()}", {})
        except (OSError, Unavailable):
            return os.path.exists("/proc/swaps")  # a guess: this user may not make groups
        try:
            return os.path.exists(f"{self.mount}{group.path}/memory.swap.max")
        finally:
            group.remove()

    def realtime(self) -> bool:
        """Return False: version 2 has no such limits.

        Source: Documentation/admin-guide/cgroup-v2.rst § CPU.
        """
        return False


class CgroupV2(Cgroup):
    """A group of version 2."""

    def __init__(self, path: str, mount: str, controllers: frozenset[str]) -> None:
        self.path = path
        self._mount = mount
        self._controllers = controllers
        self._files = Files(mount + path)

    def directories(self) -> list[str]:
        """See ``Cgroup``.

        Source: cgroups(7).
        """
        return [self._files.directory]

    def apply(self, resources: LinuxResources) -> None:
        """See ``Cgroup``.

        Source: OCI runtime-spec, config-linux.md § Control groups.
        """
        LimitsV2(self._files, self._mount, self._controllers).apply(resources)

    def enter(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § Organizing Processes and Threads.
        """
        self.attach(0)

    def entrances(self) -> list[str]:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § Delegation, Delegation Containment.
        """
        return [f"{self._files.directory}/cgroup.procs"]

    def directory_fd(self) -> int:
        """Return a descriptor for ``clone`` to have a child born in the group.

        Source: clone(2) § CLONE_INTO_CGROUP.
        """
        return os.open(self._files.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def attach(self, pid: int) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § Organizing Processes, No Internal Process Constraint.
        """
        try:
            self._files.write("cgroup.procs", str(pid))
        except SyscallError as error:
            if error.errno == errno.EBUSY:
                error.hint = "there are groups with limits below it, so it cannot have processes of its own"
            raise

    def freeze(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.freeze.
        """
        self._files.write("cgroup.freeze", "1")
        if not self._wait_for(b"frozen 1", _FREEZE_SECONDS):
            self._files.write("cgroup.freeze", "0")
            hint = "some process cannot be stopped now, such as one that waits for a disk"
            raise SyscallError(errno.EBUSY, os.strerror(errno.EBUSY), "freeze", self._files.directory, hint)

    def thaw(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.freeze.
        """
        self._files.write("cgroup.freeze", "0")

    def kill(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.kill.
        """
        if not os.path.isdir(self._files.directory):
            return
        try:
            self._files.write("cgroup.kill", "1")
        except Unavailable:
            kill_all(self)  # before Linux 5.14

    def usage(self) -> Usage:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § Controllers.
        """
        usage, files = Usage(), self._files
        usage.memory_bytes = files.number("memory.current")
        usage.memory_limit_bytes = files.number("memory.max")
        usage.memory_cache_bytes = files.table("memory.stat").get(b"inactive_file", 0)
        usage.oom_kills = self.oom_kills()
        cpu = files.table("cpu.stat")
        usage.cpu_total_ns = cpu.get(b"usage_usec", 0) * 1000
        usage.cpu_user_ns = cpu.get(b"user_usec", 0) * 1000
        usage.cpu_system_ns = cpu.get(b"system_usec", 0) * 1000
        usage.cpu_periods = cpu.get(b"nr_periods", 0)
        usage.cpu_throttled_periods = cpu.get(b"nr_throttled", 0)
        usage.cpu_throttled_ns = cpu.get(b"throttled_usec", 0) * 1000
        usage.pids, usage.pids_limit = files.number("pids.current"), files.number("pids.max")
        usage.pids_refused = files.table("pids.events").get(b"max", 0)
        for word in files.read("io.stat").split():
            key, _, value = word.partition(b"=")
            usage.io_read_bytes += int(value) if key == b"rbytes" else 0
            usage.io_write_bytes += int(value) if key == b"wbytes" else 0
        return usage

    def details(self) -> dict[str, dict[str, int]]:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § memory.stat.
        """
        if "memory" not in self._controllers:
            return {}
        return {"memory": {name.decode(): value for name, value in self._files.table("memory.stat").items()}}

    def oom_kills(self) -> int:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § memory.events.
        """
        try:
            return self._files.table("memory.events").get(b"oom_kill", 0)
        except SyscallError:
            return 0

    def events(self) -> dict[str, int]:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § memory.events, § pids.events, § cpu.stat.
        """
        return {
            "oom_kills": self.oom_kills(),
            "forks_refused": self._files.table("pids.events").get(b"max", 0),
            "cpu_throttled_periods": self._files.table("cpu.stat").get(b"nr_throttled", 0),
        }

    def pressure(self) -> dict[str, dict[str, float]]:
        """See ``Cgroup``; ask not more often than every 20 ms, for the kernel drops the parts of a tick.

        Source: Documentation/accounting/psi.rst; kernel/sched/psi.c, collect_percpu_times.
        """
        result: dict[str, dict[str, float]] = {}
        for resource in ("cpu", "memory", "io"):
            for line in self._files.read(f"{resource}.pressure").decode().splitlines():
                kind, *words = line.split()
                averages = dict(word.split("=") for word in words)
                result.setdefault(resource, {})[f"{kind}_10s"] = float(averages["avg10"])
        return result

    def rename(self, path: str) -> None:
        """Refuse: version 2 has no such thing, and needs none, for children are born in their group.

        Source: Documentation/admin-guide/cgroup-v2.rst.
        """
        raise Unavailable("renaming a control group", "version 2 cannot", "make it with its final name")

    def wait_until_empty(self, directory: str, seconds: float) -> None:
        """See ``Cgroup``; the kernel tells when the last process has left.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.events.
        """
        if self._wait_for(b"populated 0", seconds):
            time.sleep(PAUSE_SECONDS)  # it still is busy all the same: with a process on its way to another group

    def _wait_for(self, event: bytes, seconds: float) -> bool:
        """Wait until ``cgroup.events`` says so, or the group is gone; False when the time is over."""
        deadline = time.monotonic() + seconds
        try:
            fd = os.open(f"{self._files.directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            poll = select.poll()
            poll.register(fd, select.POLLPRI)
            while event not in os.pread(fd, 4096, 0):
                left = deadline - time.monotonic()
                if left <= 0 or not poll.poll(left * 1000):
                    return event in os.pread(fd, 4096, 0)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
        finally:
            os.close(fd)
        return True

    def close(self) -> None:
        """See ``Cgroup``.

        Source: close(2).
        """
        self._files.close()
