"""Seccomp: which system calls a process may make.

A filter is a small program that the kernel runs at each system call. Ours is of Docker's kind: what is not on the
list of calls that programs need is refused with EPERM, and some calls are on it only for who has a capability that
says the container is trusted with them. A call that is younger than the list is answered with ENOSYS, as an old
kernel would: programs know what to do then. libseccomp compiles the filter, once per set of capabilities; loading it
takes one system call and no library.

Source: seccomp(2), seccomp_rule_add(3); Docker documentation, "Seccomp security profiles for Docker".
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from nbcontainers.errors import Unavailable
from nbcontainers.linux.libc import SYS_SECCOMP, syscall
from nbcontainers.linux.namespaces import KINDS

_SET_MODE_FILTER = 1
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
"""``SECCOMP_RET_…``: the call is made, or fails with the error in the lower half."""
NOT_EQUAL, EQUAL, MASKED_EQUAL = 1, 4, 7
"""``enum scmp_compare``; ``seccomp_rule_add(3)``."""
_ATTRIBUTE_NO_NEW_PRIVILEGES, _ATTRIBUTE_OPTIMIZE = 3, 8
_BINARY_TREE = 2
_AF_VSOCK = 40
_CLONE_NAMESPACES = sum(flag for flag in KINDS.values() if flag > 0xFF)  # CLONE_NEWTIME is not for clone(2)
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux, 32-bit Linux, both with an old version number, and the question which one it is; ``personality(2)``."""

_FILES = """
access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat
getcwd getdents getdents64 getxattr getxattrat lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr
lremovexattr lseek _llseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat
openat2 read pread64 preadv preadv2 readahead readlink readlinkat readv removexattr removexattrat rename renameat
renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat sync
sync_file_range sync_file_range2 arm_sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime
utimensat utimensat_time64 utimes vmsplice write pwrite64 pwritev pwritev2 writev
"""
_WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set pipe pipe2 poll ppoll ppoll_time64
pselect6 pselect6_time64 select _newselect signalfd signalfd4
"""
_SOCKETS = """
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""
_MEMORY = """
brk cachestat get_thread_area madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
process_mrelease remap_file_pages set_thread_area
"""
_BETWEEN_PROCESSES = """
futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list ipc mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl
semget semop semtimedop semtimedop_time64 set_robust_list shmat shmctl shmdt shmget
"""
_PROCESSES = """
arch_prctl cacheflush capget capset execve execveat exit exit_group fork getcpu getpgid getpgrp getpid getppid
getpriority getrandom getrlimit getrusage getsid gettid kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self modify_ldt pause pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev
ptrace restart_syscall riscv_flush_icache riscv_hwprobe rseq sched_get_priority_max sched_get_priority_min
sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_tid_address set_tls setpgid
setpriority setrlimit setsid sysinfo tgkill times tkill ugetrlimit uname vfork wait4 waitid waitpid
"""
_SIGNALS = """
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn
"""
_USERS = """
getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid getresuid32
getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32
setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32
"""
_TIME = """
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
timerfd_gettime64 timerfd_settime timerfd_settime64
"""

ALLOWED = tuple(
    " ".join((_FILES, _WAITING, _SOCKETS, _MEMORY, _BETWEEN_PROCESSES, _PROCESSES, _SIGNALS, _USERS, _TIME)).split()
)
"""System calls that every container may make, whatever their arguments."""

ALLOWED_WITH: dict[str, list[str]] = {
    "CAP_BPF": ["bpf"],
    "CAP_DAC_READ_SEARCH": ["open_by_handle_at"],
    "CAP_PERFMON": ["perf_event_open"],
    "CAP_SYS_ADMIN": (
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount "
        "open_tree perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns syslog umount "
        "umount2 unshare"
    ).split(),
    "CAP_SYS_BOOT": ["reboot"],
    "CAP_SYS_CHROOT": ["chroot"],
    "CAP_SYS_MODULE": ["delete_module", "finit_module", "init_module"],
    "CAP_SYS_NICE": ["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
    "CAP_SYS_PACCT": ["acct"],
    "CAP_SYS_PTRACE": ["kcmp", "pidfd_getfd", "process_madvise"],
    "CAP_SYS_RAWIO": ["ioperm", "iopl"],
    "CAP_SYS_TIME": ["clock_settime", "clock_settime64", "settimeofday", "stime"],
    "CAP_SYS_TTY_CONFIG": ["vhangup"],
    "CAP_SYSLOG": ["syslog"],
}
"""System calls that a container may make only with a capability."""

_UNKNOWN = -1
_MOST_NUMBERS = 1024
_INSTRUCTION = struct.Struct("=HBBI")
"""``struct sock_filter``: code, jump if true, jump if false, value."""
_OFFSET_OF_NUMBER, _OFFSET_OF_ARCHITECTURE = 0, 4

_compiled: dict[frozenset[str], bytes] = {}


class Comparison(ctypes.Structure):
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
    allowed = set(ALLOWED)
    for capability, names in ALLOWED_WITH.items():
        if capability in capabilities:
            allowed.update(names)
    with Filter(ERRNO | errno.EPERM, [_foreign_architecture()]) as rules:
        for name in sorted(allowed):
            rules.add(ALLOW, name)
        if "CAP_SYS_ADMIN" not in capabilities:
            # clone3 hides its flags, so it seems not to exist; programs then use clone.
            rules.add(ALLOW, "clone", [Comparison(0, MASKED_EQUAL, _CLONE_NAMESPACES, 0)])
            rules.add(ERRNO | errno.ENOSYS, "clone3")
        for value in _PERSONALITIES:
            rules.add(ALLOW, "personality", [Comparison(0, EQUAL, value, 0)])
        rules.add(ALLOW, "socket", [Comparison(0, NOT_EQUAL, _AF_VSOCK, 0)])
        return refuse_younger_ones() + rules.export()


class Filter:
    """A filter in the making, as a context manager that gives libseccomp's memory back.

    Args:
        default_action: What happens to calls that no rule is about.
        architectures: libseccomp's numbers of those whose calls the filter is about, besides the machine's own.

    Raises:
        Unavailable: libseccomp is not installed.

    Source: seccomp_init(3).
    """

    def __init__(self, default_action: int, architectures: list[int]) -> None:
        self._library = library()
        self._default_action = default_action
        self._context = self._library.seccomp_init(default_action)
        self._library.seccomp_attr_set(self._context, _ATTRIBUTE_NO_NEW_PRIVILEGES, 0)
        self._library.seccomp_attr_set(self._context, _ATTRIBUTE_OPTIMIZE, _BINARY_TREE)
        for architecture in architectures:
            self._library.seccomp_arch_add(self._context, architecture)

    def __enter__(self) -> Filter:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.seccomp_release(self._context)

    def add(self, action: int, name: str, comparisons: list[Comparison] | None = None) -> None:
        """Add a rule for one system call; libseccomp may not know the youngest, which are then answered with ENOSYS.

        Args:
            action: What happens to the call; the default action needs no rule.
            name: The call.
            comparisons: What must hold of its arguments, all together.

        Raises:
            Unavailable: libseccomp takes no such rule.

        Source: seccomp_rule_add(3).
        """
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN or action == self._default_action:
            return
        given = comparisons or []
        array = (Comparison * len(given))(*given) if given else None
        if self._library.seccomp_rule_add_array(self._context, action, number, len(given), array) < 0:
            raise Unavailable("the system call filter", f"libseccomp has no rule for '{name}'", "update libseccomp2")

    def export(self) -> bytes:
        """Return the filter as the kernel's instructions, 8 bytes each.

        Raises:
            Unavailable: libseccomp cannot.

        Source: seccomp_export_bpf(3).
        """
        memory_fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        try:
            if self._library.seccomp_export_bpf(self._context, memory_fd) < 0:
                raise Unavailable("the system call filter", "libseccomp cannot export it", "update libseccomp2")
            return os.pread(memory_fd, os.fstat(memory_fd).st_size, 0)
        finally:
            os.close(memory_fd)


def refuse_younger_ones() -> bytes:
    """Return instructions to go before a filter: ENOSYS for calls that this libseccomp does not know.

    Raises:
        Unavailable: libseccomp is not installed.

    Source: bpf(4), Documentation/userspace-api/seccomp_filter.rst § struct seccomp_data.
    """
    known = library()
    native = known.seccomp_arch_native()
    last = max(number for number in range(_MOST_NUMBERS) if known.seccomp_syscall_resolve_num_arch(native, number))
    load, equal, greater, answer = 0x20, 0x15, 0x25, 0x06
    return b"".join(
        (
            _INSTRUCTION.pack(load, 0, 0, _OFFSET_OF_ARCHITECTURE),
            _INSTRUCTION.pack(equal, 0, 3, native),
            _INSTRUCTION.pack(load, 0, 0, _OFFSET_OF_NUMBER),
            _INSTRUCTION.pack(greater, 0, 1, last),
            _INSTRUCTION.pack(answer, 0, 0, ERRNO | errno.ENOSYS),
        )
    )


def library() -> ctypes.CDLL:
    """Return libseccomp.

    Raises:
        Unavailable: It is not installed.

    Source: libseccomp, include/seccomp.h.
    """
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
    library.seccomp_arch_native.restype = ctypes.c_uint32
    library.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(Comparison),
    ]
    return library


def _foreign_architecture() -> int:
    """Return the 32-bit architecture whose calls this kernel takes as well: without it, such a program is killed."""
    return 0x40000003 if os.uname().machine == "x86_64" else 0x40000028
