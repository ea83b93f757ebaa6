"""What every container gets unless it is told otherwise: Docker's defaults, as an OCI specification.

The engine and the builder both start from ``default_spec`` and change what they were asked to change.

Source: OCI runtime-spec, config-linux.md § Default Filesystems; Docker documentation, "Docker security".
"""

from __future__ import annotations

from nbcontainers.linux.capabilities import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxDevice, Mount, Spec

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHM_BYTES = 64 << 20
NETWORK_SYSCTLS = (("ipv4/ping_group_range", "0 2147483647"), ("ipv4/ip_unprivileged_port_start", "0"))
"""Below ``/proc/sys/net``, in every network namespace of a container: who is not root may ping, and use any port."""

DEVICES: tuple[LinuxDevice, ...] = tuple(
    {"path": f"/dev/{name}", "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
    for name, major, minor in (
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    )
)


def default_mounts(shm_bytes: int = DEFAULT_SHM_BYTES) -> list[Mount]:
    """Return the file systems that every container has.

    Args:
        shm_bytes: Size of /dev/shm.
    """
    kernel = ["nosuid", "nodev", "noexec"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": kernel},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*kernel, "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*kernel, "ro"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": kernel},
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": [*kernel, "mode=1777", f"size={shm_bytes}"],
        },
    ]


def default_spec(*, args: list[str], env: list[str], cwd: str = "/", user: str = "", hostname: str = "") -> Spec:
    """Return the specification of a container that asks for nothing special.

    Args:
        args: The program and its arguments.
        env: ``NAME=value`` entries.
        cwd: Absolute working directory; it is made when missing.
        user: As Dockerfile's USER: ``name``, ``uid``, ``name:group``; empty for root.
        hostname: The container's host name.
    """
    return {
        "hostname": hostname,
        "domainname": "",
        "root": {"readonly": False},
        "process": {
            "args": args,
            "env": env,
            "cwd": cwd,
            "user": {"username": user, "additionalGids": []},
            "terminal": False,
            "capabilities": list(DEFAULT),
            "rlimits": [],
            "noNewPrivileges": False,
            "oomScoreAdj": 0,
        },
        "mounts": default_mounts(),
        "linux": {
            "cgroupsPath": "",
            "resources": {},
            "devices": list(DEVICES),
            "sysctl": {},
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            "seccomp": True,
        },
    }
