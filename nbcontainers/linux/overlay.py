"""Overlay: one directory tree shown over others, as images and containers need it.

Lower directories are only read; what is changed is first copied into the upper one. A file that was deleted is a
*whiteout* in the upper directory (a character device 0/0), a directory that hides all below it is *opaque* (it has
the extended attribute ``trusted.overlay.opaque``). Where the kernel is told to, it also writes *redirects* (a directory
that was renamed) and *metacopies* (a file whose content is still below): never here, so that an upper directory says
by itself what has changed. The work directory is the kernel's own, on the same file system
as the upper one.

Source of all this: ``Documentation/filesystems/overlayfs.rst``.
"""

from __future__ import annotations

import os
import stat

from nbcontainers.linux import mounts

_ONE_BY_ONE = (6, 7)
OPAQUE_XATTR = "trusted.overlay.opaque"


def open_overlay(lower: list[str], upper: str | None = None, work: str | None = None, *, volatile: bool = False) -> int:
    """Return a descriptor of a detached overlay mount.

    Args:
        lower: Lower directories, the topmost first; at least one, or two without an upper one. ``/proc/self/fd/N``
            names the directory behind a descriptor.
        upper: Where changes go; None makes the mount read-only.
        work: An empty directory on the upper one's file system.
        volatile: Never write the upper directory out to the disk for the overlay's sake: a crash of the machine
            may lose it. For trees that nobody keeps.

    Raises:
        SyscallError: ELOOP when one directory lies in another, EINVAL for a bad directory, with the kernel's reason.

    Source: Documentation/filesystems/overlayfs.rst; fsopen(2).
    """
    fs_fd = mounts.fsopen("overlay")
    held = [fs_fd]
    try:
        mounts.fsconfig_string(fs_fd, "source", "overlay")
        if takes_one_by_one():
            for directory in lower:
                # No limit on all of them, and colons and commas need no escape.
                mounts.fsconfig_string(fs_fd, "lowerdir+", directory)
        else:
            held += [os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for directory in lower]
            mounts.fsconfig_string(fs_fd, "lowerdir", ":".join(f"/proc/self/fd/{fd}" for fd in held[1:]))
        if upper is not None and work is not None:
            mounts.fsconfig_string(fs_fd, "upperdir", upper)
            mounts.fsconfig_string(fs_fd, "workdir", work)
            # What the kernel would write into an upper directory otherwise cannot be told by a layer's archive.
            mounts.fsconfig_string(fs_fd, "redirect_dir", "nofollow")
            mounts.fsconfig_string(fs_fd, "metacopy", "off")
            if volatile:
                mounts.fsconfig_flag(fs_fd, "volatile")
        mounts.fsconfig_create(fs_fd)
        return mounts.fsmount(fs_fd)
    finally:
        for fd in held:
            os.close(fd)


def takes_one_by_one() -> bool:
    """Say whether the kernel takes lower directories one by one: older ones want all in one value of 255 bytes.

    There descriptors stand for them, which are short and need no escapes: some fifteen fit. What the kernel does not
    know it takes all the same, and refuses only with the whole, so it cannot be asked but by its version.

    Source: Documentation/filesystems/overlayfs.rst § Multiple lower layers.
    """
    major, minor = (int(part) for part in os.uname().release.split(".")[:2])
    return (major, minor) >= _ONE_BY_ONE


def clear_volatile(work: str) -> None:
    """Let a directory that was mounted volatile be mounted again.

    The kernel marks such a work directory so that nobody takes the upper one for whole after a crash; who calls this
    says that there was none.

    Raises:
        OSError: The work directory cannot be written.

    Source: Documentation/filesystems/overlayfs.rst § Volatile mount.
    """
    mark = os.path.join(work, "work/incompat/volatile")
    try:
        os.unlink(f"{mark}/dirty")
    except FileNotFoundError:
        return
    os.rmdir(mark)


def whiteout(name: str, dir_fd: int | None = None) -> None:
    """Make a whiteout: a name that hides what lower directories have.

    Raises:
        OSError: EEXIST when the name is taken, EPERM without CAP_MKNOD.

    Source: Documentation/filesystems/overlayfs.rst § Whiteouts and opaque directories.
    """
    os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=dir_fd)


def is_whiteout(status: os.stat_result) -> bool:
    """Say whether what was looked at, without following links, is a whiteout.

    Source: Documentation/filesystems/overlayfs.rst § Whiteouts and opaque directories.
    """
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def set_opaque(directory: str | int) -> None:
    """Hide all that lower directories have below this one.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN, ENOTSUP when the file system has no trusted attributes.

    Source: Documentation/filesystems/overlayfs.rst § Whiteouts and opaque directories.
    """
    os.setxattr(directory, OPAQUE_XATTR, b"y")


def is_opaque(directory: str | int) -> bool:
    """Say whether a directory of an upper tree hides what lower ones have.

    Raises:
        OSError: ENOENT when there is no such directory.

    Source: Documentation/filesystems/overlayfs.rst § Whiteouts and opaque directories.
    """
    try:
        return os.getxattr(directory, OPAQUE_XATTR) == b"y"
    except OSError as error:
        if error.errno in (61, 95):  # ENODATA, ENOTSUP
            return False
        raise
