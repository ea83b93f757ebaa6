"""Version 1: a hierarchy per controller; a group is a directory of the same name in each of them.

Moving another process is what costs. ``cgroup.procs`` takes a lock that every fork and exit on the machine holds for
reading, and to get it the writer waits for an RCU grace period: 8 to 15 ms on the machine this was measured on, in
which nothing else can start or end. A thread that moves only itself needs no such lock (``cgroup_procs_write_start()``
in ``kernel/cgroup/cgroup.c``): ``enter`` writes to ``tasks`` and takes 0.07 ms for each hierarchy. So the runtime has
its children move themselves, before they are needed (see ``runtime.shim``), and renames the group when the
container's name is known: version 1 allows that.
"""

from __future__ import annotations

import errno
import os
import select
import time

from nbcontainers.errors import Error, SyscallError
from nbcontainers.linux import processes
from nbcontainers.linux.cgroups.common import PAUSE_SECONDS, Cgroup, Driver, Usage, make_directory
from nbcontainers.linux.cgroups.files import Files, read_text, read_whole, subdirectories
from nbcontainers.linux.cgroups.killing import kill_all
from nbcontainers.linux.cgroups.v1_limits import NO_LIMIT, LimitsV1, controller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxResources

_NANOSECONDS_PER_TICK = 10**9 // os.sysconf("SC_CLK_TCK")
_FREEZE_SECONDS = 2.0
_WANTED = ("memory", "cpu", "cpuacct", "cpuset", "pids", "blkio", "freezer", "devices")


class DriverV1(Driver):
    """The hierarchies of version 1.

    Args:
        hierarchies: Where each controller's hierarchy is mounted; named ones (``name=…``) are left out.
    """

    KNOWN = _WANTED
    version = 1

    def __init__(self, hierarchies: dict[str, str]) -> None:
        self.mounts = {name: hierarchies[name] for name in _WANTED if name in hierarchies}
        self.controllers = frozenset("io" if name == "blkio" else name for name in self.mounts)

    def version_of(self, controller: str) -> int:
        """Return 1.

        Source: cgroups(7).
        """
        return 1

    def make(self, path: str) -> list[str]:
        """See ``Driver``.

        Source: Documentation/admin-guide/cgroup-v1/cgroups.rst § 2. Usage Examples and Syntax.
        """
        if "blkio" in self.mounts and _make(os.path.dirname(self.mounts["blkio"] + path)):
            _count_what_disks_do(os.path.dirname(self.mounts["blkio"] + path))
        made = [directory for directory in self.open(path).directories() if _make(directory)]
        if "cpuset" in self.mounts:
            _inherit_cpuset(self.mounts["cpuset"], path)
        return made

    def open(self, path: str) -> CgroupV1:
        """See ``Driver``.

        Source: cgroups(7).
        """
        return CgroupV1(path, self.mounts)

    def children(self, path: str) -> set[str]:
        """See ``Driver``.

        Source: cgroups(7).
        """
        names: set[str] = set()
        for mount in self.mounts.values():
            names |= subdirectories(mount + path)
        return names

    def swap_limit(self) -> bool:
        """See ``Driver``.

        Source: Documentation/admin-guide/cgroup-v1/memory.rst § 2.4 Swap Extension.
        """
        memory = self.mounts.get("memory")
        return memory is not None and os.path.exists(f"{memory}/memory.memsw.usage_in_bytes")

    def realtime(self) -> bool:
        """See ``Driver``.

        Source: Documentation/scheduler/sched-rt-group.rst § 2.3 Basis for grouping tasks.
        """
        return "cpu" in self.mounts and os.path.exists(f"{self.mounts['cpu']}/cpu.rt_runtime_us")


class CgroupV1(Cgroup):
    """A group in every hierarchy of version 1."""

    def __init__(self, path: str, mounts: dict[str, str]) -> None:
        self.path = path
        self._mounts = mounts
        self._files = {name: Files(mount + path) for name, mount in mounts.items()}

    def directories(self) -> list[str]:
        """Return the group's directories, one for each hierarchy.

        Source: cgroups(7).
        """
        return list(dict.fromkeys(files.directory for files in self._files.values()))

    def apply(self, resources: LinuxResources) -> None:
        """See ``Cgroup``.

        Source: OCI runtime-spec, config-linux.md § Control groups.
        """
        LimitsV1(self._files).apply(resources)

    def attach(self, pid: int) -> None:
        """See ``Cgroup``; one write in each hierarchy, back to back.

        Source: Documentation/admin-guide/cgroup-v1/cgroups.rst § 2.2 Attaching processes.
        """
        for directory in self.directories():
            Files(directory).write("cgroup.procs", str(pid))

    def enter(self) -> None:
        """See ``Cgroup``; the caller's thread in each hierarchy.

        Source: Documentation/admin-guide/cgroup-v1/cgroups.rst § 2.2 Attaching processes.
        """
        for directory in self.directories():
            Files(directory).write("tasks", "0")

    def entrances(self) -> list[str]:
        """See ``Cgroup``; a thread that moves itself by ``tasks`` waits for no grace period, unlike ``cgroup.procs``.

        Source: kernel/cgroup/cgroup.c, cgroup_procs_write_start(); cgroups(7).
        """
        return [f"{directory}/tasks" for directory in self.directories()]

    def freeze(self) -> None:
        """See ``Cgroup``; the kernel sees that all have stopped when it is asked for the state, and tells nobody.

        Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.
        """
        files = controller(self._files, "freezer")
        deadline = time.monotonic() + _FREEZE_SECONDS
        files.write("freezer.state", "FROZEN")
        while files.read("freezer.state").strip() != b"FROZEN":
            if time.monotonic() > deadline:
                files.write("freezer.state", "THAWED")
                hint = "some process cannot be stopped now, such as one that waits for a disk"
                raise SyscallError(errno.EBUSY, os.strerror(errno.EBUSY), "freeze", files.directory, hint)
            time.sleep(PAUSE_SECONDS)

    def thaw(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.
        """
        controller(self._files, "freezer").write("freezer.state", "THAWED")

    def kill(self) -> None:
        """See ``Cgroup``; version 1 has no call for it.

        Source: kill(2).
        """
        if any(os.path.isdir(directory) for directory in self.directories()):
            kill_all(self)

    def usage(self) -> Usage:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v1/memory.rst § 5.2 stat file; cpuacct.rst; pids.rst.
        """
        usage = Usage()
        if files := self._files.get("memory"):
            usage.memory_bytes = files.number("memory.usage_in_bytes")
            limit = files.number("memory.limit_in_bytes")
            usage.memory_limit_bytes = limit if limit < NO_LIMIT else 0
            usage.memory_cache_bytes = files.table("memory.stat").get(b"total_inactive_file", 0)
            usage.oom_kills = self.oom_kills()
        if files := self._files.get("cpuacct"):
            usage.cpu_total_ns = files.number("cpuacct.usage")
            ticks = files.table("cpuacct.stat")
            usage.cpu_user_ns = ticks.get(b"user", 0) * _NANOSECONDS_PER_TICK
            usage.cpu_system_ns = ticks.get(b"system", 0) * _NANOSECONDS_PER_TICK
        if files := self._files.get("cpu"):
            stat = files.table("cpu.stat")
            usage.cpu_periods = stat.get(b"nr_periods", 0)
            usage.cpu_throttled_periods = stat.get(b"nr_throttled", 0)
            usage.cpu_throttled_ns = stat.get(b"throttled_time", 0)
        if files := self._files.get("pids"):
            usage.pids, usage.pids_limit = files.number("pids.current"), files.number("pids.max")
            usage.pids_refused = files.table("pids.events").get(b"max", 0)
        if files := self._files.get("blkio"):
            usage.io_read_bytes, usage.io_write_bytes = _io_bytes(files.read("blkio.throttle.io_service_bytes"))
        return usage

    def details(self) -> dict[str, dict[str, int]]:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v1/memory.rst § 5.2 stat file; cpuacct.rst.
        """
        found: dict[str, dict[str, int]] = {}
        if files := self._files.get("memory"):
            found["memory"] = {name.decode(): value for name, value in files.table("memory.stat").items()}
            found["memory_peak"] = {
                "bytes": files.number("memory.max_usage_in_bytes"),
                "failures": files.number("memory.failcnt"),
            }
        if files := self._files.get("cpuacct"):
            spent = files.read("cpuacct.usage_percpu").split()
            found["cpu"] = {str(processor): int(ns) for processor, ns in enumerate(spent)}
        return found

    def oom_kills(self) -> int:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v1/memory.rst § 10. OOM Control.
        """
        files = self._files.get("memory")
        try:
            return files.table("memory.oom_control").get(b"oom_kill", 0) if files else 0
        except SyscallError:
            return 0

    def events(self) -> dict[str, int]:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v1/memory.rst § 10, pids.rst; Documentation/scheduler/sched-bwc.rst.
        """
        pids, cpu = self._files.get("pids"), self._files.get("cpu")
        return {
            "oom_kills": self.oom_kills(),
            "forks_refused": pids.table("pids.events").get(b"max", 0) if pids else 0,
            "cpu_throttled_periods": cpu.table("cpu.stat").get(b"nr_throttled", 0) if cpu else 0,
        }

    def pressure(self) -> dict[str, dict[str, float]]:
        """Return nothing: version 1 does not tell.

        Source: Documentation/accounting/psi.rst.
        """
        return {}

    def rename(self, path: str) -> None:
        """See ``Cgroup``.

        Source: kernel/cgroup/cgroup-v1.c, cgroup1_rename().
        """
        for files in self._files.values():
            new = files.directory[: len(files.directory) - len(self.path)] + path
            try:
                os.rename(files.directory, new)
            except FileNotFoundError:
                pass  # of controllers in one hierarchy, the first has renamed it for all
            except OSError as error:
                number = error.errno or 0
                raise SyscallError(number, os.strerror(number), "rename", new, f"from '{self.path}'") from None
            files.directory = new
        self.path = path

    def wait_until_empty(self, directory: str, seconds: float) -> None:
        """See ``Cgroup``; a process that is listed tells of its end, and leaves its group soon after that or before.

        Source: pidfd_open(2).
        """
        fds: list[int] = []
        poll = select.poll()
        try:
            for pid in read_whole(f"{directory}/cgroup.procs").split():
                try:
                    fds.append(processes.pidfd_open(int(pid)))
                except OSError:
                    continue
                poll.register(fds[-1], select.POLLIN)
            if not fds or not poll.poll(seconds * 1000):
                time.sleep(PAUSE_SECONDS)
        finally:
            for fd in fds:
                os.close(fd)

    def close(self) -> None:
        """See ``Cgroup``.

        Source: close(2).
        """
        for files in self._files.values():
            files.close()


def _make(directory: str) -> bool:
    """Make a directory and its parents, the common case in one call; False where it is there already."""
    try:
        return make_directory(directory)
    except SyscallError as error:
        if error.errno != errno.ENOENT:
            raise
    _make(os.path.dirname(directory))
    return make_directory(directory)


def _count_what_disks_do(directory: str, block: str = "/sys/block") -> None:
    """Have the kernel count what groups read and write: since Linux 6.10 it does only where a rate was ever set.

    Setting "no limit" is enough, once for a disk, in any group. A disk that refuses is not counted, and no harm done.

    Args:
        directory: A new group's directory in the hierarchy of blkio.
        block: Where the kernel shows its block devices.

    Source: block/blk-throttle.c, tg_set_conf(), blk_throtl_activated().
    """
    for disk in os.listdir(block) if os.path.isdir(block) else ():
        if os.path.exists(f"{block}/{disk}/device"):
            try:
                Files(directory).write("blkio.throttle.read_bps_device", f"{read_text(f'{block}/{disk}/dev')} 0")
            except (OSError, Error):
                continue


def _inherit_cpuset(mount: str, path: str) -> None:
    """Give a new group, and new ones above it, the processors and memory nodes of its parent: it starts with none.

    Source: Documentation/admin-guide/cgroup-v1/cpusets.rst § 2.1.
    """
    parent = mount
    for name in path.strip("/").split("/"):
        directory = f"{parent}/{name}"
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not read_text(f"{directory}/{file}"):
                Files(directory).write(file, read_text(f"{parent}/{file}"))
        parent = directory


def _io_bytes(text: bytes) -> tuple[int, int]:
    """Add up the bytes read and written of all devices, from lines such as ``8:0 Read 4096``."""
    totals = {b"Read": 0, b"Write": 0}
    words = text.split()
    for position, word in enumerate(words[:-1]):
        if word in totals:
            totals[word] += int(words[position + 1])
    return totals[b"Read"], totals[b"Write"]
