"""Capabilities: root's power in pieces, so that a container can have some of them.

A thread has five sets. What it may do now is *effective*; what it may make effective is *permitted*; *bounding* is
the most that any later program can get; *inheritable* and *ambient* pass on to programs of users other than root.

Source: capabilities(7).
"""

from __future__ import annotations

import errno
import struct
from functools import cache

from nbcontainers.linux.libc import SYS_CAPSET, syscall
from nbcontainers.linux.processes import PR_CAPBSET_DROP, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = (
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP "
    "CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER "
    "CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE "
    "CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL "
    "CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON "
    "CAP_BPF CAP_CHECKPOINT_RESTORE"
).split()
"""All capabilities, each at its number; ``include/uapi/linux/capability.h``."""

NUMBERS = {name: number for number, name in enumerate(NAMES)}

DEFAULT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
"""What a container's root has by default: Docker's fourteen."""

_MOST = 64
_HEADER = struct.pack("=Ii", 0x20080522, 0)
_SETS = struct.Struct("=6I")


def mask(names: Iterable[str]) -> int:
    """Return a set of capabilities as the kernel has it, one bit each.

    Raises:
        KeyError: No such capability.

    Source: capabilities(7).
    """
    bits = 0
    for name in names:
        bits |= 1 << NUMBERS[name]
    return bits


@cache
def last_capability() -> int:
    """Return the number of the last capability this kernel knows, which does not change while it runs.

    Source: capabilities(7) § /proc/sys/kernel/cap_last_cap.
    """
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return int(file.read())


def permitted() -> list[str]:
    """Return what the calling process may do, and may let others do.

    Source: capabilities(7); proc_pid_status(5).
    """
    with open("/proc/self/status") as file:
        [line] = [line for line in file if line.startswith("CapPrm:")]
    bits = int(line.split()[1], 16)
    return [name for number, name in enumerate(NAMES) if bits >> number & 1]


def drop_bounding(keep: int) -> None:
    """Drop all capabilities but those in ``keep``, a mask, from the bounding set, for good.

    Raises:
        SyscallError: EPERM without CAP_SETPCAP.

    Source: prctl(2) § PR_CAPBSET_DROP.
    """
    for number in range(_MOST):
        if not keep >> number & 1:
            try:
                prctl(PR_CAPBSET_DROP, number, "prctl(PR_CAPBSET_DROP)")
            except OSError as error:
                if error.errno == errno.EINVAL:
                    return  # the kernel knows no more of them
                raise


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the calling thread's sets, given as masks.

    Raises:
        SyscallError: EPERM when a set would grow beyond what the rules allow.

    Source: capset(2).
    """
    low, high = 0xFFFFFFFF, 32
    data = _SETS.pack(
        effective & low, permitted & low, inheritable & low, effective >> high, permitted >> high, inheritable >> high
    )
    syscall("capset", SYS_CAPSET, _HEADER, data)
