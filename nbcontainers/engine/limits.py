"""Limits: from what Docker's clients ask for to the OCI runtime specification's ``linux.resources``.

Nonsense is refused here, before anything was made, in Docker's words where Docker has some.
"""

import os
import re
import resource
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbcontainers import errors
from nbcontainers.engine.configuration import HostConfig, ThrottleDevice
from nbcontainers.linux import cgroups
from nbcontainers.linux.cgroups.checks import scheduled_by_bfq

if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxResources, LinuxThrottleDevice

MINIMUM_MEMORY_BYTES = 6 << 20
DEFAULT_CPU_PERIOD_USEC = 100_000
_MOUNTED = "or the cgroup is not mounted."
_DISCARDED = {
    "swap": f"Your kernel does not support swap limit capabilities {_MOUNTED} Memory limited without swap.",
    "memory_swappiness": f"Your kernel does not support memory swappiness capabilities {_MOUNTED} "
    "Memory swappiness discarded.",
    "oom_kill_disable": "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    "blkio_weight": f"Your kernel does not support Block I/O weight {_MOUNTED} Weight discarded.",
    "blkio_weight_devices": f"Your kernel does not support Block I/O weight_device {_MOUNTED} Weight-device discarded.",
}
_NOTHING: dict[str, dict[str, Any]] = {
    "memory_swappiness": {"memory_swappiness": None},
    "oom_kill_disable": {"oom_kill_disable": False},
    "blkio_weight": {"blkio_weight": 0},
    "blkio_weight_devices": {"blkio_weight_devices": ()},
}
_CPU_SET = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


def check(limits: HostConfig) -> None:
    """Refuse limits that make no sense.

    Raises:
        errors.InvalidArgument: With the offending value and what would be right.
    """
    _check_memory(limits)
    _check_cpu(limits)
    _check_cpu_set("cpuset-cpus", limits.cpuset_cpus)
    _check_cpu_set("cpuset-mems", limits.cpuset_mems)
    if limits.pids_limit < -1:
        raise errors.InvalidArgument(f"invalid pids limit '{limits.pids_limit}': a positive number, or -1 for none")
    if limits.blkio_weight and not 10 <= limits.blkio_weight <= 1000:
        raise errors.InvalidArgument(f"range of blkio weight is from 10 to 1000, not '{limits.blkio_weight}'")
    if not -1000 <= limits.oom_score_adj <= 1000:
        raise errors.InvalidArgument(
            f"invalid value '{limits.oom_score_adj}', range for oom score adj is [-1000, 1000]"
        )
    if limits.shm_size_bytes < 0:
        raise errors.InvalidArgument(f"SHM size can not be less than 0, not '{limits.shm_size_bytes}'")
    for device in limits.blkio_weight_devices:
        if not 10 <= device.weight <= 1000:
            raise errors.InvalidArgument(f"range of blkio weight is from 10 to 1000, not '{device.weight}'")
    for limit in limits.ulimits:
        if not hasattr(resource, f"RLIMIT_{limit.name.upper()}"):
            raise errors.InvalidArgument(f"invalid ulimit type: {limit.name}")
        if limit.hard != -1 and (limit.soft > limit.hard or limit.soft == -1):
            raise errors.InvalidArgument(
                f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}"
            )


def adapt(limits: HostConfig, *, swap_limit: bool) -> tuple[HostConfig, list[str]]:
    """Leave out what this machine cannot limit, and give the limits that follow from others.

    Args:
        limits: Checked limits.
        swap_limit: Whether this machine can limit swap.

    Returns:
        The limits, and a warning for each that was left out or is risky, in Docker's words.
    """
    driver = cgroups.detect()
    warnings: list[str] = []
    asked = {
        "memory_swappiness": limits.memory_swappiness is not None and driver.version_of("memory") == 2,
        "oom_kill_disable": limits.oom_kill_disable and driver.version_of("memory") == 2,
        "blkio_weight": bool(limits.blkio_weight) and not scheduled_by_bfq(),
        "blkio_weight_devices": bool(limits.blkio_weight_devices) and not scheduled_by_bfq(),
    }
    if limits.memory_bytes and limits.memory_swap_bytes != -1 and not swap_limit:
        warnings.append(_DISCARDED["swap"])
        limits = replace(limits, memory_swap_bytes=-1)
    elif limits.memory_bytes and not limits.memory_swap_bytes:
        limits = replace(limits, memory_swap_bytes=2 * limits.memory_bytes)
    for name, discarded in asked.items():
        if discarded:
            warnings.append(_DISCARDED[name])
            limits = replace(limits, **_NOTHING[name])
    if limits.oom_kill_disable and not limits.memory_bytes:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
            "running out of resources."
        )
    return limits, warnings


def _check_memory(limits: HostConfig) -> None:
    memory, swap, reservation = limits.memory_bytes, limits.memory_swap_bytes, limits.memory_reservation_bytes
    if memory < 0 or (memory and memory < MINIMUM_MEMORY_BYTES):
        raise errors.InvalidArgument(f"minimum memory limit allowed is 6MB, not '{memory}' bytes")
    if swap < -1:
        raise errors.InvalidArgument(f"invalid memory swap limit '{swap}': bytes, or -1 for none")
    if swap > 0 and not memory:
        raise errors.InvalidArgument("you should always set the memory limit when using the memory swap limit")
    if 0 < swap < memory:
        raise errors.InvalidArgument(
            f"minimum memory swap limit should be larger than memory limit '{memory}', not '{swap}'"
        )
    if limits.memory_swappiness is not None and not 0 <= limits.memory_swappiness <= 100:
        raise errors.InvalidArgument(
            f"invalid value: {limits.memory_swappiness}, valid memory swappiness range is 0-100"
        )
    if 0 < reservation < MINIMUM_MEMORY_BYTES:
        raise errors.InvalidArgument(f"minimum memory reservation allowed is 6MB, not '{reservation}' bytes")
    if reservation < 0 or (memory and reservation > memory):
        raise errors.InvalidArgument(
            f"minimum memory limit can not be less than memory reservation limit '{reservation}'"
        )


def _check_realtime(limits: HostConfig) -> None:
    period, runtime = limits.cpu_realtime_period_usec, limits.cpu_realtime_runtime_usec
    if (period or runtime) and not cgroups.detect().realtime():
        raise errors.InvalidArgument("kernel does not support CPU real-time scheduler")
    if period and runtime > period:
        raise errors.InvalidArgument("cpu real-time runtime cannot be higher than cpu real-time period")


def _check_cpu(limits: HostConfig) -> None:
    _check_realtime(limits)
    processors = os.cpu_count() or 1
    if limits.nano_cpus and not 10**7 <= limits.nano_cpus <= processors * 10**9:
        raise errors.InvalidArgument(
            f"range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs available, "
            f"not '{limits.nano_cpus / 10**9:.2f}'"
        )
    if limits.nano_cpus and (limits.cpu_quota_usec or limits.cpu_period_usec):
        raise errors.InvalidArgument("conflicting options: nano CPUs and CPU period or quota cannot both be set")
    if limits.cpu_period_usec and not 1_000 <= limits.cpu_period_usec <= 1_000_000:
        raise errors.InvalidArgument(
            f"CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000), "
            f"not '{limits.cpu_period_usec}'"
        )
    if limits.cpu_quota_usec and limits.cpu_quota_usec != -1 and limits.cpu_quota_usec < 1_000:
        raise errors.InvalidArgument(
            f"CPU cfs quota can not be less than 1ms (i.e. 1000), not '{limits.cpu_quota_usec}'"
        )
    if limits.cpu_shares < 0:
        raise errors.InvalidArgument(f"invalid CPU shares '{limits.cpu_shares}': a positive number")


def _check_cpu_set(option: str, value: str) -> None:
    if value and not _CPU_SET.fullmatch(value):
        raise errors.InvalidArgument(f"invalid value '{value}' for {option}: a list such as 0-2,7 is wanted")


def resources(limits: HostConfig, *, swap_limit: bool) -> "LinuxResources":
    """Return the limits as the runtime wants them; only what was asked for stands in it.

    Args:
        limits: Checked limits.
        swap_limit: Whether this machine can limit swap; without, memory is limited without swap, as in Docker.

    Source: OCI runtime-spec, config-linux.md § Control groups.
    """
    result: LinuxResources = {}
    if memory := _memory(limits, swap_limit):
        result["memory"] = memory  # type: ignore[typeddict-item]
    if cpu := _cpu(limits):
        result["cpu"] = cpu  # type: ignore[typeddict-item]
    if limits.pids_limit > 0:
        result["pids"] = {"limit": limits.pids_limit}
    block_io: dict[str, object] = {}
    if limits.blkio_weight:
        block_io["weight"] = limits.blkio_weight
    if limits.blkio_weight_devices:
        block_io["weightDevice"] = [
            {**_numbers(device.path), "weight": device.weight} for device in limits.blkio_weight_devices
        ]
    for name, devices in (
        ("throttleReadBpsDevice", limits.blkio_read_bps),
        ("throttleWriteBpsDevice", limits.blkio_write_bps),
        ("throttleReadIOPSDevice", limits.blkio_read_iops),
        ("throttleWriteIOPSDevice", limits.blkio_write_iops),
    ):
        if devices:
            block_io[name] = [_throttle(device) for device in devices]
    if block_io:
        result["blockIO"] = block_io  # type: ignore[typeddict-item]
    return result


def _memory(limits: HostConfig, swap_limit: bool) -> dict[str, object]:
    memory: dict[str, object] = {}
    if limits.memory_bytes:
        memory["limit"] = limits.memory_bytes
        if swap_limit:
            memory["swap"] = limits.memory_swap_bytes or 2 * limits.memory_bytes
    if limits.memory_reservation_bytes:
        memory["reservation"] = limits.memory_reservation_bytes
    if limits.memory_swappiness is not None:
        memory["swappiness"] = limits.memory_swappiness
    if limits.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(limits: HostConfig) -> dict[str, object]:
    cpu: dict[str, object] = {}
    if limits.nano_cpus:
        cpu["period"] = DEFAULT_CPU_PERIOD_USEC
        cpu["quota"] = limits.nano_cpus * DEFAULT_CPU_PERIOD_USEC // 10**9
    if limits.cpu_period_usec:
        cpu["period"] = limits.cpu_period_usec
    if limits.cpu_quota_usec:
        cpu["quota"] = limits.cpu_quota_usec
    if limits.cpu_realtime_period_usec:
        cpu["realtimePeriod"] = limits.cpu_realtime_period_usec
    if limits.cpu_realtime_runtime_usec:
        cpu["realtimeRuntime"] = limits.cpu_realtime_runtime_usec
    if limits.cpu_shares:
        cpu["shares"] = limits.cpu_shares
    if limits.cpuset_cpus:
        cpu["cpus"] = limits.cpuset_cpus
    if limits.cpuset_mems:
        cpu["mems"] = limits.cpuset_mems
    return cpu


def _throttle(device: ThrottleDevice) -> "LinuxThrottleDevice":
    numbers = _numbers(device.path)
    return {"major": numbers["major"], "minor": numbers["minor"], "rate": device.rate}


def _numbers(path: str) -> dict[str, int]:
    try:
        number = os.stat(path).st_rdev
    except OSError as error:
        raise errors.InvalidArgument(f"no such block device: '{path}'") from error
    return {"major": os.major(number), "minor": os.minor(number)}
