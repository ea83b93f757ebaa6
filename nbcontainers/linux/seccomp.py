"""Seccomp: which system calls a process may make.

A filter is a small program that the kernel runs at each system call. Ours has the shape of Docker's default: calls
that nobody needs in a container, or that reach beyond one, are refused with EPERM, unless a capability says that the
container is trusted with them. libseccomp compiles it, once per set of capabilities; loading it takes one system call
and no library.

Source: seccomp(2), seccomp_rule_add(3); Docker documentation, "Seccomp security profiles for Docker".
"""

from __future__ import annotations

import ctypes
import errno
import os

from nbcontainers.errors import Unavailable
from nbcontainers.linux.libc import SYS_SECCOMP, syscall
from nbcontainers.linux.namespaces import KINDS

_SET_MODE_FILTER = 1
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_MASKED_EQ = 7
_ATTRIBUTE_NNP = 3

REFUSED_UNLESS: dict[str, list[str]] = {
    "CAP_SYS_ADMIN": (
        "bpf fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree "
        "perf_event_open pivot_root quotactl quotactl_fd setns swapoff swapon syslog umount umount2 unshare"
    ).split(),
    "CAP_SYS_BOOT": ["reboot", "kexec_load", "kexec_file_load"],
    "CAP_SYS_MODULE": ["init_module", "finit_module", "delete_module", "create_module", "query_module"],
    "CAP_SYS_PACCT": ["acct"],
    "CAP_SYS_PTRACE": ["kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev"],
    "CAP_SYS_RAWIO": ["iopl", "ioperm"],
    "CAP_SYS_TIME": ["settimeofday", "stime", "clock_settime", "clock_adjtime", "adjtimex"],
    "CAP_SYS_TTY_CONFIG": ["vhangup"],
    "CAP_SYS_NICE": [
        "get_mempolicy",
        "mbind",
        "set_mempolicy",
        "set_mempolicy_home_node",
        "migrate_pages",
        "move_pages",
    ],
    "CAP_DAC_READ_SEARCH": ["open_by_handle_at"],
}
"""System calls that a container may make only with a capability."""

REFUSED = (
    "add_key get_kernel_syms io_uring_setup io_uring_enter io_uring_register keyctl nfsservctl request_key "
    "sysfs _sysctl uselib userfaultfd ustat vm86 vm86old"
).split()
"""System calls that no container may make."""

_compiled: dict[frozenset[str], bytes] = {}


class _Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``; ``seccomp_rule_add(3)``."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class _Program(ctypes.Structure):
    """``struct sock_fprog``; ``seccomp(2)``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def default_program(capabilities: frozenset[str]) -> bytes:
    """Return the default filter for a container with these capabilities, compiled at the first use.

    Raises:
        Unavailable: libseccomp is not installed.

    Source: seccomp(2).
    """
    if capabilities not in _compiled:
        _compiled[capabilities] = compile_profile(capabilities)
    return _compiled[capabilities]


def load(program: bytes) -> None:
    """Have the kernel filter the calling thread's system calls, for good and for all its descendants.

    Raises:
        SyscallError: EACCES without CAP_SYS_ADMIN or no_new_privs, EINVAL for a bad program.

    Source: seccomp(2) § SECCOMP_SET_MODE_FILTER.
    """
    structure = _Program(len(program) // 8, program)
    syscall("seccomp", SYS_SECCOMP, _SET_MODE_FILTER, 0, ctypes.byref(structure))


def compile_profile(capabilities: frozenset[str]) -> bytes:
    """Compile the default filter to the kernel's instructions, 8 bytes each.

    Raises:
        Unavailable: libseccomp is not installed.

    Source: seccomp_init(3), seccomp_rule_add(3), seccomp_export_bpf(3).
    """
    library = _library()
    context = library.seccomp_init(_ALLOW)
    try:
        library.seccomp_attr_set(context, _ATTRIBUTE_NNP, 0)
        for architecture in _foreign_architectures():
            library.seccomp_arch_add(context, architecture)
        refused = list(REFUSED)
        for capability, names in REFUSED_UNLESS.items():
            if capability not in capabilities:
                refused += names
        for name in refused:
            _refuse(library, context, name, errno.EPERM)
        if "CAP_SYS_ADMIN" not in capabilities:
            _refuse_new_namespaces(library, context)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError as error:
        raise Unavailable("the system call filter", str(error), "apt install libseccomp2") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    return library


def _foreign_architectures() -> tuple[int, ...]:
    """Return the other architectures whose calls this kernel takes: without them, a 32-bit program is killed."""
    return (0x40000003, 0x4000003E) if os.uname().machine == "x86_64" else (0x40000028,)


def _refuse(library: ctypes.CDLL, context: int, name: str, number: int, comparison: _Comparison | None = None) -> None:
    resolved = library.seccomp_syscall_resolve_name(name.encode())
    if resolved == -1:
        return
    rules = (_Comparison * 1)(comparison) if comparison else None
    if library.seccomp_rule_add_array(context, _ERRNO | number, resolved, 1 if comparison else 0, rules) < 0:
        raise Unavailable("the system call filter", f"libseccomp has no rule for '{name}'", "update libseccomp2")


def _refuse_new_namespaces(library: ctypes.CDLL, context: int) -> None:
    """Refuse ``clone`` with any namespace flag; ``clone3`` hides its flags, so it seems not to exist."""
    for flag in KINDS.values():
        # CLONE_NEWTIME is below CSIGNAL's bits for clone(2), and only clone3 and unshare know it.
        if flag > 0xFF:
            _refuse(library, context, "clone", errno.EPERM, _Comparison(0, _MASKED_EQ, flag, flag))
    _refuse(library, context, "clone3", errno.ENOSYS)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    memory_fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        if library.seccomp_export_bpf(context, memory_fd) < 0:
            raise Unavailable("the system call filter", "libseccomp cannot export it", "update libseccomp2")
        return os.pread(memory_fd, os.fstat(memory_fd).st_size, 0)
    finally:
        os.close(memory_fd)
