"""Control groups: how much of the machine a set of processes may use, and how much it has used.

The kernel has two forms. In version 1 every controller (memory, cpu, pids, …) has a hierarchy of its own; in
version 2 there is one hierarchy for all. A machine may have both mounted: then each controller belongs to whichever
hierarchy owns it. All drivers here have one interface (``Cgroup``): limits go in as the OCI runtime specification
has them, use comes out as ``Usage``.

Reading order: ``common`` (the interface), ``v2`` (the simpler one), ``v2_limits`` (which limit is written into which
file), ``v1``, ``v1_limits``, ``hybrid``; beside them ``files`` (reading and writing what the kernel shows), ``checks``
(limits that make no sense), ``killing``.

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
from nbcontainers.linux.cgroups.hybrid import DriverHybrid
from nbcontainers.linux.cgroups.v1 import DriverV1
from nbcontainers.linux.cgroups.v2 import DriverV2

__all__ = ["Cgroup", "Driver", "DriverHybrid", "DriverV1", "DriverV2", "Usage", "detect"]


RESOURCES = frozenset({"memory", "cpu", "cpuset", "pids", "io"})
"""The controllers that both versions have."""


def detect(mountinfo: str = "/proc/self/mountinfo") -> Driver:
    """Return the driver for this machine: for version 1, version 2, or both where either has some of the controllers.

    Args:
        mountinfo: The mount table to read.

    Raises:
        Unavailable: No hierarchy with a controller is mounted.

    Source: cgroups(7) § Mounting v1 controllers, Cgroups v2 controllers; proc_pid_mountinfo(5).
    """
    hierarchies, unified = _mounted(mountinfo)
    v1 = DriverV1(hierarchies)
    v2 = DriverV2(unified) if unified else None
    if v2 is not None and v2.controllers:
        # What version 1 has beside these, such as its freezer, is no reason to use it: version 2 has its own.
        return DriverHybrid(v1, v2) if v1.controllers & RESOURCES else v2
    if v1.controllers:
        return v1
    raise Unavailable(
        "control groups", "no hierarchy with controllers is mounted", "mount -t cgroup2 none /sys/fs/cgroup"
    )


def _mounted(mountinfo: str) -> tuple[dict[str, str], str]:
    """Return where the hierarchy of each controller of version 1 is mounted, and where that of version 2 is."""
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
    return hierarchies, unified
