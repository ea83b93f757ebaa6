"""Bind mounts, opened where they come from: on the host, in an image, or in another container.

The container's init is in a mount namespace of its own, where the host's files are not. So the shim opens the source of
every bind mount as a *detached mount*, with its options set, and hands init the descriptor (``attaching``).

Source: open_tree(2), mount_setattr(2); OCI runtime-spec, config.md § Mounts.
"""

from __future__ import annotations

import os

from nbcontainers.errors import InvalidArgument
from nbcontainers.linux import mounts, namespaces
from nbcontainers.linux.libc import AT_RECURSIVE
from nbcontainers.runtime.rootfs import open_rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import Mount

OPENED_BY_SHIM = ("bind", "shared")
"""The types of mounts that come to the container's init as descriptors, in the order of the specification."""

_ATTRIBUTES = {
    "ro": mounts.MOUNT_ATTR_RDONLY,
    "nosuid": mounts.MOUNT_ATTR_NOSUID,
    "nodev": mounts.MOUNT_ATTR_NODEV,
    "noexec": mounts.MOUNT_ATTR_NOEXEC,
}
_BIND_OPTIONS = ("bind", "rbind", "rw", "suid", "dev", "exec")
_PROPAGATIONS = {"private": mounts.MS_PRIVATE, "slave": mounts.MS_SLAVE, "shared": 0}
"""A copy of a shared mount is its peer from the start, so that ``shared`` has nothing to change."""


def open_bind(mount: Mount) -> int:
    """Return a descriptor of a bind mount's source, detached, with its options set.

    What is mounted on the host later does not show in the container, unless an option says so: ``rslave`` passes
    mounts on to the container, ``rshared`` in both directions.

    Raises:
        SyscallError: ENOENT when there is no such source.
        InvalidArgument: An option is unknown.

    Source: open_tree(2), mount_setattr(2), mount_namespaces(7) § Shared subtrees.
    """
    top = everywhere = 0
    propagation = "rprivate"
    for option in mount["options"]:
        if option.removeprefix("r") in _PROPAGATIONS:
            propagation = option
        elif option == "rro":
            everywhere = mounts.MOUNT_ATTR_RDONLY
        elif option in _ATTRIBUTES or option in _BIND_OPTIONS:
            top |= _ATTRIBUTES.get(option, 0)
        else:
            raise InvalidArgument(f"unknown option '{option}' of the bind mount at '{mount['destination']}'")
    kind, deep = _PROPAGATIONS[propagation.removeprefix("r")], propagation.startswith("r")
    recursive = AT_RECURSIVE if "rbind" in mount["options"] else 0
    if "rootfs" in mount:
        fd = open_rootfs(mount["rootfs"])
    else:
        fd = mounts.open_tree(mount["source"], mounts.OPEN_TREE_CLONE | recursive)
    try:
        # What is mounted below one that is to be private or a slave alone follows the host, but never leads it.
        below = kind if deep or not kind else mounts.MS_SLAVE
        if everywhere or below:
            mounts.mount_setattr("", set_attributes=everywhere, propagation=below, recursive=True, dir_fd=fd)
        if top or kind != below:
            mounts.mount_setattr("", set_attributes=top, propagation=kind if kind != below else 0, dir_fd=fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_shared(mount: Mount, namespace_fd: int) -> int:
    """Return a descriptor of a mount of another container's, detached: both see the same files from then on.

    A mount can be copied only by who is in its namespace, so the caller is there for a moment.

    Args:
        mount: Its source is a path in that container.
        namespace_fd: The mount namespace of that container.

    Raises:
        SyscallError: ENOENT when nothing is there.

    Source: setns(2) § Mount namespaces, open_tree(2).
    """
    here_fd = namespaces.open_namespace("mnt")
    root_fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        namespaces.setns(namespace_fd, namespaces.CLONE_NEWNS)
        try:
            return mounts.open_tree(mount["source"])
        finally:
            namespaces.setns(here_fd, namespaces.CLONE_NEWNS)
            os.fchdir(root_fd)
            os.chroot(".")  # setns has made the caller's root that of the namespace, which may be another
    finally:
        os.close(here_fd)
        os.close(root_fd)
