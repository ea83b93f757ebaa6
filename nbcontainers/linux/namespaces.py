"""Namespaces: what a process sees of the machine.

A process belongs to one namespace of each kind and shares it with others. ``unshare`` makes a new one for the
caller, ``setns`` joins another's, and ``clone`` (in ``processes``) starts a child in new ones. ``/proc/PID/ns``
shows which are which: two processes share a namespace when the numbers are the same.
"""

from __future__ import annotations

import os

from nbcontainers.linux.libc import libc, oserror

CLONE_NEWTIME = 0x00000080
CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

KINDS = {
    "mnt": CLONE_NEWNS,
    "pid": CLONE_NEWPID,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "net": CLONE_NEWNET,
    "cgroup": CLONE_NEWCGROUP,
    "user": CLONE_NEWUSER,
    "time": CLONE_NEWTIME,
}
"""The kinds by their names in ``/proc/PID/ns``, each with its flag; ``namespaces(7)``."""


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces.

    Args:
        flags: ``CLONE_NEW…`` constants, combined with ``|``. A new pid namespace holds the caller's later children,
            not the caller itself. ``CLONE_FS`` gives the thread a root and a working directory apart from the other
            threads', without which it cannot join a mount namespace.

    Raises:
        SyscallError: EPERM without CAP_SYS_ADMIN, ENOSPC at the limit of ``/proc/sys/user/max_*_namespaces``.

    Source: unshare(2).
    """
    if libc.unshare(flags) < 0:
        oserror("unshare")


def setns(fd: int, flags: int = 0) -> None:
    """Move the calling thread into the namespace, or a process's namespaces, behind a descriptor.

    Args:
        fd: Of a file in ``/proc/PID/ns``, or a pidfd.
        flags: Which kind is expected, 0 for any; with a pidfd, which kinds to join.

    Raises:
        SyscallError: EINVAL when the descriptor is of another kind, EPERM without the capabilities.

    Source: setns(2).
    """
    if libc.setns(fd, flags) < 0:
        oserror("setns")


def namespace_id(kind: str, pid: int | str = "self") -> int:
    """Return the number that names a process's namespace.

    Args:
        kind: A key of ``KINDS``.
        pid: A process id, ``self`` or ``thread-self``.

    Raises:
        OSError: ENOENT when there is no such process.

    Source: namespaces(7) § The /proc/pid/ns/ directory.
    """
    return os.stat(f"/proc/{pid}/ns/{kind}").st_ino


def open_namespace(kind: str, pid: int | str = "self") -> int:
    """Return a descriptor of a process's namespace, which lives at least as long as the descriptor.

    Raises:
        OSError: ENOENT when there is no such process.

    Source: namespaces(7) § The /proc/pid/ns/ directory.
    """
    return os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def write_id_maps(
    pid: int | str, uids: list[tuple[int, int, int]], gids: list[tuple[int, int, int]], *, setgroups: bool = True
) -> None:
    """Say, once, which ids of the outer user namespace a process's new one has, and as which.

    Args:
        pid: A process in the new namespace, or ``self``.
        uids: Ranges of user ids: the first one inside, the first one outside, how many.
        gids: Ranges of group ids, likewise.
        setgroups: Whether supplementary groups may be changed inside. A user without privileges has to renounce that
            before the group ids, for a group can also be there to forbid something.

    Raises:
        OSError: EPERM for a second time, or for ids that the writer may not map: without CAP_SETUID in the outer
            namespace that is any but its own. EACCES when the process is not dumpable.

    Source: user_namespaces(7) § User and group ID mappings.
    """
    if not setgroups:
        _write(f"/proc/{pid}/setgroups", "deny")
    for name, ranges in (("uid_map", uids), ("gid_map", gids)):
        _write(f"/proc/{pid}/{name}", "\n".join(f"{inside} {outside} {count}" for inside, outside, count in ranges))


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def sethostname(name: str) -> None:
    """Set the host name of the caller's uts namespace.

    Raises:
        SyscallError: EINVAL for more than 64 bytes, EPERM without CAP_SYS_ADMIN.

    Source: sethostname(2).
    """
    encoded = os.fsencode(name)
    if libc.sethostname(encoded, len(encoded)) < 0:
        oserror("sethostname", name)


def setdomainname(name: str) -> None:
    """Set the NIS domain name of the caller's uts namespace.

    Raises:
        SyscallError: EINVAL for more than 64 bytes, EPERM without CAP_SYS_ADMIN.

    Source: setdomainname(2).
    """
    encoded = os.fsencode(name)
    if libc.setdomainname(encoded, len(encoded)) < 0:
        oserror("setdomainname", name)
