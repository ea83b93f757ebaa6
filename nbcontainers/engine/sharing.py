"""Namespaces that a container has from another one or from the host: whose they are, and how its shim gets at them.

A mode names a container, ``container:NAME``; what is kept is its id, for names change. Whether that container runs is
asked at the start. A namespace is handed over as a *pidfd* of a process in it (``setns(2)`` takes one): it cannot mean
another process by the time it is used, as a path below ``/proc`` could.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from nbcontainers import errors
from nbcontainers.engine.configuration import ContainerConfig, HostConfig
from nbcontainers.engine.model import Container
from nbcontainers.linux import processes
from nbcontainers.runtime.spec import Shared

PREFIX = "container:"
HOST = "host"


def donor_of(mode: str) -> str:
    """Return the container that a mode names; empty where it names none."""
    return mode.removeprefix(PREFIX) if mode.startswith(PREFIX) else ""


def resolve(host_config: HostConfig, find: Callable[[str], Container]) -> HostConfig:
    """Return a configuration that names containers by their ids.

    Whose network it is to have is looked for again at the start, where it is not there yet: as Docker does.

    Raises:
        errors.NoSuchContainer: There is none of that name.
    """

    def resolved(mode: str) -> str:
        name = donor_of(mode)
        return PREFIX + find(name).id if name else mode

    namespaces, network_mode = host_config.namespaces, host_config.network_mode
    with contextlib.suppress(errors.NoSuchContainer):
        network_mode = resolved(network_mode)
    return replace(
        host_config,
        network_mode=network_mode,
        namespaces=replace(namespaces, pid=resolved(namespaces.pid), ipc=resolved(namespaces.ipc)),
    )


def named_as(config: ContainerConfig, donor: Container) -> ContainerConfig:
    """Return a configuration with the host name of the container that its network is from."""
    return replace(config, hostname=donor.config.hostname, domainname=donor.config.domainname)


def wanted(container: Container) -> dict[Shared, str]:
    """Return the kinds of namespaces that a container has from others, each with its mode."""
    namespaces = container.host_config.namespaces
    modes: dict[Shared, str] = {
        "pid": namespaces.pid,
        "ipc": namespaces.ipc,
        "uts": namespaces.uts,
        "cgroup": namespaces.cgroup,
    }
    shared = {kind: mode for kind, mode in modes.items() if mode == HOST or donor_of(mode)}
    if donor_of(namespaces.ipc):
        shared["mnt"] = namespaces.ipc  # its /dev/shm is there
    return shared


def open_all(
    container: Container, containers: Mapping[str, Container], process_fd: Callable[[Container], int | None]
) -> dict[Shared, int]:
    """Return a pidfd for each kind of namespace that a container has from others, in the order of ``wanted``.

    Args:
        container: Whom they are for.
        containers: All containers by their ids.
        process_fd: Gives a new pidfd of a container's first process; None when it does not run.

    Raises:
        errors.Conflict: A container that it needs does not run, or is gone, or keeps its ipc namespace to itself.
    """
    opened: dict[Shared, int] = {}
    try:
        for kind, mode in wanted(container).items():
            opened[kind] = _open(kind, mode, containers, process_fd)
    except BaseException:
        for fd in opened.values():
            os.close(fd)
        raise
    return opened


def _open(
    kind: Shared,
    mode: str,
    containers: Mapping[str, Container],
    process_fd: Callable[[Container], int | None],
) -> int:
    if mode == HOST:
        return processes.pidfd_open(os.getpid())
    donor = containers.get(donor_of(mode))
    fd = None if donor is None else process_fd(donor)
    joining = "" if kind == "pid" else f"can't join IPC of container {donor_of(mode)}: "
    if donor is None or fd is None:
        raise errors.Conflict(f"{joining}container {donor_of(mode)} is not running")
    if joining and donor.host_config.namespaces.ipc in ("private", "none"):
        os.close(fd)
        raise errors.Conflict(f"{joining}non-shareable IPC (hint: use IpcMode:shareable for the donor container)")
    return fd
