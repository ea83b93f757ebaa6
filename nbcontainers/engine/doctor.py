"""What this machine offers, what is missing, and the remedy: found out by trying, once.

Each check tries the thing itself, in a process or a namespace that ends with the check, rather than guessing from
version numbers. ``python -m nbcontainers.engine.doctor`` prints the rows as JSON; it needs no running engine.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass

from nbcontainers.errors import Error
from nbcontainers.linux import cgroups, namespaces, overlay, processes, seccomp
from nbcontainers.paths import default_root

WANTED_CONTROLLERS = ("memory", "cpu", "cpuset", "pids", "io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row of the report: ``remedy`` is empty where nothing is missing."""

    feature: str
    available: bool
    detail: str
    remedy: str
    needed_for: str


def examine(root: str | None = None) -> list[Finding]:
    """Try everything the engine needs and return a row for each.

    Args:
        root: The directory that an engine would keep its state in; it need not exist.
    """
    rows = [_root_user(), _kernel()]
    rows += [_namespace(kind, flag) for kind, flag in namespaces.KINDS.items() if kind not in ("user", "time")]
    rows += [_user_namespace(), _overlay(_existing(root or default_root())), *_cgroups(), _swap_limit()]
    rows += [_seccomp(), _bridge(), _nftables(), _disk(_existing(root or default_root()))]
    return rows


def _finding(feature: str, needed_for: str, check: Callable[[], str], remedy: str) -> Finding:
    """Run one check, which returns a detail or raises with the reason."""
    try:
        return Finding(feature=feature, available=True, detail=check(), remedy="", needed_for=needed_for)
    except (OSError, Error) as error:
        return Finding(feature=feature, available=False, detail=str(error), remedy=remedy, needed_for=needed_for)


def _root_user() -> Finding:
    def check() -> str:
        if os.geteuid() != 0:
            raise PermissionError(f"this is user {os.geteuid()}")
        return "uid 0"

    return _finding("root", "the engine", check, "start the engine as root (sudo nbcontainers serve)")


def _kernel() -> Finding:
    def check() -> str:
        release = os.uname().release
        major, minor = (int(part) for part in release.split(".")[:2])
        if (major, minor) < (5, 12):
            raise OSError(f"Linux {release}")
        return f"Linux {release} on {os.uname().machine}"

    return _finding("kernel", "everything", check, "use Linux 5.12 or newer")


def _in_child(work: Callable[[], object]) -> None:
    """Run ``work`` in a process of its own, so that whatever it changes ends with it.

    Raises:
        OSError: What ``work`` raised there.
    """
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            os.write(write_fd, str(error).encode()[:4096] or b"failed")
        os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as report:
        said = report.read()
    os.waitpid(child, 0)
    if said:
        raise OSError(said.decode(errors="replace"))


def _namespace(kind: str, flag: int) -> Finding:
    def check() -> str:
        _in_child(lambda: namespaces.unshare(flag))
        return "works"

    remedy = "run as root with CAP_SYS_ADMIN; in a pod, allow privileged containers"
    return _finding(f"{kind} namespace", "isolation", check, remedy)


def _user_namespace() -> Finding:
    def check() -> str:
        _in_child(lambda: namespaces.unshare(namespaces.KINDS["user"]))
        return "works"

    remedy = "sysctl kernel.unprivileged_userns_clone=1 and user.max_user_namespaces > 0"
    return _finding("user namespace", "engines of a normal user", check, remedy)


def _overlay(directory: str) -> Finding:
    def check() -> str:
        with tempfile.TemporaryDirectory(dir=directory, prefix=".nbcontainers-doctor-") as place:
            lower, upper, work = (os.path.join(place, name) for name in ("lower", "upper", "work"))
            for path in (lower, upper, work):
                os.mkdir(path)
            os.close(overlay.open_overlay([lower], upper, work))
        return f"works on '{directory}'"

    remedy = "modprobe overlay, and give --root on a file system such as ext4, xfs or btrfs"
    return _finding("overlay file system", "images and containers", check, remedy)


def _cgroups() -> list[Finding]:
    try:
        driver = cgroups.detect()
    except (OSError, Error) as error:
        detail, remedy = str(error), "mount a cgroup hierarchy at /sys/fs/cgroup"
        return [
            Finding(
                feature="control groups", available=False, detail=detail, remedy=remedy, needed_for="limits and stats"
            )
        ]

    def check(controller: str) -> str:
        if controller not in driver.controllers:
            raise OSError("the kernel has not given this controller to any hierarchy that is mounted")
        return f"v{driver.version_of(controller)}"

    remedy = "enable the controller (kernel command line cgroup_enable=…, or delegation: systemd Delegate=yes)"
    return [
        _finding(f"cgroup controller {name}", "limits and stats", lambda name=name: check(name), remedy)  # type: ignore[misc]
        for name in WANTED_CONTROLLERS
    ]


def _swap_limit() -> Finding:
    def check() -> str:
        if not swap_limit():
            raise OSError("the kernel does not account swap")
        return "works"

    return _finding("swap limit", "--memory-swap", check, "kernel command line swapaccount=1")


def swap_limit() -> bool:
    """Say whether this kernel can limit swap."""
    return cgroups.detect().swap_limit()


def _seccomp() -> Finding:
    def check() -> str:
        program = seccomp.compile_profile(frozenset())

        def load() -> None:
            processes.set_no_new_privs()
            seccomp.load(program)

        _in_child(load)
        return f"works, {len(program) // 8} instructions"

    return _finding("seccomp", "the default system call filter", check, "apt install libseccomp2")


def _bridge() -> Finding:
    def check() -> str:
        from nbcontainers.linux import netlink

        def make() -> None:
            namespaces.unshare(namespaces.KINDS["net"])
            netlink.check_bridge_and_veth()

        _in_child(make)
        return "works"

    return _finding("bridge and veth", "the bridge network", check, "modprobe bridge veth")


def _nftables() -> Finding:
    def check() -> str:
        from nbcontainers.linux import nftables

        def make() -> None:
            namespaces.unshare(namespaces.KINDS["net"])
            nftables.check()

        _in_child(make)
        return "works"

    return _finding("nftables", "connections out of the bridge network", check, "modprobe nf_tables nft_chain_nat")


def _disk(directory: str) -> Finding:
    def check() -> str:
        free = shutil.disk_usage(directory).free
        if free < 1 << 30:
            raise OSError(f"{free / 2**30:.1f} GiB free on '{directory}'")
        return f"{free / 2**30:.1f} GiB free on '{directory}'"

    return _finding("disk space", "images and containers", check, "free some space, or give --root elsewhere")


def _existing(path: str) -> str:
    """Return the nearest directory at or above ``path`` that exists."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def main() -> None:
    """Print the findings as JSON, one list of objects."""
    json.dump([asdict(finding) for finding in examine(*sys.argv[1:2])], sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
