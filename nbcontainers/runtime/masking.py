"""Paths of /proc and /sys that a container may not see, or may not write.

They would tell of the host, or change it: they are the kernel's, which all containers share. Paths are below the
working directory, the container's root file system.

Source: OCI runtime-spec, config-linux.md § Masked Paths, Readonly Paths.
"""

from __future__ import annotations

import os
import stat

from nbcontainers.linux import mounts
from nbcontainers.linux.libc import AT_RECURSIVE


def mask_path(path: str) -> None:
    """Hide a file or directory of /proc or /sys below the working directory; one that is not there needs no hiding.

    Raises:
        SyscallError: The mount failed.

    Source: OCI runtime-spec, config-linux.md § Masked Paths.
    """
    target = path.lstrip("/")
    try:
        is_directory = stat.S_ISDIR(os.lstat(target).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return
    if is_directory:
        mounts.mount("tmpfs", target, "tmpfs", mounts.MS_RDONLY, "size=0k")
    else:
        mounts.mount("dev/null", target, None, mounts.MS_BIND)


def make_readonly(path: str) -> None:
    """Make a path of /proc or /sys below the working directory read-only; one that is not there is no matter.

    Raises:
        SyscallError: The mount failed.

    Source: OCI runtime-spec, config-linux.md § Readonly Paths.
    """
    target = path.lstrip("/")
    try:
        fd = mounts.open_tree(target, mounts.OPEN_TREE_CLONE | AT_RECURSIVE)
    except OSError as error:
        if error.errno == 2:
            return
        raise
    try:
        mounts.mount_setattr("", set_attributes=mounts.MOUNT_ATTR_RDONLY, recursive=True, dir_fd=fd)
        mounts.move_mount(fd, target)
    finally:
        os.close(fd)
