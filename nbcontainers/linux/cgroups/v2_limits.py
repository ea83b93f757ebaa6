"""Limits of version 2: what the OCI runtime specification calls a resource, as the kernel's files have it.

The specification was written for version 1, and counts otherwise here and there: memory and swap together, processor
time in shares. Below each limit stands how it is converted.

Source: OCI runtime-spec, config-linux.md § Control groups; Documentation/admin-guide/cgroup-v2.rst § Controllers.
"""

from __future__ import annotations

import os

from nbcontainers.errors import Conflict, Unavailable
from nbcontainers.linux.cgroups import checks
from nbcontainers.linux.cgroups.files import Files, read_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxBlockIO, LinuxCPU, LinuxMemory, LinuxResources

_DEFAULT_SHARES = 1024
_DEFAULT_WEIGHT = 100


class LimitsV2:
    """The limits of one group.

    Args:
        files: The group's files.
        mount: Where the hierarchy is mounted.
        controllers: The controllers that the group has.
    """

    def __init__(self, files: Files, mount: str, controllers: frozenset[str]) -> None:
        self._files = files
        self._mount = mount
        self._controllers = controllers

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
            self._files.write("pids.max", str(pids["limit"] if pids["limit"] > 0 else "max"))
        if block_io := resources.get("blockIO"):
            self._apply_block_io(block_io)
        if resources.get("devices"):
            raise Unavailable("device rules", "version 2 has no devices controller", "leave out --device-cgroup-rule")

    def _apply_memory(self, memory: LinuxMemory) -> None:
        checks.check_memory(memory)
        self._need("memory")
        if memory.get("disableOOMKiller"):
            raise Unavailable("disabling the oom killer", "version 2 cannot", "leave out --oom-kill-disable")
        if "reservation" in memory:
            self._files.write("memory.low", str(max(memory["reservation"], 0)))
        limit, swap = memory.get("limit"), memory.get("swap")
        old_swap = self._files.read("memory.swap.max").decode().strip()
        swap_alone = self._swap_alone(limit, swap)
        if swap_alone and swap_alone != old_swap:
            self._files.write("memory.swap.max", swap_alone)
        if limit is not None:
            try:
                self._limit_memory(limit)
            except Conflict:
                self._files.write("memory.swap.max", old_swap)
                raise

    def _swap_alone(self, limit: int | None, swap: int | None) -> str:
        """Return what ``memory.swap.max`` is to be, or an empty string for what it is.

        The specification counts memory and swap together, version 2 counts swap alone: so a limit of memory that is
        changed alone changes that of swap, as on version 1.
        """
        files = self._files
        if swap is not None and swap < 0:
            return "max"
        if limit is not None and swap is not None:
            return str(swap - limit)
        old_limit, old_swap = files.read("memory.max").strip(), files.read("memory.swap.max").strip()
        if limit is None and swap is not None:
            alone = -1 if old_limit == b"max" else int(old_limit)
            if alone < 0 or swap < alone:
                raise checks.swap_below_memory(alone, swap)
            return str(swap - alone)
        if limit is None or b"max" in (old_limit, old_swap) or not old_swap:
            return ""
        together = int(old_limit) + int(old_swap)
        if limit < 0 or limit > together:
            raise checks.swap_below_memory(limit, together)
        return str(together - limit)

    def _limit_memory(self, limit: int) -> None:
        """Set the limit; a lower one than what is in use would have processes killed, so what can be freed is, first.

        Source: Documentation/admin-guide/cgroup-v2.rst § memory.high, memory.max.
        """
        files = self._files
        if 0 <= limit < files.number("memory.current"):
            files.write("memory.high", str(limit))
            try:
                if (used := files.number("memory.current")) > limit:
                    raise checks.memory_in_use("memory.max", limit, used)
                files.write("memory.max", str(limit))
            finally:
                files.write("memory.high", "max")
        else:
            files.write("memory.max", str(limit) if limit >= 0 else "max")

    def _apply_cpu(self, cpu: LinuxCPU) -> None:
        checks.check_cpu(cpu)
        if "quota" in cpu or "period" in cpu:
            self._need("cpu")
            quota, _, period = self._files.read("cpu.max").decode().strip().partition(" ")
            if "quota" in cpu:
                quota = str(cpu["quota"]) if cpu["quota"] > 0 else "max"
            self._files.write("cpu.max", f"{quota} {cpu.get('period', period)}")
        if "shares" in cpu:
            self._need("cpu")
            self._files.write("cpu.weight", str(weight_of_shares(cpu["shares"])))
        for key in ("cpus", "mems"):
            if key in cpu:
                self._need("cpuset")
                asked: str = cpu[key]
                above = os.path.dirname(self._files.directory)
                checks.check_subset(key, asked, read_whole(f"{above}/cpuset.{key}.effective").decode())
                self._files.write(f"cpuset.{key}", asked)

    def _apply_block_io(self, block_io: LinuxBlockIO) -> None:
        checks.check_block_io(block_io)
        self._need("io")
        if "weight" in block_io:
            self._weigh(block_io["weight"])
        for weighed in block_io.get("weightDevice", ()):
            self._files.write("io.bfq.weight", f"{weighed['major']}:{weighed['minor']} {weighed['weight']}")
        for key, word in (
            ("throttleReadBpsDevice", "rbps"),
            ("throttleWriteBpsDevice", "wbps"),
            ("throttleReadIOPSDevice", "riops"),
            ("throttleWriteIOPSDevice", "wiops"),
        ):
            for device in block_io.get(key, ()):  # type: ignore[attr-defined]
                self._files.write("io.max", f"{device['major']}:{device['minor']} {word}={device['rate'] or 'max'}")

    def _weigh(self, weight: int) -> None:
        """Set the weight for whichever of the two mechanisms is in use; elsewhere it would do nothing.

        Source: Documentation/admin-guide/cgroup-v2.rst § io.cost.qos, io.weight; Documentation/block/bfq-iosched.rst.
        """
        if checks.scheduled_by_bfq():
            self._files.write("io.bfq.weight", str(weight))
        elif b"enable=1" in read_whole(f"{self._mount}/io.cost.qos"):
            self._files.write("io.weight", f"default {1 + (weight - 10) * 9999 // 990}")
        else:
            raise checks.no_weights()

    def _need(self, controller: str) -> None:
        if controller not in self._controllers:
            raise Unavailable(f"limits of {controller}", "its controller is not enabled", "delegate it to this engine")


def weight_of_shares(shares: int) -> int:
    """Return the weight (1 to 10000) that stands for version 1's shares (2 to 262144).

    The kernel itself converts so: the default 1024 is the default 100, and twice the shares are twice the weight.

    Source: kernel/sched/core.c, cpu_weight_read_u64().
    """
    return max(1, min((shares * _DEFAULT_WEIGHT + _DEFAULT_SHARES // 2) // _DEFAULT_SHARES, 10_000))
