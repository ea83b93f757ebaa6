"""The C library, loaded once, with the types of every function that the rooms call.

``ctypes`` is all it takes: no compiled extension, and an import of 2 ms. Every wrapper in ``nbcontainers.linux``
calls through here and turns a failure into one typed error, ``SyscallError``, with the call's name and the path.
"""

from __future__ import annotations

import ctypes
import os

from nbcontainers.errors import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

libc = ctypes.CDLL(None, use_errno=True)

_char_p, _int, _long, _ulong, _void_p = (
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_long,
    ctypes.c_ulong,
    ctypes.c_void_p,
)

libc.mount.argtypes = [_char_p, _char_p, _char_p, _ulong, _char_p]
libc.umount2.argtypes = [_char_p, _int]
libc.unshare.argtypes = [_int]
libc.setns.argtypes = [_int, _int]
libc.prctl.argtypes = [_int, _ulong, _ulong, _ulong, _ulong]
libc.sethostname.argtypes = [_char_p, ctypes.c_size_t]
libc.setdomainname.argtypes = [_char_p, ctypes.c_size_t]
libc.syscall.restype = _long

# System calls that glibc 2.36 has no function for; numbers above 423 are the same on every architecture.
# Source: include/uapi/asm-generic/unistd.h
SYS_PIVOT_ROOT = 155 if os.uname().machine == "x86_64" else 41
SYS_SECCOMP = 317 if os.uname().machine == "x86_64" else 277
SYS_CAPGET = 125 if os.uname().machine == "x86_64" else 90
SYS_CAPSET = 126 if os.uname().machine == "x86_64" else 91
SYS_RENAMEAT2 = 316 if os.uname().machine == "x86_64" else 276
SYS_SYNCFS = 306 if os.uname().machine == "x86_64" else 267
SYS_PIDFD_SEND_SIGNAL = 424
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_FSOPEN = 430
SYS_FSCONFIG = 431
SYS_FSMOUNT = 432
SYS_PIDFD_OPEN = 434
SYS_CLONE3 = 435
SYS_CLOSE_RANGE = 436
SYS_OPENAT2 = 437
SYS_MOUNT_SETATTR = 442
SYS_QUOTACTL_FD = 443


def oserror(syscall: str, path: str = "", hint: str = "") -> NoReturn:
    """Raise the error of the system call that has just failed.

    Args:
        syscall: Its name.
        path: The file it was about.
        hint: What usually helps.

    Raises:
        SyscallError: Always, with the thread's ``errno``.

    Source: errno(3).
    """
    number = ctypes.get_errno()
    raise SyscallError(number, os.strerror(number), syscall, path, hint)


def syscall(name: str, number: int, *arguments: object, path: str = "") -> int:
    """Call the kernel by number and return what it returns.

    Args:
        name: The system call's name, for the error.
        number: Its number on this architecture.
        arguments: ``int``, ``bytes``, ``None`` or ctypes references; an int is passed as a C long.
        path: The file it is about, for the error.

    Raises:
        SyscallError: The call returned -1.

    Source: syscall(2).
    """
    passed = [_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result: int = libc.syscall(_long(number), *passed)
    if result < 0:
        oserror(name, path)
    return result
