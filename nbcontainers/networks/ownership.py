"""Which engine a bridge belongs to, and how engines on one machine keep out of each other's way.

A bridge bears its engine's mark, written on the interface itself (``ip link`` shows it as its alias): so the mark is
in the network namespace that the bridge is in, and goes with it. It names the engine's process, and a process id
with a start time names a process for good. When that process is gone and nothing is plugged into the bridge, nobody
needs it, and the next engine that starts, whichever it is, removes it.

Looking for a free subnet and taking it are two steps, as are finding a bridge abandoned and removing it. So engines
do either only while they hold a lock, which ``flock(2)`` lets go of when its holder is killed.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator

from nbcontainers import paths
from nbcontainers.errors import SyscallError, Unavailable
from nbcontainers.linux import namespaces, nftables, processes
from nbcontainers.linux.netlink import Link, Netlink

_IDENTITY_DIGITS_OF_BRIDGE = 6
_BRIDGE = re.compile(r"nbc-[0-9a-f]{6}")
_TABLE = re.compile(r"table ip (nbcontainers_([0-9a-f]{8}))")
_MARK = re.compile(r"nbcontainers engine (\d+) started (\d+) pidns (\d+)")


def bridge_name(identity: str) -> str:
    """Return the name of an engine's bridge."""
    return f"nbc-{identity[:_IDENTITY_DIGITS_OF_BRIDGE]}"


def table_name(identity: str) -> str:
    """Return the name of an engine's nftables table."""
    return f"nbcontainers_{identity}"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of all engines on this machine.

    Raises:
        Unavailable: The lock file cannot be made.
    """
    path = os.path.join(paths.default_run(), "networks.lock")
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable("the lock of the networks", str(error), f"make '{path}' writable") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def mark() -> str:
    """Return the mark of this engine's process."""
    started, namespace = processes.start_time_ticks(), namespaces.namespace_id("pid")
    return f"nbcontainers engine {os.getpid()} started {started} pidns {namespace}"


def is_gone(marked: str) -> bool:
    """Say whether the engine that has left a mark is certainly gone; what is no mark says nothing."""
    found = _MARK.fullmatch(marked)
    if found is None:
        return False
    pid, started, namespace = (int(number) for number in found.groups())
    if namespace != namespaces.namespace_id("pid"):
        return False  # a process id of another pid namespace: it cannot be asked after here
    try:
        return processes.start_time_ticks(pid) != started
    except OSError:
        return True


def sweep(netlink: Netlink, own_identity: str) -> None:
    """Remove the bridges and tables of engines that are gone; call it while ``alone``."""
    links = netlink.links()
    used = {link.master for link in links}
    going = [link for link in links if link.name != bridge_name(own_identity) and _is_abandoned(link, used, netlink)]
    for link in going:
        with contextlib.suppress(SyscallError):
            netlink.delete_link(link.name)
    staying = {link.name for link in links} - {link.name for link in going}
    with contextlib.suppress(Unavailable):
        # An engine makes its bridge before its table: a table without a bridge is nobody's.
        for table, identity in _TABLE.findall(nftables.run("list tables ip")):
            if identity != own_identity and bridge_name(identity) not in staying:
                nftables.run(f"delete table ip {table}")


def _is_abandoned(link: Link, used: set[int], netlink: Netlink) -> bool:
    if link.kind != "bridge" or not _BRIDGE.fullmatch(link.name) or link.index in used:
        return False
    # Without a mark and without an address it is a bridge whose engine was killed while it made it.
    return is_gone(link.alias) or (not link.alias and not netlink.addresses(link.index))
