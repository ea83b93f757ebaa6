"""The root file system of a container: an overlay of its image's layers, or of this machine's own files.

It is opened as a *detached mount*, which is in no mount table and leaves no trace: by the shim, for a container that
starts, and by whoever else looks at the files. The container's init attaches it (``attaching``).

Source: fsopen(2), fsmount(2); Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os
import stat

from nbcontainers.linux import mounts, overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import Rootfs

HOST_HIDDEN = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/run", "/var/tmp")


def open_rootfs(rootfs: Rootfs) -> int:
    """Return a descriptor of a root file system, as a detached overlay mount.

    Raises:
        SyscallError: The kernel refuses the overlay.

    Source: Documentation/filesystems/overlayfs.rst.
    """
    lower, upper, work = list(rootfs["lower"]), rootfs["upper"], rootfs["work"]
    if work is not None:
        overlay.clear_volatile(work)
    if rootfs["host"] is None:
        return overlay.open_overlay(lower, upper, work, volatile=rootfs["volatile"])
    host_fd = open_host(rootfs["host"])
    try:
        return overlay.open_overlay([*lower, f"/proc/self/fd/{host_fd}"], upper, work, volatile=rootfs["volatile"])
    finally:
        os.close(host_fd)


def open_host(hidden: list[str]) -> int:
    """Return a descriptor of a read-only view of this machine's file system, without what is not to be seen.

    A mask of empty, opaque directories lies over ``/``. The mask is a tmpfs: were it on the same file system, the
    kernel would find one layer inside the other and refuse (ELOOP). Other file systems mounted below ``/`` are not
    in the view, for a layer is one mount.

    Args:
        hidden: Absolute paths to hide, besides ``HOST_HIDDEN``.

    Raises:
        SyscallError: The kernel refuses the overlay.

    Source: Documentation/filesystems/overlayfs.rst § Sharing and copying layers.
    """
    fs_fd = mounts.fsopen("tmpfs")
    try:
        mounts.fsconfig_string(fs_fd, "mode", "755")
        mounts.fsconfig_create(fs_fd)
        mask_fd = mounts.fsmount(fs_fd)
    finally:
        os.close(fs_fd)
    try:
        covered = tuple(f"{path}/" for path in HOST_HIDDEN)
        for path in (*HOST_HIDDEN, *(path for path in hidden if not path.startswith(covered))):
            _mask(mask_fd, path)
        return overlay.open_overlay([f"/proc/self/fd/{mask_fd}", "/"])
    finally:
        os.close(mask_fd)


def _mask(mask_fd: int, path: str) -> None:
    """Make an opaque directory at ``path`` in the mask, with the owners and modes that the host has on the way."""
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        name = "/".join(parts[:depth])
        try:
            status = os.lstat(f"/{name}")
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(status.st_mode):
            return
        try:
            os.mkdir(name, dir_fd=mask_fd)
        except FileExistsError:
            continue
        os.chown(name, status.st_uid, status.st_gid, dir_fd=mask_fd)
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=mask_fd)
    overlay.set_opaque(f"/proc/self/fd/{mask_fd}/{'/'.join(parts)}")
