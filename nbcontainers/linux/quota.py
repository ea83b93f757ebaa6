"""Project quotas: a limit on what a directory may have, with all that is made in it.

A file belongs to a *project*, a number; what is made in a directory that passes its project on belongs to it too. The
file system counts the blocks of each project, and refuses more than its limit (EDQUOT). Nothing moves, or is linked,
from one project into a directory that passes another one on (EXDEV). ext4 has it where it was made with the feature
``project`` and is mounted with ``prjquota``, xfs where it is mounted with that.

Source: quotactl(2); ext4(5) § prjquota; xfs(5) § pquota.
"""

import ctypes
import errno
import fcntl
import os
import struct

from nbcontainers.errors import SyscallError
from nbcontainers.linux.libc import SYS_QUOTACTL_FD, syscall

_PRJQUOTA = 2
_Q_GETQUOTA, _Q_SETQUOTA, _Q_XGETQSTAT = 0x800007, 0x800008, 0x5805
_FS_QUOTA_PDQ_ENFD = 1 << 5
_QIF_BLIMITS = 1
_BLOCK_BYTES = 1024
_IF_DQBLK = struct.Struct("=8QI4x")
_FS_QUOTA_STAT = struct.Struct("=bxH76x")
_FS_IOC_FSGETXATTR, _FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
_FS_XFLAG_PROJINHERIT = 0x200
_FSXATTR = struct.Struct("=5I8s")


def is_enforced(fd: int) -> bool:
    """Say whether the file system of a directory enforces limits of projects.

    Source: quotactl(2) § Q_XGETQSTAT; quotactl_fd is of Linux 5.14.
    """
    try:
        (_, flags) = _FS_QUOTA_STAT.unpack(_quotactl(fd, _Q_XGETQSTAT, 0, bytes(_FS_QUOTA_STAT.size)))
    except OSError:
        return False
    return bool(flags & _FS_QUOTA_PDQ_ENFD)


def usage(fd: int, project: int) -> tuple[int, int]:
    """Return the limit of a project, 0 for none, and how much it has, in bytes.

    Raises:
        SyscallError: ESRCH when the file system counts no projects.

    Source: quotactl(2) § Q_GETQUOTA.
    """
    try:
        found = _IF_DQBLK.unpack(_quotactl(fd, _Q_GETQUOTA, project, bytes(_IF_DQBLK.size)))
    except OSError as error:
        if error.errno == errno.ENOENT:  # xfs, of one that it has never heard of
            return 0, 0
        raise
    return found[0] * _BLOCK_BYTES, found[2]


def set_limit(fd: int, project: int, size_bytes: int) -> None:
    """Limit how much a project may have; 0 for no limit.

    Raises:
        SyscallError: ESRCH when the file system counts no projects, ERANGE when it cannot count as far as that.

    Source: quotactl(2) § Q_SETQUOTA.
    """
    blocks = -(-size_bytes // _BLOCK_BYTES)
    _quotactl(fd, _Q_SETQUOTA, project, _IF_DQBLK.pack(blocks, blocks, 0, 0, 0, 0, 0, 0, _QIF_BLIMITS))


def project_of(fd: int) -> int:
    """Return the project of a file or directory, 0 for none.

    Raises:
        SyscallError: ENOTTY when the file system knows no projects.

    Source: ioctl_xfs_fsgetxattr(2).
    """
    return int(_FSXATTR.unpack(_ioctl(fd, _FS_IOC_FSGETXATTR, bytes(_FSXATTR.size)))[3])


def set_project(fd: int, project: int) -> None:
    """Let a directory belong to a project, with what is made in it from now on.

    Raises:
        SyscallError: EOPNOTSUPP or ENOTTY when the file system knows no projects.

    Source: ioctl_xfs_fssetxattr(2) § FS_XFLAG_PROJINHERIT.
    """
    flags, *others, pad = _FSXATTR.unpack(_ioctl(fd, _FS_IOC_FSGETXATTR, bytes(_FSXATTR.size)))
    others[2] = project
    _ioctl(fd, _FS_IOC_FSSETXATTR, _FSXATTR.pack(flags | _FS_XFLAG_PROJINHERIT, *others, pad))


def _ioctl(fd: int, request: int, argument: bytes) -> bytes:
    try:
        return fcntl.ioctl(fd, request, argument)
    except OSError as error:
        raise SyscallError(error.errno or 0, os.strerror(error.errno or 0), "ioctl") from error


def _quotactl(fd: int, operation: int, project: int, argument: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(argument, len(argument))
    syscall("quotactl_fd", SYS_QUOTACTL_FD, fd, operation << 8 | _PRJQUOTA, project, ctypes.byref(buffer))
    return buffer.raw
