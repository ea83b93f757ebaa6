"""What the default filter lets through, asked of the kernel itself by a child that has loaded it."""

import ctypes
import errno
import json
import os
import platform

import pytest

from nbcontainers.linux import capabilities, processes, seccomp

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers below are those of x86_64")
DEFAULT = frozenset(capabilities.DEFAULT)
GETPID, CLONE, UNSHARE, PERSONALITY, SOCKET, KEYCTL, IO_URING_SETUP, CLONE3, BPF = (
    39,
    56,
    272,
    135,
    41,
    250,
    425,
    435,
    321,
)
X32_BIT = 0x40000000
NOT_YET = 999
ALLOWED = 0


def errors_under(granted: frozenset[str], calls: list[tuple[int, ...]]) -> list[int]:
    """Load the filter in a child, make these calls there, and return the errno of each, 0 where it was let through."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        processes.set_no_new_privs()
        seccomp.load(seccomp.default_program(granted))
        found = []
        for number, *arguments in calls:
            ctypes.set_errno(0)
            passed = [ctypes.c_long(argument) for argument in arguments]
            found.append(ctypes.get_errno() if libc.syscall(ctypes.c_long(number), *passed) < 0 else ALLOWED)
        os.write(write_fd, json.dumps(found).encode())
        os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd) as answer:
        found = json.load(answer)
    os.waitpid(pid, 0)
    return list(found)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param((GETPID,), ALLOWED, id="getpid"),
        pytest.param((KEYCTL, 0, 0, 0, 0), errno.EPERM, id="keyctl"),
        pytest.param((IO_URING_SETUP, 1, 0), errno.EPERM, id="io_uring"),
        pytest.param((UNSHARE, 0x20000), errno.EPERM, id="unshare"),
        pytest.param((CLONE, 0x10000000 | 17, 0, 0, 0, 0), errno.EPERM, id="clone with a user namespace"),
        pytest.param((CLONE3, 0, 0), errno.ENOSYS, id="clone3"),
        pytest.param((BPF, 0, 0, 0), errno.EPERM, id="bpf"),
        pytest.param((NOT_YET,), errno.ENOSYS, id="a call of the future"),
        pytest.param((X32_BIT | GETPID,), errno.ENOSYS, id="x32"),
        pytest.param((SOCKET, 1, 1, 0), ALLOWED, id="a unix socket"),
        pytest.param((SOCKET, 40, 1, 0), errno.EPERM, id="a socket to the hypervisor"),
        pytest.param((PERSONALITY, 0), ALLOWED, id="personality"),
        pytest.param((PERSONALITY, 0x40000), errno.EPERM, id="personality without address randomization"),
    ],
)
def test_what_a_default_container_may_call(call: tuple[int, ...], error: int) -> None:
    assert errors_under(DEFAULT, [call]) == [error]


def test_a_capability_opens_its_calls() -> None:
    calls: list[tuple[int, ...]] = [(UNSHARE, 0), (CLONE3, 0, 0)]
    trusted = errors_under(DEFAULT | {"CAP_SYS_ADMIN"}, calls)
    assert trusted == [ALLOWED, errno.EINVAL]  # the kernel's own word


def test_every_name_is_a_system_call() -> None:
    """libseccomp knows each name on some architecture; those that are younger than it are few."""
    library = seccomp.library()
    names = {*seccomp.ALLOWED, *(name for names in seccomp.ALLOWED_WITH.values() for name in names)}
    unknown = {name for name in names if library.seccomp_syscall_resolve_name(name.encode()) == -1}
    assert unknown <= {
        "cachestat", "fchmodat2", "futex_requeue", "futex_wait", "futex_wake", "getxattrat", "listxattrat",
        "map_shadow_stack", "mseal", "removexattrat", "riscv_hwprobe", "set_mempolicy_home_node", "setxattrat",
    }  # fmt: skip
    assert len(seccomp.ALLOWED) == len(set(seccomp.ALLOWED))
