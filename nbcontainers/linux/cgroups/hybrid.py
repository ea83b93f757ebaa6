"""Both versions at once: a machine on which some controllers are in hierarchies of version 1, others in version 2.

A group is one of each version, of the same path. A limit goes to whichever has its controller, and where both could
do something, stop processes for instance, version 2 does it. It is slower to start containers in than either: a group
of version 2 cannot be renamed, so a prepared process is moved to one that has the final name.

Source: cgroups(7) § Cgroups v2 controllers.
"""

from __future__ import annotations

from nbcontainers.linux.cgroups.common import Cgroup, Driver, Usage, remove_made
from nbcontainers.linux.cgroups.v1 import CgroupV1, DriverV1
from nbcontainers.linux.cgroups.v2 import CgroupV2, DriverV2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxCPU, LinuxResources

_CPUSET_KEYS = ("cpus", "mems")


class DriverHybrid(Driver):
    """A driver for each version.

    Args:
        v1: With the controllers of version 1.
        v2: With the others.
    """

    version = 1

    def __init__(self, v1: DriverV1, v2: DriverV2) -> None:
        self._v1 = v1
        self._v2 = v2
        self.controllers = v1.controllers | v2.controllers

    def version_of(self, controller: str) -> int:
        """See ``Driver``.

        Source: cgroups(7).
        """
        return 2 if controller in self._v2.controllers else 1

    def make(self, path: str) -> list[str]:
        """See ``Driver``.

        Source: cgroups(7).
        """
        made = self._v2.make(path)
        try:
            return made + self._v1.make(path)
        except BaseException:
            remove_made(made)
            raise

    def open(self, path: str) -> CgroupHybrid:
        """See ``Driver``.

        Source: cgroups(7).
        """
        return CgroupHybrid(path, self._v1, self._v2)

    def children(self, path: str) -> set[str]:
        """See ``Driver``.

        Source: cgroups(7).
        """
        return self._v1.children(path) | self._v2.children(path)

    def swap_limit(self) -> bool:
        """See ``Driver``.

        Source: cgroups(7).
        """
        return self._v2.swap_limit() if self.version_of("memory") == 2 else self._v1.swap_limit()

    def realtime(self) -> bool:
        """See ``Driver``.

        Source: cgroups(7).
        """
        return self._v1.realtime()


class CgroupHybrid(Cgroup):
    """A group of version 1 and one of version 2."""

    def __init__(self, path: str, v1: DriverV1, v2: DriverV2) -> None:
        self.path = path
        self._driver = v2
        self._v1: CgroupV1 = v1.open(path)
        self._v2: CgroupV2 = v2.open(path)
        self._applied: list[LinuxResources] = []  # on version 2, for the group that takes over at a renaming

    def directories(self) -> list[str]:
        """Return the one of version 2, where processes are looked for, and those of version 1.

        Source: cgroups(7).
        """
        return self._v2.directories() + self._v1.directories()

    def split(self, resources: LinuxResources) -> tuple[LinuxResources, LinuxResources]:
        """Return the limits for version 1, and those for version 2.

        Source: OCI runtime-spec, config-linux.md § Control groups.
        """
        parts: tuple[LinuxResources, LinuxResources] = ({}, {})
        owned = self._driver.controllers
        for key, controller in (("memory", "memory"), ("pids", "pids"), ("blockIO", "io"), ("devices", "devices")):
            if key in resources:
                parts[controller in owned][key] = resources[key]  # type: ignore[literal-required]
        for name, value in resources.get("cpu", {}).items():
            cpu: LinuxCPU = parts[("cpuset" if name in _CPUSET_KEYS else "cpu") in owned].setdefault("cpu", {})
            cpu[name] = value  # type: ignore[literal-required]
        return parts

    def apply(self, resources: LinuxResources) -> None:
        """See ``Cgroup``.

        Source: OCI runtime-spec, config-linux.md § Control groups.
        """
        for_v1, for_v2 = self.split(resources)
        self._v1.apply(for_v1)
        self._v2.apply(for_v2)
        self._applied.append(for_v2)

    def attach(self, pid: int) -> None:
        """See ``Cgroup``.

        Source: cgroups(7).
        """
        self._v2.attach(pid)
        self._v1.attach(pid)

    def enter(self) -> None:
        """See ``Cgroup``.

        Source: cgroups(7).
        """
        self._v2.enter()
        self._v1.enter()

    def entrances(self) -> list[str]:
        """See ``Cgroup``.

        Source: cgroups(7).
        """
        return self._v2.entrances() + self._v1.entrances()

    def freeze(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.freeze.
        """
        self._v2.freeze()

    def thaw(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.freeze.
        """
        self._v2.thaw()

    def kill(self) -> None:
        """See ``Cgroup``.

        Source: Documentation/admin-guide/cgroup-v2.rst § cgroup.kill.
        """
        self._v2.kill()

    def usage(self) -> Usage:
        """See ``Cgroup``; each version leaves zero what it knows nothing of.

        Source: cgroups(7).
        """
        usage, other = self._v1.usage(), self._v2.usage()
        for name in Usage.__slots__:
            setattr(usage, name, getattr(usage, name) or getattr(other, name))
        return usage

    def details(self) -> dict[str, dict[str, int]]:
        """See ``Cgroup``.

        Source: cgroups(7).
        """
        return {**self._v1.details(), **self._v2.details()}

    def oom_kills(self) -> int:
        """See ``Cgroup``.

        Source: cgroups(7).
        """
        return self._v1.oom_kills() + self._v2.oom_kills()

    def events(self) -> dict[str, int]:
        """See ``Cgroup``; each version counts nothing of what the other one limits.

        Source: cgroups(7).
        """
        other = self._v2.events()
        return {name: count + other[name] for name, count in self._v1.events().items()}

    def pressure(self) -> dict[str, dict[str, float]]:
        """See ``Cgroup``.

        Source: Documentation/accounting/psi.rst.
        """
        return self._v2.pressure()

    def rename(self, path: str) -> None:
        """See ``Cgroup``; on version 2 the processes move to a new group with the same limits.

        Source: kernel/cgroup/cgroup-v1.c, cgroup1_rename(); Documentation/admin-guide/cgroup-v2.rst.
        """
        self._v1.rename(path)
        old, self._v2 = self._v2, self._driver.open(path)
        self._driver.make(path)
        for resources in self._applied:
            self._v2.apply(resources)
        for pid in old.procs():
            self._v2.attach(pid)
        old.remove()
        self.path = path

    def wait_until_empty(self, directory: str, seconds: float) -> None:
        """See ``Cgroup``.

        Source: cgroups(7).
        """
        waiting = self._v2 if directory in self._v2.directories() else self._v1
        waiting.wait_until_empty(directory, seconds)

    def close(self) -> None:
        """See ``Cgroup``.

        Source: close(2).
        """
        self._v1.close()
        self._v2.close()
