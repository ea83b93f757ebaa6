"""Creating a container: what the user said, merged with what the image says, and the directories it needs.

``plan`` decides and touches nothing; ``make`` makes what was decided; ``undone_on_error`` takes it back when
anything fails on the way, so that a refused create leaves the state as it was.
"""

import contextlib
import errno
import os
import posixpath
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

from nbcontainers import errors
from nbcontainers.engine import health, restarts
from nbcontainers.engine.model import BindMount, Container, ContainerConfig, HostConfig, MountPoint
from nbcontainers.engine.names import new_id
from nbcontainers.engine.specification import Specification, capability_set, signal_number
from nbcontainers.images import Image, Snapshots
from nbcontainers.linux.mounts import openat2
from nbcontainers.runtime.rootfs import open_rootfs
from nbcontainers.volumes import Volume, Volumes


def plan(name: str, image: Image, config: ContainerConfig, host_config: HostConfig) -> Container:
    """Decide what the container will be.

    Raises:
        errors.InvalidArgument: There is no command, or a signal, capability or path is wrong.
    """
    container_id = new_id()
    config = _merge(image, config, host_config, container_id)
    words = [*(config.entrypoint or ()), *(config.cmd or ())]
    if not words or not words[0]:
        raise errors.InvalidArgument("no command specified: give one, or an image with CMD or ENTRYPOINT")
    if config.stop_signal:
        signal_number(config.stop_signal)
    if config.working_dir and not config.working_dir.startswith("/"):
        raise errors.InvalidArgument(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    capability_set(host_config.cap_add, host_config.cap_drop)
    restarts.check(host_config.restart_policy, auto_remove=host_config.auto_remove)
    if config.healthcheck is not None:
        health.check(config.healthcheck)
    if host_config.memory_bytes and not host_config.memory_swap_bytes:
        host_config = replace(host_config, memory_swap_bytes=2 * host_config.memory_bytes)  # as Docker, visibly
    return Container(
        id=container_id,
        name=name,
        image_id=image.id,
        created_ns=time.time_ns(),
        config=config,
        host_config=host_config,
        path=words[0],
        args=tuple(words[1:]),
    )


def _merge(image: Image, config: ContainerConfig, host_config: HostConfig, container_id: str) -> ContainerConfig:
    """Fill what the user left out with the image's defaults.

    Source: Docker Engine API, ``POST /containers/create``; Dockerfile reference § Understand how CMD and
    ENTRYPOINT interact.
    """
    defaults = image.config.config
    cmd, entrypoint = config.cmd, config.entrypoint
    if not entrypoint and not cmd:
        cmd = tuple(defaults.cmd or ())
    if entrypoint is None:
        entrypoint = tuple(defaults.entrypoint or ())
    hostname = config.hostname or (socket.gethostname() if host_config.network_mode == "host" else container_id[:12])
    return replace(
        config,
        hostname=hostname,
        user=config.user or defaults.user,
        env=_merge_environment(defaults.env or [], config.env),
        cmd=cmd,
        entrypoint=entrypoint if entrypoint != ("",) else (),
        working_dir=config.working_dir or defaults.working_dir,
        labels={**(defaults.labels or {}), **config.labels},
        exposed_ports=tuple(dict.fromkeys([*(defaults.exposed_ports or {}), *config.exposed_ports])),
        volumes=tuple(dict.fromkeys([*(defaults.volumes or {}), *config.volumes])),
        stop_signal=config.stop_signal or defaults.stop_signal,
        healthcheck=health.merged(config.healthcheck, defaults.healthcheck),
        shell=config.shell or tuple(defaults.shell or ()),
    )


def _merge_environment(of_image: list[str], of_user: tuple[str, ...]) -> tuple[str, ...]:
    named = {entry.partition("=")[0] for entry in of_user}
    return (*of_user, *(entry for entry in of_image if entry.partition("=")[0] not in named))


def warnings(host_config: HostConfig, *, swap_limit: bool) -> list[str]:
    """Say what will not be quite as asked for."""
    if host_config.memory_bytes and not swap_limit:
        return ["your kernel does not support swap limit capabilities, memory limited without swap"]
    return []


@contextlib.contextmanager
def undone_on_error(specification: Specification, container: Container) -> Iterator[None]:
    """Take back what ``make`` made when something goes wrong."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, errors.Error):
            specification.discard(container)
        raise


def make(
    specification: Specification, snapshots: Snapshots, volumes: Volumes, image: Image, container: Container
) -> None:
    """Make the container's directory, its root file system and its volumes.

    Raises:
        errors.InvalidArgument: A bind source does not exist, or two mounts have one destination.
        errors.Unavailable: The disk is full.
    """
    try:
        specification.make_directory(container.id)
        snapshots.prepare(container.id, image.snapshot)
        container.mounts = tuple(_resolve_mounts(container, volumes))
        _fill_new_volumes(container, snapshots, volumes)
    except OSError as error:
        raise errors.Unavailable(
            "disk space" if error.errno == 28 else "the engine's directory",
            str(error),
            "free some space, or see --root",
        ) from error


def _resolve_mounts(container: Container, volumes: Volumes) -> Iterator[MountPoint]:
    """Turn what was asked for into mounts; image volumes that nothing covers get a volume of their own."""
    asked = list(container.host_config.mounts)
    taken = {_clean(mount.destination) for mount in asked} | {_clean(path) for path in container.host_config.tmpfs}
    if len(taken) < len(asked) + len(container.host_config.tmpfs):
        raise errors.InvalidArgument("duplicate mount point: two mounts have the same destination")
    for path in container.config.volumes:
        if _clean(path) not in taken:
            asked.append(BindMount(kind="volume", source="", destination=path))
    for mount in asked:
        yield _resolve_mount(container, mount, volumes)
    for path, options in container.host_config.tmpfs.items():
        yield MountPoint(kind="tmpfs", name="", source="", destination=_clean(path), read_only=False, options=options)


def _clean(path: str) -> str:
    """Return an absolute path of the container without dots.

    Raises:
        errors.InvalidArgument: The path is relative, or the root.
    """
    clean = posixpath.normpath(path)
    if not clean.startswith("/"):
        raise errors.InvalidArgument(f"invalid mount path: '{path}' mount path must be absolute")
    clean = "/" + clean.lstrip("/")
    if clean == "/":
        raise errors.InvalidArgument(f"invalid mount path: '{path}', destination can't be '/'")
    return clean


def _resolve_mount(container: Container, mount: BindMount, volumes: Volumes) -> MountPoint:
    destination = _clean(mount.destination)
    if mount.kind == "bind":
        if not os.path.exists(mount.source) and not mount.make_source:
            raise errors.InvalidArgument(
                f'invalid mount config for type "bind": bind source path does not exist: {mount.source}'
            )
        name, source = "", os.path.realpath(mount.source)
        _make_source(source)
    elif mount.kind == "volume":
        volume = _volume(volumes, mount.source)
        name, source = volume.name, str(volume.mountpoint)
    else:
        name = source = ""
    return MountPoint(
        kind=mount.kind,
        name=name,
        source=source,
        destination=destination,
        read_only=mount.read_only,
        propagation=mount.propagation if mount.kind == "bind" else "",
        copy_up=mount.copy_up and mount.kind == "volume",
        options=mount.options,
    )


def _make_source(path: str) -> None:
    """Make a host directory that is missing, as Docker does for ``-v``.

    Raises:
        errors.InvalidArgument: It cannot be made.
    """
    if not os.path.exists(path):
        try:
            os.makedirs(path, 0o755)
        except OSError as error:
            raise errors.InvalidArgument(
                f"error while creating mount source path '{path}': {error.strerror}"
            ) from error


def _volume(volumes: Volumes, name: str) -> Volume:
    """Return the volume of this name, made when it is not there; without a name a fresh anonymous one."""
    if name:
        with contextlib.suppress(errors.NoSuchVolume):
            return volumes.get(name)
    return volumes.create(name or None, labels={}, driver_opts={})


def _fill_new_volumes(container: Container, snapshots: Snapshots, volumes: Volumes) -> None:
    """Copy what the image has at a volume's place into the volume, where that is still empty.

    Source: Docker documentation, "Volumes" § Populate a volume using a container.
    """
    mounts = [mount for mount in container.mounts if mount.copy_up and not any(os.scandir(mount.source))]
    if not mounts:
        return
    root_fd = open_rootfs(snapshots.mounts(container.id))
    try:
        for mount in mounts:
            try:
                source_fd = openat2(root_fd, mount.destination, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR):
                    continue  # the image has nothing there
                raise
            try:
                volumes.copy_up(mount.name, source_fd)
            finally:
                os.close(source_fd)
    finally:
        os.close(root_fd)
