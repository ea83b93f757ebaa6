"""Version 1: a hierarchy per controller; a group is a directory of the same name in each of them.

Moving a process is what costs. ``cgroup.procs`` takes a lock that forks hold for reading; the first writer after a
pause waits for an RCU grace period, 8 to 15 ms on the machine this was measured on, while writers that follow within
it take 0.02 ms each. No choice of files or hierarchies avoids that, so the runtime moves its processes *before* they
are needed (see ``runtime.shim``), and renames the group when the container's name is known: version 1 allows that.
"""

from __future__ import annotations

import os
import signal

from nbcontainers.errors import Unavailable
from nbcontainers.linux.cgroups.common import Cgroup, Driver, Files, Usage, remove_directory, subdirectories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxBlockIO, LinuxCPU, LinuxDeviceCgroup, LinuxMemory, LinuxResources

_NO_LIMIT = 1 << 60
_NANOSECONDS_PER_TICK = 10**9 // os.sysconf("SC_CLK_TCK")
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

    def create(self, path: str, resources: LinuxResources) -> CgroupV1:
        """See ``Driver``.

        Source: Documentation/admin-guide/cgroup-v1/cgroups.rst § 2. Usage Examples and Syntax.
        """
        group = self.open(path)
        for directory in group.directories():
            _make(directory)
        if "cpuset" in self.mounts:
            _inherit_cpuset(self.mounts["cpuset"], path)
        try:
            group.apply(resources)
        except BaseException:
            group.remove()
            raise
        return group

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
        if memory := resources.get("memory"):
            self._apply_memory(memory)
        if cpu := resources.get("cpu"):
            self._apply_cpu(cpu)
        if pids := resources.get("pids"):
            limit = pids["limit"]
            self._controller("pids").write("pids.max", str(limit) if limit > 0 else "max")
        if block_io := resources.get("blockIO"):
            self._apply_block_io(block_io)
        for device in resources.get("devices", ()):
            self._controller("devices").write("devices.allow" if device["allow"] else "devices.deny", _rule(device))

    def _apply_memory(self, memory: LinuxMemory) -> None:
        files = self._controller("memory")
        if "reservation" in memory:
            files.write("memory.soft_limit_in_bytes", str(memory["reservation"]))
        limit, swap = memory.get("limit"), memory.get("swap")
        # The limit with swap may never be below the one without: which comes first depends on what stands there.
        if limit is not None and swap is not None and files.number("memory.memsw.limit_in_bytes") < limit:
            files.write("memory.memsw.limit_in_bytes", str(swap))
        if limit is not None:
            files.write("memory.limit_in_bytes", str(limit))
        if swap is not None:
            files.write("memory.memsw.limit_in_bytes", str(swap))
        if memory.get("disableOOMKiller"):
            files.write("memory.oom_control", "1")

    def _apply_cpu(self, cpu: LinuxCPU) -> None:
        for key, name in (("period", "cpu.cfs_period_us"), ("quota", "cpu.cfs_quota_us"), ("shares", "cpu.shares")):
            if key in cpu:
                self._controller("cpu").write(name, str(cpu[key]))  # type: ignore[literal-required]
        for key in ("cpus", "mems"):
            if key in cpu:
                self._controller("cpuset").write(f"cpuset.{key}", cpu[key])  # type: ignore[literal-required]

    def _apply_block_io(self, block_io: LinuxBlockIO) -> None:
        files = self._controller("blkio")
        if "weight" in block_io:
            for name in ("blkio.bfq.weight", "blkio.weight"):
                if os.path.exists(f"{files.directory}/{name}"):
                    files.write(name, str(block_io["weight"]))
                    break
            else:
                raise Unavailable("block io weight", "no i/o scheduler here has weights", "use the bfq scheduler")
        for key, name in (
            ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
            ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
            ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
            ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
        ):
            for device in block_io.get(key, ()):  # type: ignore[attr-defined]
                files.write(name, f"{device['major']}:{device['minor']} {device['rate']}")

    def _controller(self, name: str) -> Files:
        files = self._files.get(name)
        if files is None:
            raise Unavailable(f"limits of {name}", "its hierarchy is not mounted", f"mount -t cgroup -o {name}")
        return files

    def attach(self, pid: int) -> None:
        """See ``Cgroup``; one write in each hierarchy, back to back.

        Source: Documentation/admin-guide/cgroup-v1/cgroups.rst § 2.2 Attaching processes.
        """
        for directory in self.directories():
            Files(directory).write("cgroup.procs", str(pid))

    def procs(self) -> list[int]:
        """See ``Cgroup``.

        Source: cgroups(7).
        """
        for files in self._files.values():
            return [int(pid) for pid in files.read("cgroup.procs").split()]
        return []

    def freeze(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.
        """
        self._controller("freezer").write("freezer.state", "FROZEN")

    def thaw(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.
        """
        self._controller("freezer").write("freezer.state", "THAWED")

    def kill(self) -> None:
        """See ``Cgroup``; version 1 has no such call, so the processes are stopped first and none can fork away.

        Source: kill(2).
        """
        if "freezer" in self._files and os.path.exists(self._files["freezer"].directory):
            self.freeze()
        for pid in self.procs():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if "freezer" in self._files and os.path.exists(self._files["freezer"].directory):
            self.thaw()

    def usage(self) -> Usage:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v1/memory.rst § 5.2 stat file; cpuacct.rst; pids.rst.
        """
        usage = Usage()
        if files := self._files.get("memory"):
            usage.memory_bytes = files.number("memory.usage_in_bytes")
            limit = files.number("memory.limit_in_bytes")
            usage.memory_limit_bytes = limit if limit < _NO_LIMIT else 0
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
        if files := self._files.get("blkio"):
            usage.io_read_bytes, usage.io_write_bytes = _io_bytes(files.read("blkio.throttle.io_service_bytes"))
        return usage

    def oom_kills(self) -> int:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v1/memory.rst § 10. OOM Control.
        """
        files = self._files.get("memory")
        return files.table("memory.oom_control").get(b"oom_kill", 0) if files else 0

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
            mount = files.directory[: len(files.directory) - len(self.path)]
            if os.path.exists(files.directory):
                os.rename(files.directory, mount + path)
            files.directory = mount + path
        self.path = path

    def remove(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v1/cgroups.rst § 2.1 Basic Usage.
        """
        self.close()
        for directory in self.directories():
            remove_directory(directory)

    def close(self) -> None:
        """See ``Cgroup``.

        Source: close(2).
        """
        for files in self._files.values():
            files.close()


def _make(directory: str) -> None:
    """Make a directory and its parents, the common case in one call."""
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        return
    except FileNotFoundError:
        os.makedirs(directory, 0o755, exist_ok=True)


def _inherit_cpuset(mount: str, path: str) -> None:
    """Give a new group, and new ones above it, the processors and memory nodes of its parent: it starts with none.

    Source: Documentation/admin-guide/cgroup-v1/cpusets.rst § 2.1.
    """
    parent = mount
    for name in path.strip("/").split("/"):
        directory = f"{parent}/{name}"
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not _content(f"{directory}/{file}"):
                Files(directory).write(file, _content(f"{parent}/{file}"))
        parent = directory


def _content(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def _rule(device: LinuxDeviceCgroup) -> str:
    """Return a device rule as the controller has it, such as ``c 1:3 rwm``."""
    numbers = ":".join("*" if device.get(key, -1) in (-1, None) else str(device[key]) for key in ("major", "minor"))
    return f"{device.get('type', 'a')} {numbers} {device.get('access', 'rwm')}"


def _io_bytes(text: bytes) -> tuple[int, int]:
    """Add up the bytes read and written of all devices, from lines such as ``8:0 Read 4096``."""
    totals = {b"Read": 0, b"Write": 0}
    words = text.split()
    for position, word in enumerate(words[:-1]):
        if word in totals:
            totals[word] += int(words[position + 1])
    return totals[b"Read"], totals[b"Write"]
