"""From a container's mounts, as they were resolved at create, to those of its specification.

Source: OCI runtime-spec, config.md § Mounts; Docker documentation, "tmpfs mounts".
"""

from nbcontainers.engine import sharing
from nbcontainers.engine.model import Container, HostConfig, MountPoint
from nbcontainers.runtime.defaults import default_mounts
from nbcontainers.runtime.spec import Mount

_SHM = "/dev/shm"


def of(container: Container, own_files: dict[str, str]) -> list[Mount]:
    """Return all mounts of a container, parents before what is below them.

    Args:
        container: The container.
        own_files: Files of the engine's, by their paths in the container.
    """
    own = [_bind(source, path) for path, source in own_files.items()]
    of_user = [mount_of(mount) for mount in container.mounts]
    replaced = {mount["destination"] for mount in of_user}
    shared = _shared_memory(container.host_config)
    defaults = [
        mount
        for mount in default_mounts(container.host_config.shm_size_bytes)
        if mount["destination"] not in replaced
        and not ("/dev" in replaced and mount["destination"].startswith("/dev/"))
        and not (shared is not None and mount["destination"] == _SHM)
    ]
    own = [mount for mount in own if mount["destination"] not in replaced]
    if _SHM not in replaced:
        own += shared or []
    _make_writable(defaults, container.host_config)
    # What lies deeper is mounted later, whoever asked for it.
    return defaults + sorted([*own, *of_user], key=lambda mount: mount["destination"].count("/"))


def _shared_memory(host_config: HostConfig) -> list[Mount] | None:
    """Return what is at /dev/shm instead of the container's own, or nothing; None where that stays."""
    mode = host_config.namespaces.ipc
    if mode == "none":
        return []
    if mode == sharing.HOST:
        return [_bind(_SHM, _SHM)]
    if sharing.donor_of(mode):
        return [{"destination": _SHM, "type": "shared", "source": _SHM, "options": []}]
    return None


def _make_writable(defaults: list[Mount], host_config: HostConfig) -> None:
    """Let a privileged container write to /sys, and to its control groups who may."""
    writable = {"/sys": host_config.privileged, "/sys/fs/cgroup": host_config.writable_cgroups}
    for mount in defaults:
        if writable.get(mount["destination"]):
            mount["options"] = [option for option in mount["options"] if option != "ro"]


def _bind(source: str, destination: str) -> Mount:
    return {"destination": destination, "type": "bind", "source": source, "options": ["rbind"]}


def mount_of(mount: MountPoint) -> Mount:
    """Turn a resolved mount of a container into one of its specification."""
    if mount.kind == "tmpfs":
        return _tmpfs(mount)
    options = ["rbind" if mount.recursive else "bind"]
    if mount.read_only:
        options.append("rro" if mount.read_only_below else "ro")
    if mount.propagation:
        options.append(mount.propagation)
    bind: Mount = {"destination": mount.destination, "type": "bind", "source": mount.source, "options": options}
    if mount.subpath:
        bind["subpath"] = mount.subpath
    return bind


def _tmpfs(mount: MountPoint) -> Mount:
    given = [option for option in mount.options.split(",") if option]
    options = [
        "nosuid",
        "nodev",
        "noexec",
        *([] if any(o.startswith("mode=") for o in given) else ["mode=1777"]),
        *given,
    ]
    # The last word counts: ``exec`` takes ``noexec`` back.
    for word in ("suid", "dev", "exec"):
        if word in given:
            options = [option for option in options if option != f"no{word}"]
    if mount.read_only:
        options.append("ro")
    return {"destination": mount.destination, "type": "tmpfs", "source": "tmpfs", "options": options}
