"""Whose namespaces a container is in: the modes of a create request, and what does not go together with them.

Source: Docker Engine API v1.47, ``HostConfig``; moby, daemon/internal/runconfig and daemon/daemon_unix.go.
"""

from nbcontainers import errors
from nbcontainers.api.wire import requests as wire
from nbcontainers.engine.configuration import Namespaces

_CONTAINER = "container:"
_PRIVATE_IPC = (1, 40)


def of_request(asked: wire.HostConfig, version: tuple[int, int], *, host_cgroups: bool) -> Namespaces:
    """Return the namespaces that a client wants.

    Args:
        asked: The request.
        version: Of the API: before 1.40 others may share the IPC namespace of a container that says nothing of it,
            on which Compose files with ``ipc: service:…`` rely.
        host_cgroups: A privileged container here sees the host's control groups unless it says otherwise: where these
            are of version 1, as with Docker.

    Raises:
        errors.InvalidArgument: A mode that does not exist.
    """
    modes = {
        "PID": (asked.pid_mode or "", ("", "host")),
        "IPC": (
            asked.ipc_mode or ("shareable" if version < _PRIVATE_IPC else "private"),
            ("private", "shareable", "host", "none"),
        ),
        "UTS": (asked.uts_mode or "", ("", "host")),
        "cgroup namespace": (asked.cgroupns_mode or "", ("", "private", "host")),
        "USER": (asked.userns_mode or "", ("", "host")),
    }
    for what, (mode, known) in modes.items():
        shared = what in ("PID", "IPC") and mode.startswith(_CONTAINER) and mode != _CONTAINER
        if mode not in known and not shared:
            raise errors.InvalidArgument(f"invalid {what} mode: {mode}")
    cgroup = modes["cgroup namespace"][0] or ("host" if asked.privileged and host_cgroups else "private")
    return Namespaces(
        pid=modes["PID"][0], ipc=modes["IPC"][0], uts=modes["UTS"][0], cgroup=cgroup, user=modes["USER"][0]
    )


def check_together(body: wire.CreateRequest, asked: wire.HostConfig) -> None:
    """Refuse what a container that shares a network or a host name cannot have for itself.

    Raises:
        errors.InvalidArgument: It asks for it all the same.
    """
    if asked.uts_mode == "host" and body.hostname:
        raise errors.InvalidArgument("conflicting options: hostname and the UTS mode")
    mode = asked.network_mode or ""
    if not mode.startswith(_CONTAINER):
        return
    if mode == _CONTAINER:
        raise errors.InvalidArgument("invalid network mode: invalid container format container:<name|id>")
    together = {
        "hostname and the network mode": body.hostname,
        "mac-address and the network mode": body.mac_address,
        "dns and the network mode": asked.dns,
        "custom host-to-IP mapping and the network mode": asked.extra_hosts,
        "port exposing and the container type network mode": body.exposed_ports,
    }
    for what, given in together.items():
        if given:
            raise errors.InvalidArgument(f"conflicting options: {what}")
