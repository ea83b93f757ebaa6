"""Mounts: the file system tree of a mount namespace, and mounts that are in no tree at all.

The old call, ``mount(2)``, attaches at a path at once. The newer ones take it apart: ``fsopen`` and ``fsconfig``
describe a file system, ``fsmount`` makes a mount of it that only a descriptor holds, ``move_mount`` attaches
that somewhere. A detached mount stands in no mount table, cannot leak, and goes away with its last descriptor.

``openat2`` belongs here too: with ``RESOLVE_IN_ROOT`` a path is resolved as if its root were a directory of our
choice, so that no link in a container leads out of it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from nbcontainers.errors import SyscallError
from nbcontainers.linux.libc import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    SYS_FSCONFIG,
    SYS_FSMOUNT,
    SYS_FSOPEN,
    SYS_MOUNT_SETATTR,
    SYS_MOVE_MOUNT,
    SYS_OPEN_TREE,
    SYS_OPENAT2,
    SYS_PIVOT_ROOT,
    libc,
    oserror,
    syscall,
)
from nbcontainers.linux.namespaces import CLONE_NEWNS, unshare

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_MANDLOCK = 0x40
MS_DIRSYNC = 0x80
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MS_RELATIME = 0x200000
MS_STRICTATIME = 0x1000000
OPTIONS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "sync": MS_SYNCHRONOUS,
    "dirsync": MS_DIRSYNC,
    "mand": MS_MANDLOCK,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
    "relatime": MS_RELATIME,
    "strictatime": MS_STRICTATIME,
}
"""The words of mount(8) for what any mount may be; other words are one kind's of mount, or its file system's."""

MNT_DETACH = 0x2

OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = 0x1
FSMOUNT_CLOEXEC = 0x1
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8

_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_IN_ROOT = 0x10
_OPEN_HOW = struct.Struct("=3Q")
_OPEN_ATTEMPTS = 1000
_MOUNT_ATTR = struct.Struct("=4Q")


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """Mount a file system, or change, bind or move a mount, according to ``flags``.

    Args:
        source: A device, a path, or a name that only shows in the mount table.
        target: Where to attach it.
        kind: The file system's type, None where the flags make it moot.
        flags: ``MS_…`` constants, combined with ``|``.
        data: The file system's own options, separated by commas.

    Raises:
        SyscallError: EINVAL for a bad option or a target that is no mount point where one is wanted, ENODEV for an
            unknown type, EPERM without CAP_SYS_ADMIN.

    Source: mount(2).
    """
    encoded = [None if text is None else os.fsencode(text) for text in (source, kind, data)]
    if libc.mount(encoded[0], os.fsencode(target), encoded[1], flags, encoded[2]) < 0:
        oserror("mount", target)


def unshare_mounts() -> None:
    """Give the calling thread a mount namespace of its own, for mounts that nobody else is to see.

    What is mounted outside later still comes in: a mount that is held only here would hold up who unmounts it there.

    Raises:
        SyscallError: EPERM without CAP_SYS_ADMIN.

    Source: unshare(2) § CLONE_NEWNS, mount_namespaces(7) § Shared subtrees.
    """
    unshare(CLONE_NEWNS)
    mount(None, "/", None, MS_REC | MS_SLAVE)


def umount2(target: str, flags: int = 0) -> None:
    """Unmount what is mounted at ``target``; ``MNT_DETACH`` to do so even while it is used.

    Raises:
        SyscallError: EBUSY when it is used, EINVAL when it is no mount point.

    Source: umount2(2).
    """
    if libc.umount2(os.fsencode(target), flags) < 0:
        oserror("umount2", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make ``new_root`` the root of the mount namespace, and put the old root at ``put_old``.

    With ``"."`` for both, after ``chdir`` to the new root, the old one lies on top of the new at ``/`` and one
    ``umount2(".", MNT_DETACH)`` uncovers it.

    Raises:
        SyscallError: EINVAL when ``new_root`` is no mount point or its parent mount is shared.

    Source: pivot_root(2) § Notes.
    """
    syscall("pivot_root", SYS_PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old), path=new_root)


def open_tree(path: str, flags: int = OPEN_TREE_CLONE, dir_fd: int = AT_FDCWD) -> int:
    """Return a descriptor of the mount at ``path``, by default of a detached copy of it (a bind mount).

    Args:
        path: The path, relative to ``dir_fd``; empty with ``AT_EMPTY_PATH`` for the descriptor itself.
        flags: ``OPEN_TREE_CLONE``, ``AT_RECURSIVE`` for the mounts below as well, ``AT_EMPTY_PATH``.
        dir_fd: A directory.

    Raises:
        SyscallError: ENOENT when there is no such path.

    Source: open_tree(2).
    """
    return syscall("open_tree", SYS_OPEN_TREE, dir_fd, os.fsencode(path), flags | OPEN_TREE_CLOEXEC, path=path)


def move_mount(mount_fd: int, target: str, dir_fd: int = AT_FDCWD) -> None:
    """Attach a detached mount at ``target``, or at the descriptor ``dir_fd`` itself when ``target`` is empty.

    Raises:
        SyscallError: ENOENT when there is no such path, EINVAL when a file is to cover a directory.

    Source: move_mount(2).
    """
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if target else MOVE_MOUNT_T_EMPTY_PATH)
    syscall("move_mount", SYS_MOVE_MOUNT, mount_fd, b"", dir_fd, os.fsencode(target), flags, path=target)


def fsopen(kind: str) -> int:
    """Begin to describe a file system of this type, and return the descriptor to configure.

    Raises:
        SyscallError: ENODEV when the kernel does not have it.

    Source: fsopen(2).
    """
    return syscall("fsopen", SYS_FSOPEN, kind.encode(), FSOPEN_CLOEXEC, path=kind)


def fsconfig_string(fs_fd: int, key: str, value: str) -> None:
    """Set one option of a file system to a text.

    Raises:
        SyscallError: EINVAL; the kernel's reason stands in its hint.

    Source: fsconfig(2).
    """
    _fsconfig(fs_fd, _FSCONFIG_SET_STRING, key, value)


def fsconfig_flag(fs_fd: int, key: str) -> None:
    """Switch one option of a file system on.

    Raises:
        SyscallError: EINVAL; the kernel's reason stands in its hint.

    Source: fsconfig(2).
    """
    _fsconfig(fs_fd, _FSCONFIG_SET_FLAG, key, None)


def fsconfig_create(fs_fd: int) -> None:
    """Make the file system that was described.

    Raises:
        SyscallError: Whatever the file system objects to; the kernel's reason stands in its hint.

    Source: fsconfig(2).
    """
    _fsconfig(fs_fd, _FSCONFIG_CMD_CREATE, None, None)


def _fsconfig(fs_fd: int, command: int, key: str | None, value: str | None) -> None:
    encoded_key = None if key is None else key.encode()
    encoded_value = None if value is None else os.fsencode(value)
    if (
        libc.syscall(
            ctypes.c_long(SYS_FSCONFIG), ctypes.c_int(fs_fd), ctypes.c_uint(command), encoded_key, encoded_value, 0
        )
        < 0
    ):
        number = ctypes.get_errno()
        hint = _kernel_message(fs_fd)
        ctypes.set_errno(number)
        oserror("fsconfig", f"{key}={value}" if key else "", hint)


def _kernel_message(fs_fd: int) -> str:
    """Read why the kernel refused, from the context's own log; ``fsopen(2)`` § Message retrieval interface."""
    try:
        return os.read(fs_fd, 4096).decode(errors="replace").strip()
    except OSError:
        return ""


def fsmount(fs_fd: int, attributes: int = 0) -> int:
    """Make a detached mount of a file system and return its descriptor.

    Args:
        fs_fd: From ``fsopen``, after ``fsconfig_create``.
        attributes: ``MOUNT_ATTR_…`` constants, combined with ``|``.

    Raises:
        SyscallError: EINVAL when the file system was not created yet.

    Source: fsmount(2).
    """
    return syscall("fsmount", SYS_FSMOUNT, fs_fd, FSMOUNT_CLOEXEC, attributes)


def mount_setattr(
    path: str, *, set_attributes: int = 0, propagation: int = 0, recursive: bool = False, dir_fd: int = AT_FDCWD
) -> None:
    """Set attributes of a mount, and of all mounts below it when ``recursive``, in one step.

    Args:
        path: The mount point; empty for the mount behind ``dir_fd``.
        set_attributes: ``MOUNT_ATTR_…`` constants, combined with ``|``.
        propagation: ``MS_PRIVATE``, ``MS_SLAVE``, ``MS_SHARED``; 0 to leave it as it is.
        recursive: Whether mounts below change too.
        dir_fd: What the path is relative to.

    Raises:
        SyscallError: EINVAL when the path is no mount point.

    Source: mount_setattr(2).
    """
    attributes = _MOUNT_ATTR.pack(set_attributes, 0, propagation, 0)
    flags = (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    arguments = (dir_fd, os.fsencode(path), flags, attributes, len(attributes))
    syscall("mount_setattr", SYS_MOUNT_SETATTR, *arguments, path=path)


def openat2(dir_fd: int, path: str, flags: int, *, mode: int = 0, resolve: int = RESOLVE_IN_ROOT) -> int:
    """Open a path that is resolved under restrictions.

    Args:
        dir_fd: The directory to start from, and the root with ``RESOLVE_IN_ROOT``.
        path: The path; with ``RESOLVE_IN_ROOT`` a leading slash means ``dir_fd``.
        flags: As for ``open(2)``; ``O_CLOEXEC`` is added.
        mode: Of a file that is created.
        resolve: ``RESOLVE_…`` constants, combined with ``|``.

    Raises:
        SyscallError: ENOENT, ELOOP, EACCES as for ``open(2)``; EXDEV when the path would leave the root.

    Source: openat2(2) § EAGAIN.
    """
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    attempts_left = _OPEN_ATTEMPTS
    while True:
        try:
            return syscall("openat2", SYS_OPENAT2, dir_fd, os.fsencode(path), how, len(how), path=path)
        except SyscallError as error:
            # At a "..", while anything on the machine was renamed or mounted: it might have led out of the root.
            attempts_left -= 1
            if error.errno != errno.EAGAIN or not attempts_left:
                raise
