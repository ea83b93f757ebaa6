"""Version 2: one hierarchy; a group is one directory, and its controllers are switched on by its parent.

A group that has processes cannot give controllers to groups below it (the rule of no internal processes), so a
container's group is always a leaf, and its parents hold none. A child can be born in a group (``clone`` with a
``cgroup_fd``): nothing has to be moved.

Source: Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
import select

from nbcontainers.errors import Unavailable
from nbcontainers.linux.cgroups.common import Cgroup, Driver, Files, Usage, remove_directory, subdirectories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxBlockIO, LinuxCPU, LinuxMemory, LinuxResources

_WANTED = ("memory", "cpu", "cpuset", "pids", "io")
DEFAULT_PERIOD_USEC = 100_000


class DriverV2(Driver):
    """The hierarchy of version 2.

    Args:
        mount: Where it is mounted.
    """

    version = 2

    def __init__(self, mount: str) -> None:
        self.mount = mount
        with open(f"{mount}/cgroup.controllers") as file:
            available = file.read().split()
        self.controllers = frozenset(name for name in _WANTED if name in available)

    def create(self, path: str, resources: LinuxResources) -> CgroupV2:
        """See ``Driver``.

        Source: Documentation/admin-guide/cgroup-v2.rst § Enabling and Disabling.
        """
        directory = self.mount
        for name in path.strip("/").split("/"):
            self._enable(directory)
            directory = f"{directory}/{name}"
            try:
                os.mkdir(directory, 0o755)
            except FileExistsError:
                continue
        group = self.open(path)
        try:
            group.apply(resources)
        except BaseException:
            group.remove()
            raise
        return group

    def _enable(self, directory: str) -> None:
        files = Files(directory)
        try:
            missing = self.controllers - set(files.read("cgroup.subtree_control").decode().split())
        finally:
            files.close()
        if missing:
            files.write("cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(missing)))

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
        """See ``Driver``; the root group has no such file, so the answer is whether memory is controlled.

        Source: Documentation/admin-guide/cgroup-v2.rst § Memory Interface Files.
        """
        return "memory" in self.controllers and os.path.exists("/proc/swaps")


class CgroupV2(Cgroup):
    """A group of version 2."""

    def __init__(self, path: str, mount: str, controllers: frozenset[str]) -> None:
        self.path = path
        self._mount = mount
        self._controllers = controllers
        self._files = Files(mount + path)

    def apply(self, resources: LinuxResources) -> None:
        """See ``Cgroup``.

        Source: OCI runtime-spec, config-linux.md § Control groups.
        """
        if memory := resources.get("memory"):
            self._apply_memory(memory)
        if cpu := resources.get("cpu"):
            self._apply_cpu(cpu)
        if pids := resources.get("pids"):
            self._need("pids")
            self._files.write("pids.max", str(pids["limit"]) if pids["limit"] > 0 else "max")
        if block_io := resources.get("blockIO"):
            self._apply_block_io(block_io)
        if resources.get("devices"):
            raise Unavailable("device rules", "version 2 has no devices controller", "leave out --device-cgroup-rule")

    def _apply_memory(self, memory: LinuxMemory) -> None:
        self._need("memory")
        limit = memory.get("limit")
        if "reservation" in memory:
            self._files.write("memory.low", str(memory["reservation"]))
        if limit is not None:
            self._files.write("memory.max", str(limit) if limit > 0 else "max")
        if "swap" in memory:
            # The specification counts memory and swap together, version 2 counts swap alone.
            swap = memory["swap"]
            self._files.write("memory.swap.max", "max" if swap < 0 else str(max(swap - (limit or 0), 0)))
        if memory.get("disableOOMKiller"):
            raise Unavailable("disabling the oom killer", "version 2 cannot", "leave out --oom-kill-disable")

    def _apply_cpu(self, cpu: LinuxCPU) -> None:
        if "quota" in cpu or "period" in cpu:
            self._need("cpu")
            quota = cpu.get("quota", -1)
            text = "max" if quota <= 0 else str(quota)
            self._files.write("cpu.max", f"{text} {cpu.get('period', DEFAULT_PERIOD_USEC)}")
        if "shares" in cpu:
            self._need("cpu")
            self._files.write("cpu.weight", str(weight_of_shares(cpu["shares"])))
        for key in ("cpus", "mems"):
            if key in cpu:
                self._need("cpuset")
                self._files.write(f"cpuset.{key}", cpu[key])

    def _apply_block_io(self, block_io: LinuxBlockIO) -> None:
        self._need("io")
        if "weight" in block_io:
            for name in ("io.bfq.weight", "io.weight"):
                if os.path.exists(f"{self._files.directory}/{name}"):
                    self._files.write(
                        name, f"default {block_io['weight']}" if name == "io.weight" else str(block_io["weight"])
                    )
                    break
            else:
                raise Unavailable("block io weight", "no i/o scheduler here has weights", "use the bfq scheduler")
        for key, word in (
            ("throttleReadBpsDevice", "rbps"),
            ("throttleWriteBpsDevice", "wbps"),
            ("throttleReadIOPSDevice", "riops"),
            ("throttleWriteIOPSDevice", "wiops"),
        ):
            for device in block_io.get(key, ()):  # type: ignore[attr-defined]
                self._files.write("io.max", f"{device['major']}:{device['minor']} {word}={device['rate']}")

    def _need(self, controller: str) -> None:
        if controller not in self._controllers:
            raise Unavailable(f"limits of {controller}", "its controller is not enabled", "delegate it to this engine")

    def directory_fd(self) -> int:
        """Return a descriptor for ``clone`` to have a child born in the group.

        Source: clone(2) § CLONE_INTO_CGROUP.
        """
        return os.open(self._files.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def attach(self, pid: int) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § Organizing Processes.
        """
        self._files.write("cgroup.procs", str(pid))

    def procs(self) -> list[int]:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § Core Interface Files.
        """
        return [int(pid) for pid in self._files.read("cgroup.procs").split()]

    def freeze(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.freeze.
        """
        self._files.write("cgroup.freeze", "1")

    def thaw(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.freeze.
        """
        self._files.write("cgroup.freeze", "0")

    def kill(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.kill.
        """
        self._files.write("cgroup.kill", "1")

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
        for word in files.read("io.stat").split():
            key, _, value = word.partition(b"=")
            usage.io_read_bytes += int(value) if key == b"rbytes" else 0
            usage.io_write_bytes += int(value) if key == b"wbytes" else 0
        return usage

    def oom_kills(self) -> int:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § memory.events.
        """
        return self._files.table("memory.events").get(b"oom_kill", 0)

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
        """See ``Cgroup``.

        Source: Documentation/accounting/psi.rst.
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

    def remove(self) -> None:
        """See ``Cgroup``; waits, by event, until the last process has gone.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.events.
        """
        self.close()
        try:
            remove_directory(self._files.directory)
        except OSError:
            self._wait_until_empty(5000)
            remove_directory(self._files.directory)

    def _wait_until_empty(self, timeout_milliseconds: int) -> None:
        fd = os.open(f"{self._files.directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLPRI)
            while b"populated 1" in os.pread(fd, 4096, 0):
                if not poll.poll(timeout_milliseconds):
                    return
        finally:
            os.close(fd)

    def close(self) -> None:
        """See ``Cgroup``.

        Source: close(2).
        """
        self._files.close()


def weight_of_shares(shares: int) -> int:
    """Return the weight (1 to 10000) that stands for version 1's shares (2 to 262144).

    Source: OCI runtime-spec, config-linux.md § CPU; the conversion that systemd and runc use.
    """
    return 1 + (max(2, min(shares, 262144)) - 2) * 9999 // 262142
