"""What can be said of limits before the kernel is asked, the same for both versions."""

from __future__ import annotations

import os

from nbcontainers.errors import Conflict, InvalidArgument, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxBlockIO, LinuxCPU, LinuxMemory


def check_memory(memory: LinuxMemory) -> None:
    """Refuse limits of memory that make no sense.

    Raises:
        InvalidArgument: A limit of nothing, or one with swap that is below the one without.

    Source: OCI runtime-spec, config-linux.md § Memory.
    """
    limit, swap = memory.get("limit"), memory.get("swap")
    if limit == 0:
        raise InvalidArgument("invalid memory limit '0': a number of bytes, or -1 for no limit")
    if limit is not None and swap is not None and swap >= 0 and (limit < 0 or swap < limit):
        raise swap_below_memory(limit, swap)


def swap_below_memory(limit: int, swap: int) -> InvalidArgument:
    """Return the error for a limit of memory and swap together that is below the one of memory alone.

    Source: Documentation/admin-guide/cgroup-v1/memory.rst § 2.4 Swap Extension.
    """
    memory = "no limit" if limit < 0 else f"'{limit}' bytes"
    return InvalidArgument(
        f"memory and swap together may not be less than memory alone: '{swap}' bytes, and {memory}; set both"
    )


def memory_in_use(name: str, limit: int | None, used: int) -> Conflict:
    """Return the error for a limit below what is in use and cannot be freed.

    Source: Documentation/admin-guide/cgroup-v1/memory.rst § 3.4 Limits.
    """
    return Conflict(f"cannot lower {name} to '{limit}': '{used}' bytes are in use, too few can be freed")


def check_cpu(cpu: LinuxCPU) -> None:
    """Refuse shares, a quota or a period that make no sense.

    Raises:
        InvalidArgument: With the value, and what would be right.

    Source: OCI runtime-spec, config-linux.md § CPU.
    """
    shares, quota, period = cpu.get("shares", 2), cpu.get("quota", -1), cpu.get("period", 1000)
    if shares < 1:
        raise InvalidArgument(f"invalid cpu shares '{shares}': a number from 2 to 262144")
    if 0 < quota < 1000:
        raise InvalidArgument(f"invalid cpu quota '{quota}': at least 1000 microseconds, or -1 for none")
    if not 1000 <= period <= 1_000_000:
        raise InvalidArgument(f"invalid cpu period '{period}': from 1000 to 1000000 microseconds")


def check_subset(kind: str, asked: str, available: str) -> None:
    """Refuse processors or memory nodes that the group above has not.

    Version 2 takes any number, and leaves out those that are not there, or all.

    Args:
        kind: ``cpus`` or ``mems``.
        asked: A list such as ``0-2,7``.
        available: The same, of the group above.

    Raises:
        InvalidArgument: Not a list, or not all of it is available.

    Source: cpuset(7) § List Format.
    """
    what = "CPUs" if kind == "cpus" else "memory nodes"
    try:
        wanted = _numbers(asked)
    except ValueError:
        raise InvalidArgument(f"invalid value '{asked}' for cpuset.{kind}: a list such as 0-2,7 is wanted") from None
    if not wanted or not wanted <= _numbers(available):
        raise InvalidArgument(f"requested {what} are not available: requested '{asked}', available '{available}'")


def _numbers(text: str) -> set[int]:
    """Return the numbers of a list such as ``0-2,7``."""
    numbers: set[int] = set()
    for part in text.strip().split(",") if text.strip() else ():
        first, _, last = part.partition("-")
        numbers.update(range(int(first), min(int(last or first), 1 << 16) + 1))
    return numbers


def check_block_io(block_io: LinuxBlockIO) -> None:
    """Refuse a weight that makes no sense.

    Raises:
        InvalidArgument: With the value, and what would be right.

    Source: OCI runtime-spec, config-linux.md § Block IO.
    """
    if "weight" in block_io and not 10 <= block_io["weight"] <= 1000:
        raise InvalidArgument(f"invalid block io weight '{block_io['weight']}': from 10 to 1000")


def scheduled_by_bfq(block: str = "/sys/block") -> bool:
    """Say whether any disk is scheduled by weights: elsewhere the kernel takes a weight, and does nothing with it.

    Args:
        block: Where the kernel shows its block devices.

    Source: Documentation/block/bfq-iosched.rst; Documentation/block/switching-sched.rst.
    """
    for disk in os.listdir(block) if os.path.isdir(block) else ():
        try:
            with open(f"{block}/{disk}/queue/scheduler") as file:
                if "[bfq]" in file.read():
                    return True
        except OSError:
            continue
    return False


def no_weights() -> Unavailable:
    """Return the error for a weight where no disk is scheduled by weights.

    Source: Documentation/block/switching-sched.rst.
    """
    remedy = "echo bfq > /sys/block/DISK/queue/scheduler"
    return Unavailable("block io weight", "no disk here is scheduled by weights", remedy)
