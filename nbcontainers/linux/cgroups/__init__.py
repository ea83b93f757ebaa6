"""Control groups: how much of the machine a set of processes may use, and how much it has used.

The kernel has two forms. In version 1 every controller (memory, cpu, pids, …) has a hierarchy of its own; in
version 2 there is one hierarchy for all. A machine may have both mounted: then each controller belongs to whichever
hierarchy owns it. Both drivers here have one interface (``Cgroup``): limits go in as the OCI runtime specification
has them, use comes out as ``Usage``.

Reading order: ``common`` (what both share), ``v2`` (the simpler one), ``v1``.

Example:
    >>> driver = detect()
    >>> group = driver.create("/nbcontainers/lesson", {"memory": {"limit": 64 << 20}})
    >>> group.attach(os.getpid())
    >>> group.usage().memory_bytes

Source: cgroups(7).
"""

from __future__ import annotations

from nbcontainers.errors import Unavailable
from nbcontainers.linux.cgroups.common import Cgroup, Driver, Usage
from nbcontainers.linux.cgroups.v1 import DriverV1
from nbcontainers.linux.cgroups.v2 import DriverV2

__all__ = ["Cgroup", "Driver", "DriverV1", "DriverV2", "Usage", "detect"]


def detect(mountinfo: str = "/proc/self/mountinfo") -> Driver:
    """Return the driver for this machine: v1 where any v1 hierarchy owns a controller, else v2.

    Args:
        mountinfo: The mount table to read.

    Raises:
        Unavailable: No hierarchy with a controller is mounted.

    Source: cgroups(7) § Mounting v1 controllers; proc_pid_mountinfo(5).
    """
    hierarchies: dict[str, str] = {}
    unified = ""
    with open(mountinfo) as file:
        for line in file:
            before, _, after = line.partition(" - ")
            mountpoint = before.split()[4]
            kind, _, options = after.split()[:3]
            if kind == "cgroup2":
                unified = unified or mountpoint
            elif kind == "cgroup":
                for option in options.split(","):
                    hierarchies.setdefault(option, mountpoint)
    if any(name in hierarchies for name in DriverV1.KNOWN):
        return DriverV1(hierarchies)
    if unified:
        return DriverV2(unified)
    raise Unavailable(
        "control groups", "no hierarchy with controllers is mounted", "mount -t cgroup2 none /sys/fs/cgroup"
    )
