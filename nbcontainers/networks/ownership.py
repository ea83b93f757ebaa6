"""Which engine a bridge belongs to, and how engines on one machine keep out of each other's way.

A bridge bears its engine's mark, written on the interface itself (``ip link`` shows it as its alias): so the mark is
in the network namespace that the bridge is in, and goes with it. It names the engine's process, and a process id
with a start time names a process for good. When that process is gone and nothing is plugged into any bridge of its
mark, nobody needs them, and the next engine that starts, whichever it is, removes them.

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
_NETWORK_DIGITS_OF_BRIDGE = 5
_BRIDGE = re.compile(r"(nbc-[0-9a-f]{6})([0-9a-f]{5})?")
_TABLE = re.compile(r"table inet (nbcontainers_([0-9a-f]{8}))")
_MARK = re.compile(r"nbcontainers engine (\d+) started (\d+) pidns (\d+)")


def bridge_name(identity: str, network_id: str = "") -> str:
    """Return the name of an engine's bridge: its default one's, or that of a network."""
    return f"nbc-{identity[:_IDENTITY_DIGITS_OF_BRIDGE]}{network_id[:_NETWORK_DIGITS_OF_BRIDGE]}"


def table_name(identity: str) -> str:
    """Return the name of an engine's nftables table."""
    return f"nbcontainers_{identity}"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of all engines on this machine.

    Raises:
        Unavailable: The lock file cannot be made.
    """
    path = os.path.join(paths.shared_run(), "networks.lock")
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


def is_mark(alias: str) -> bool:
    """Say whether an interface's alias is a mark of an engine, whichever."""
    return bool(_MARK.fullmatch(alias))


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


def sweep(netlink: Netlink, own_identity: str, kept: set[str]) -> None:
    """Remove the bridges and tables of engines that are gone; call it while ``alone``.

    Args:
        netlink: In the network namespace that is swept.
        own_identity: The calling engine's; what an earlier engine of it has left is taken over, not removed.
        kept: The names of the calling engine's bridges.
    """
    links = netlink.links()
    bridges = [
        link for link in links if link.kind == "bridge" and (_BRIDGE.fullmatch(link.name) or is_mark(link.alias))
    ]
    ports = {link.master for link in links}
    in_use = {link.alias for link in bridges if link.index in ports}
    going = {
        link.name
        for link in bridges
        if link.name not in kept and link.index not in ports and _is_abandoned(link, in_use, netlink, own_identity)
    }
    for name in going:
        with contextlib.suppress(SyscallError):
            netlink.delete_link(name)
    staying = {found[1] for link in bridges if link.name not in going and (found := _BRIDGE.fullmatch(link.name))}
    with contextlib.suppress(Unavailable):
        # An engine makes its bridge before its table: a table without a bridge is nobody's.
        for table, identity in _TABLE.findall(nftables.run("list tables inet")):
            if identity != own_identity and bridge_name(identity) not in staying:
                nftables.run(f"delete table inet {table}")


def _is_abandoned(link: Link, in_use: set[str], netlink: Netlink, own_identity: str) -> bool:
    if is_gone(link.alias):
        # Its other bridges may have containers, which need its rules; of our own we know which ones we need.
        return link.alias not in in_use or link.name.startswith(bridge_name(own_identity))
    # Without a mark and without an address it is a bridge whose engine was killed while it made it.
    return not link.alias and not netlink.addresses(link.index)
