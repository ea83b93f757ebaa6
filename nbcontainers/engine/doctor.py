"""What this machine offers, what is missing, and the remedy: found out by trying, once.

Each check tries the thing itself, in a process or a namespace that ends with the check, rather than guessing from
version numbers. A normal user has no right to most of it, but may have it in a user namespace of their own: there the
same is tried, and so they learn what the machine's kernel has, and that what is missing is root.
``python -m nbcontainers.engine.doctor`` prints the rows as JSON; it needs no running engine.
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

_FORWARDING = "/proc/sys/net/ipv4/ip_forward"
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
    place = _existing(root or default_root())
    rows = [_root_user(), _kernel(), _user_namespace()]
    rows += [_namespace(kind, flag) for kind, flag in namespaces.KINDS.items() if kind not in ("user", "time")]
    rows += [_processes(), _overlay(place), _layers(), *_cgroups(), _swap_limit()]
    return [*rows, _seccomp(), _bridge(), _nftables(), _forwarding(), *_shaping(), _disk(place)]


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

    remedy = (
        "start the engine as root: sudo nbcontainers serve; or use a Docker that you may use: NBCONTAINERS_HOST=docker"
    )
    return _finding("root", "the engine", check, remedy)


def _kernel() -> Finding:
    def check() -> str:
        release = os.uname().release
        major, minor = (int(part) for part in release.split(".")[:2])
        if (major, minor) < (5, 12):
            raise OSError(f"Linux {release}")
        return f"Linux {release} on {os.uname().machine}"

    return _finding("kernel", "everything", check, "use Linux 5.12 or newer")


def _in_child(work: Callable[[], object], *, as_root: bool = True) -> str:
    """Run ``work`` in a process of its own, so that whatever it changes ends with it.

    Args:
        work: What to try.
        as_root: It takes root; a normal user tries it in a user namespace of their own.

    Returns:
        What to say of it: that it works, and where.

    Raises:
        OSError: What ``work`` raised there.
    """
    in_user_namespace = as_root and os.geteuid() != 0
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if in_user_namespace:
                _become_root_of_a_user_namespace()
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
    return "works, in a user namespace" if in_user_namespace else "works"


def _become_root_of_a_user_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    try:
        namespaces.unshare(namespaces.KINDS["user"] | namespaces.KINDS["mnt"])
        namespaces.write_id_maps("self", [(0, uid, 1)], [(0, gid, 1)], setgroups=False)
    except OSError as error:
        raise OSError(f"cannot be tried by user {uid}, who gets no user namespace: {error}") from None


def _namespace(kind: str, flag: int) -> Finding:
    remedy = "run as root with CAP_SYS_ADMIN; in a pod, allow privileged containers"
    return _finding(f"{kind} namespace", "isolation", lambda: _in_child(lambda: namespaces.unshare(flag)), remedy)


def _user_namespace() -> Finding:
    def check() -> str:
        return _in_child(lambda: namespaces.unshare(namespaces.KINDS["user"]), as_root=False)

    remedy = "sysctl kernel.unprivileged_userns_clone=1 and user.max_user_namespaces > 0"
    return _finding("user namespace", "engines of a normal user", check, remedy)


def _processes() -> Finding:
    def work() -> None:
        pid, pidfd = processes.clone(namespaces.KINDS["pid"])
        if pid == 0:
            os._exit(0)
        processes.wait_pidfd(pidfd)

    remedy = "where the engine runs in a container itself, let its seccomp profile pass clone3 and pidfd_open"
    return _finding("clone3 and pidfds", "containers", lambda: _in_child(work), remedy)


def _overlay(directory: str) -> Finding:
    def work() -> None:
        with tempfile.TemporaryDirectory(dir=directory, prefix=".nbcontainers-doctor-") as place:
            lower, upper, work = (os.path.join(place, name) for name in ("lower", "upper", "work"))
            for path in (lower, upper, work):
                os.mkdir(path)
            os.close(overlay.open_overlay([lower], upper, work))

    remedy = "modprobe overlay, and give --root on a file system such as ext4, xfs or btrfs that you may write"
    return _finding(
        "overlay file system", "images and containers", lambda: f"{_in_child(work)} on '{directory}'", remedy
    )


def _layers() -> Finding:
    def check() -> str:
        if not overlay.takes_one_by_one():
            raise OSError(f"Linux {os.uname().release} takes some fifteen layers")
        return "as many as there are"

    return _finding("overlay layers", "images of more than fifteen layers", check, "use Linux 6.5 or newer")


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
    found = [
        _finding(f"cgroup controller {name}", "limits and stats", lambda name=name: check(name), remedy)  # type: ignore[misc]
        for name in WANTED_CONTROLLERS
    ]
    return [_groups_can_be_made(driver), *found]


def _groups_can_be_made(driver: cgroups.Driver) -> Finding:
    def check() -> str:
        with driver.create(f"/nbcontainers-doctor-{os.getpid()}", {}):
            return "can be made"

    remedy = "run as root; in a container, mount /sys/fs/cgroup writable (docker run --privileged --cgroupns=host)"
    return _finding("control groups", "containers", check, remedy)


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

        return f"{_in_child(load, as_root=False)}, {len(program) // 8} instructions"

    remedy = "apt install libseccomp2, and a kernel with CONFIG_SECCOMP_FILTER"
    return _finding("seccomp", "the default system call filter", check, remedy)


def _in_network_namespace(work: Callable[[], object]) -> str:
    def make() -> None:
        namespaces.unshare(namespaces.KINDS["net"])
        work()

    return _in_child(make)


def _bridge() -> Finding:
    from nbcontainers.linux import netlink

    remedy = "modprobe bridge veth; until then --network none and host work"
    return _finding(
        "bridge and veth", "the bridge network", lambda: _in_network_namespace(netlink.check_bridge_and_veth), remedy
    )


def _nftables() -> Finding:
    from nbcontainers.linux import nftables

    remedy = "apt install libnftables1, and modprobe nf_tables nft_chain_nat nft_masq"
    return _finding(
        "nftables", "connections out of the bridge network", lambda: _in_network_namespace(nftables.check), remedy
    )


def _forwarding() -> Finding:
    def check() -> str:
        with open(_FORWARDING) as file:
            if file.read().strip() == "1":
                return "on"
        if not os.access(_FORWARDING, os.W_OK) or os.geteuid() != 0:
            raise OSError(f"'{_FORWARDING}' is 0, and cannot be written")
        return "off, the engine switches it on"

    return _finding("IP forwarding", "connections out of the bridge network", check, "sysctl net.ipv4.ip_forward=1")


def _shaping() -> list[Finding]:
    from nbcontainers.linux import traffic
    from nbcontainers.linux.netlink import Netlink

    def check(work: Callable[[Netlink], None]) -> str:
        def tried() -> None:
            with Netlink() as netlink:
                work(netlink)

        return _in_network_namespace(tried)

    return [
        _finding(
            "rates of links",
            "network limit --rate",
            lambda: check(traffic.check_rate),
            "modprobe sch_tbf, or a kernel with CONFIG_NET_SCH_TBF",
        ),
        _finding(
            "delay and loss of links",
            "network limit --delay and --loss",
            lambda: check(traffic.check_delay),
            "modprobe sch_netem, or a kernel with CONFIG_NET_SCH_NETEM",
        ),
    ]


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
