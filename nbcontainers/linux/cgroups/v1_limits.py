"""Limits of version 1: what the OCI runtime specification calls a resource, as the kernel's files have it.

Source: OCI runtime-spec, config-linux.md § Control groups; Documentation/admin-guide/cgroup-v1/.
"""

from __future__ import annotations

import errno
import os

from nbcontainers.errors import SyscallError, Unavailable
from nbcontainers.linux.cgroups import checks
from nbcontainers.linux.cgroups.files import Files, read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxBlockIO, LinuxCPU, LinuxDeviceCgroup, LinuxMemory, LinuxResources

NO_LIMIT = 1 << 60
"""From here on a number of bytes is what the kernel shows for no limit."""
_CPU_FILES = (
    ("period", "cpu.cfs_period_us"),
    ("quota", "cpu.cfs_quota_us"),
    ("shares", "cpu.shares"),
    ("realtimePeriod", "cpu.rt_period_us"),
    ("realtimeRuntime", "cpu.rt_runtime_us"),
)


class LimitsV1:
    """The limits of one group.

    Args:
        files: The group's files in the hierarchy of each controller that is mounted.
    """

    def __init__(self, files: dict[str, Files]) -> None:
        self._files = files

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
            controller(self._files, "pids").write("pids.max", str(limit) if limit > 0 else "max")
        if block_io := resources.get("blockIO"):
            self._apply_block_io(block_io)
        for device in resources.get("devices", ()):
            controller(self._files, "devices").write(
                "devices.allow" if device["allow"] else "devices.deny", _rule(device)
            )

    def _apply_memory(self, memory: LinuxMemory) -> None:
        checks.check_memory(memory)
        files = controller(self._files, "memory")
        if "reservation" in memory:
            files.write("memory.soft_limit_in_bytes", str(memory["reservation"]))
        limit, swap = memory.get("limit"), memory.get("swap")
        if limit is not None or swap is not None:
            self._limit_memory(files, limit, swap)
        if "swappiness" in memory:
            files.write("memory.swappiness", str(memory["swappiness"]))
        if "disableOOMKiller" in memory:
            files.write("memory.oom_control", str(int(memory["disableOOMKiller"])))

    def _limit_memory(self, files: Files, limit: int | None, swap: int | None) -> None:
        """Set the limit of memory, and that of memory and swap together, which may never be below it."""
        alone, together = files.number("memory.limit_in_bytes"), files.number("memory.memsw.limit_in_bytes")
        above = limit is not None and (limit < 0 or limit > together) and bool(together)
        if limit is not None and swap is None and above and together < NO_LIMIT:
            raise checks.swap_below_memory(limit, together)
        if limit is None and swap is not None and 0 <= swap < alone:
            raise checks.swap_below_memory(alone if alone < NO_LIMIT else -1, swap)
        writes = [("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", swap)]
        try:
            for name, value in reversed(writes) if above else writes:
                if value is not None:
                    files.write(name, str(value))
        except SyscallError as error:
            if error.errno != errno.EBUSY:
                raise
            files.write("memory.limit_in_bytes", str(alone))  # where it was lowered, and the other could not be
            used = files.number("memory.memsw.usage_in_bytes") or files.number("memory.usage_in_bytes")
            raise checks.memory_in_use(name, value, used) from None

    def _apply_cpu(self, cpu: LinuxCPU) -> None:
        checks.check_cpu(cpu)
        for key, name in _CPU_FILES:
            if key in cpu:
                value: int = cpu[key]  # type: ignore[literal-required]
                controller(self._files, "cpu").write(name, str(value if value > 0 else -1))
        for key in ("cpus", "mems"):
            if key in cpu:
                files, asked = controller(self._files, "cpuset"), str(cpu[key])  # type: ignore[literal-required]
                checks.check_subset(key, asked, read_text(f"{os.path.dirname(files.directory)}/cpuset.effective_{key}"))
                files.write(f"cpuset.{key}", asked)

    def _apply_block_io(self, block_io: LinuxBlockIO) -> None:
        checks.check_block_io(block_io)
        files = controller(self._files, "blkio")
        if "weight" in block_io:
            if not checks.scheduled_by_bfq():
                raise checks.no_weights()
            files.write("blkio.bfq.weight", str(block_io["weight"]))
        for weighed in block_io.get("weightDevice", ()):
            files.write("blkio.bfq.weight_device", f"{weighed['major']}:{weighed['minor']} {weighed['weight']}")
        for key, name in (
            ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
            ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
            ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
            ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
        ):
            for device in block_io.get(key, ()):  # type: ignore[attr-defined]
                files.write(name, f"{device['major']}:{device['minor']} {device['rate']}")


def controller(files: dict[str, Files], name: str) -> Files:
    """Return a group's files in the hierarchy of one controller.

    Raises:
        Unavailable: It is not mounted.

    Source: cgroups(7) § Mounting v1 controllers.
    """
    found = files.get(name)
    if found is None:
        raise Unavailable(f"limits of {name}", "its hierarchy is not mounted", f"mount -t cgroup -o {name}")
    return found


def _rule(device: LinuxDeviceCgroup) -> str:
    """Return a device rule as the controller has it, such as ``c 1:3 rwm``."""
    numbers = ":".join("*" if device.get(key, -1) in (-1, None) else str(device[key]) for key in ("major", "minor"))
    return f"{device.get('type', 'a')} {numbers} {device.get('access', 'rwm')}"
