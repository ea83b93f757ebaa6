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
from collections.abc import Iterator, Mapping
from dataclasses import replace

from nbcontainers import errors
from nbcontainers.engine import devices, health, log_attributes, restarts, sharing, sysctls
from nbcontainers.engine.configuration import BindMount, ContainerConfig, HostConfig
from nbcontainers.engine.model import Container, MountPoint
from nbcontainers.engine.names import new_id
from nbcontainers.engine.specification import (
    HOST_NAME_BYTES,
    UNCONFINED,
    Specification,
    capability_set,
    effective_capabilities,
    signal_number,
)
from nbcontainers.images import Image, Snapshots
from nbcontainers.linux import files, seccomp_profile
from nbcontainers.linux.mounts import openat2
from nbcontainers.runtime.rootfs import open_rootfs
from nbcontainers.volumes import Volume, Volumes


def plan(name: str, image: Image, config: ContainerConfig, host_config: HostConfig) -> Container:
    """Decide what the container will be.

    Raises:
        errors.InvalidArgument: There is no command, or a signal, capability, path or option of the log is wrong.
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
    if len(config.hostname) > HOST_NAME_BYTES:
        raise errors.InvalidArgument(f'hostname "{config.hostname}" is too long (maximum {HOST_NAME_BYTES} bytes)')
    _check(host_config)
    restarts.check(host_config.restart_policy, auto_remove=host_config.auto_remove)
    if config.healthcheck is not None:
        health.check(config.healthcheck)
    container = Container(
        id=container_id,
        name=name,
        image_id=image.id,
        created_ns=time.time_ns(),
        config=config,
        host_config=host_config,
        path=words[0],
        args=tuple(words[1:]),
    )
    log_attributes.of(container)  # what cannot be carried out at the start is refused now
    return container


def _check(host_config: HostConfig) -> None:
    """Refuse what could not be carried out, beside limits.

    Raises:
        errors.InvalidArgument: With the value and what would be right.
    """
    capability_set(host_config.cap_add, host_config.cap_drop)
    if host_config.seccomp_profile not in ("", UNCONFINED):
        seccomp_profile.compile_text(host_config.seccomp_profile, frozenset(effective_capabilities(host_config)))
    devices.check(host_config)
    sysctls.check(host_config)
    if ".." in host_config.cgroup_parent.split("/"):
        raise errors.InvalidArgument(f"invalid cgroup parent '{host_config.cgroup_parent}': a path without '..'")


def share(config: ContainerConfig, host_config: HostConfig, containers: Mapping[str, Container]) -> ContainerConfig:
    """Return the configuration of a container that has its network from another one, and so its host name."""
    donor = containers.get(sharing.donor_of(host_config.network_mode))
    return config if donor is None else sharing.named_as(config, donor)


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
    specification: Specification,
    snapshots: Snapshots,
    volumes: Volumes,
    image: Image,
    container: Container,
    donors: list[Container],
) -> None:
    """Make the container's directory, its root file system and its volumes.

    Args:
        specification: Knows where its things lie.
        snapshots: Gives its root file system.
        volumes: Gives its volumes.
        image: What it is made from.
        container: What was planned.
        donors: The containers that it names in VolumesFrom, in that order.

    Raises:
        errors.InvalidArgument: A bind source does not exist, or two mounts have one destination.
        errors.Unavailable: The disk is full.
    """
    try:
        specification.make_directory(container.id)
        snapshots.prepare(container.id, image.snapshot, volatile=container.host_config.auto_remove, more_to_come=True)
        container.mounts = tuple(_resolve_mounts(container, volumes, donors))
        _fill_new_volumes(container, snapshots, volumes)
    except OSError as error:
        raise errors.Unavailable(
            "disk space" if error.errno == 28 else "the engine's directory",
            str(error),
            "free some space, or see --root",
        ) from error


def _resolve_mounts(container: Container, volumes: Volumes, donors: list[Container]) -> Iterator[MountPoint]:
    """Turn what was asked for into mounts.

    At one destination, what the user names for it goes before what comes from another container, where a later one
    goes before an earlier one; a volume of the image goes behind all.
    """
    asked = list(container.host_config.mounts)
    taken: set[str] = set()
    for path in (*(mount.destination for mount in asked), *container.host_config.tmpfs):
        if _clean(path) in taken:
            raise errors.InvalidArgument(f"Duplicate mount point: {_clean(path)}")
        taken.add(_clean(path))
    inherited: dict[str, MountPoint] = {}
    for donor, entry in zip(donors, container.host_config.volumes_from, strict=True):
        inherited |= {mount.destination: mount for mount in _inherit(donor, entry)}
    yield from (mount for path, mount in inherited.items() if path not in taken)
    taken |= set(inherited)
    for given in container.config.volumes:
        path = given if given.startswith("/") or not given else f"/{given}"  # an image may have a relative one
        if _clean(path) not in taken:
            asked.append(BindMount(kind="volume", source="", destination=path, text=path))
    for mount in asked:
        if mount.kind == "volume":
            _check_driver(mount, mount.driver or (container.host_config.volume_driver if mount.text else ""))
        yield _resolve_mount(mount, volumes)
    for path, options in container.host_config.tmpfs.items():
        yield MountPoint(kind="tmpfs", name="", source="", destination=_clean(path), read_only=False, options=options)


def _check_driver(mount: BindMount, name: str) -> None:
    """Refuse volume drivers other than the one there is.

    Raises:
        errors.NotFound: It is another one.
    """
    if name not in ("", "local"):
        volume = mount.source or new_id()
        raise errors.NotFound(f'create {volume}: error looking up volume plugin {name}: plugin "{name}" not found')


def _inherit(donor: Container, entry: str) -> Iterator[MountPoint]:
    """Yield the binds and volumes of another container, for one that names it in VolumesFrom."""
    read_only = "ro" in entry.partition(":")[2].split(",")
    for mount in donor.mounts:
        if mount.destination not in {_clean(path) for path in donor.host_config.tmpfs}:
            yield replace(mount, read_only=mount.read_only or read_only, copy_up=False, mode="")


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
        raise errors.InvalidArgument("invalid specification: destination can't be '/'")
    return clean


def _resolve_mount(mount: BindMount, volumes: Volumes) -> MountPoint:
    destination = _clean(mount.destination)
    name = source = ""
    own_file_system = False
    if mount.kind == "bind":
        if not os.path.exists(mount.source) and not mount.make_source:
            raise errors.InvalidArgument(
                f'invalid mount config for type "bind": bind source path does not exist: {mount.source}'
            )
        source = os.path.realpath(mount.source)
        _make_source(source)
    elif mount.kind == "volume":
        volume = _volume(volumes, mount)
        name, source, own_file_system = volume.name, str(volume.mountpoint), volume.has_own_file_system
    elif mount.kind == "image":
        raise errors.Unsupported(f"mounts of type image are not supported by this engine: '{mount.source}'")
    return MountPoint(
        kind=mount.kind,
        name=name,
        source=source,
        destination=destination,
        read_only=mount.read_only,
        mode=mount.mode or ("z" if mount.kind == "volume" and (mount.source or not mount.text) else ""),
        propagation=(mount.propagation or "rprivate") if mount.kind == "bind" else "",
        recursive=mount.recursive,
        read_only_below=mount.read_only_below,
        copy_up=mount.copy_up and mount.kind == "volume" and not mount.subpath,
        subpath=mount.subpath,
        options=_tmpfs_options(mount),
        own_file_system=own_file_system,
        named=mount.kind == "volume" and bool(mount.source),
    )


def _tmpfs_options(mount: BindMount) -> str:
    options = [f"mode={mount.file_mode:o}"] if mount.file_mode else []
    options += [f"size={mount.size_bytes}"] if mount.size_bytes else []
    return ",".join([*options, mount.options] if mount.options else options)


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


def _volume(volumes: Volumes, mount: BindMount) -> Volume:
    """Return the volume of this name, made when it is not there; without a name a fresh anonymous one."""
    if mount.source:
        with contextlib.suppress(errors.NoSuchVolume):
            return volumes.get(mount.source)
    return volumes.create(mount.source or None, labels=mount.labels, driver_opts=mount.driver_opts)


def _fill_new_volumes(container: Container, snapshots: Snapshots, volumes: Volumes) -> None:
    """Copy what the image has at a volume's place into the volume, where that is still empty.

    Source: Docker documentation, "Volumes" § Populate a volume using a container.
    """
    mounts = [
        mount
        for mount in container.mounts
        if mount.copy_up and not mount.own_file_system and not any(os.scandir(mount.source))
    ]
    for mount, source_fd in _sources(container, snapshots, mounts):
        volumes.copy_up(mount.name, source_fd)


def fill_own_file_systems(container: Container, snapshots: Snapshots, volumes: Volumes) -> None:
    """Do the same with volumes that are file systems of their own; for a thread that ends afterwards.

    Raises:
        errors.Internal: One cannot be mounted.
        OSError: One is full, for example.
    """
    mounts = [mount for mount in container.mounts if mount.copy_up and mount.own_file_system]
    for mount, source_fd in _sources(container, snapshots, mounts):
        target_fd = volumes.opened(mount.name)
        try:
            with files.opened(target_fd, ".") as directory_fd:
                if not os.listdir(directory_fd):
                    files.copy_tree(source_fd, directory_fd)
        finally:
            os.close(target_fd)


def _sources(container: Container, snapshots: Snapshots, mounts: list[MountPoint]) -> Iterator[tuple[MountPoint, int]]:
    """Yield the mounts at whose places the image has a directory, with a descriptor of that."""
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
                yield mount, source_fd
            finally:
                os.close(source_fd)
    finally:
        os.close(root_fd)
