"""The files of a container as it sees them, for whoever reads or writes them from outside.

What is handed out is one descriptor: of the container's root, as a detached copy of its mounts, with or without those
below it. It is in nobody's mount table, and goes with the descriptor. Nothing is ever executed in the container; a
thread of its own visits the mount namespace for as long as two system calls take.

- A container that runs has its mounts already: they are copied from its mount namespace (``open_tree(2)``), with its
  volumes and its tmpfs.
- For one that does not run they are made, in a mount namespace of the thread's own; what is in a tmpfs is gone by then.

An overlay must not be mounted twice, so a container that does not run is not started as long as its files are held.
"""

import contextlib
import functools
import os
from collections.abc import AsyncIterator

from nbcontainers import errors
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.model import Container, MountPoint
from nbcontainers.engine.mounting import mount_of
from nbcontainers.engine.specification import Specification
from nbcontainers.engine.threads import run_apart
from nbcontainers.images import Snapshots
from nbcontainers.linux import mounts, namespaces
from nbcontainers.linux.libc import AT_RECURSIVE
from nbcontainers.runtime.attaching import attach
from nbcontainers.runtime.binds import open_bind
from nbcontainers.runtime.rootfs import open_rootfs
from nbcontainers.runtime.spec import Rootfs
from nbcontainers.volumes import Volumes


class Filesystems:
    """Opens the file systems of one engine's containers."""

    def __init__(
        self, lifecycle: Lifecycle, specification: Specification, snapshots: Snapshots, volumes: Volumes
    ) -> None:
        self._volumes = volumes
        self._lifecycle = lifecycle
        self._specification = specification
        self._snapshots = snapshots

    @contextlib.asynccontextmanager
    async def opened(self, container: Container, *, with_mounts: bool) -> AsyncIterator[int]:
        """Open a container's root.

        Args:
            container: It runs or not.
            with_mounts: What is mounted below the root is to be seen as well.

        Yields:
            A descriptor, from which paths are to be resolved with ``openat2(RESOLVE_IN_ROOT)``.

        Raises:
            errors.Conflict: It is being removed.
        """
        async with self._lifecycle.held(container) as held:
            if container.state.status == "removing":
                raise errors.Conflict(f"container '{container.name}' is marked for removal")
            if container in self._lifecycle.live:
                pidfd = os.dup(self._lifecycle.live.get(container).connection.pidfd)
                held.release()  # its end must not wait for us
                work = functools.partial(_copy_mounts, pidfd, with_mounts=with_mounts)
            else:
                rootfs = self._snapshots.mounts(container.id, volatile=container.host_config.auto_remove)
                work = functools.partial(
                    _make_mounts,
                    rootfs,
                    str(self._specification.directory(container.id)),
                    container.mounts if with_mounts else (),
                    self._volumes,
                    read_only=container.host_config.readonly_rootfs,
                )
            root_fd = await run_apart(work, "mounts")
            try:
                yield root_fd
            finally:
                os.close(root_fd)


def _copy_mounts(pidfd: int, *, with_mounts: bool) -> int:
    """Copy the mounts of a running container; for a thread that ends afterwards, and that does nothing else.

    Raises:
        errors.Conflict: It has ended.
    """
    try:
        namespaces.unshare(namespaces.CLONE_FS)
        try:
            namespaces.setns(pidfd, namespaces.CLONE_NEWNS)
        except OSError as error:
            raise errors.Conflict(f"the container has just ended: {error}") from error
        return mounts.open_tree("/", mounts.OPEN_TREE_CLONE | (AT_RECURSIVE if with_mounts else 0))
    finally:
        os.close(pidfd)


def _make_mounts(
    rootfs: Rootfs, place: str, below: tuple[MountPoint, ...], volumes: Volumes, *, read_only: bool
) -> int:
    """Mount the file systems of a container that does not run; for a thread that ends afterwards.

    Args:
        rootfs: Its root.
        place: A directory to mount it on, in the thread's own mount namespace.
        below: What is mounted in it.
        volumes: Mounts those of them that are file systems of their own, here as well.
        read_only: Whether the root is read-only for the container.
    """
    mounts.unshare_mounts()
    overlay_fd = open_rootfs(rootfs)
    try:
        mounts.move_mount(overlay_fd, place)
        for mount in sorted(below, key=lambda mount: mount.destination.count("/")):
            if mount.kind != "tmpfs":
                if mount.own_file_system:
                    volumes.mount(mount.name)
                described = mount_of(mount)
                attach(overlay_fd, described, open_bind(described))
        if read_only:
            mounts.mount_setattr("", set_attributes=mounts.MOUNT_ATTR_RDONLY, dir_fd=overlay_fd)
        return mounts.open_tree(place, mounts.OPEN_TREE_CLONE | AT_RECURSIVE)
    finally:
        os.close(overlay_fd)
