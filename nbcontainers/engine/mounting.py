"""From a container's mounts, as they were resolved at create, to those of its specification.

Source: OCI runtime-spec, config.md § Mounts; Docker documentation, "tmpfs mounts".
"""

from nbcontainers import errors
from nbcontainers.engine import sharing
from nbcontainers.engine.configuration import HostConfig
from nbcontainers.engine.model import Container, MountPoint
from nbcontainers.linux import mountinfo, mounts
from nbcontainers.runtime.defaults import default_mounts
from nbcontainers.runtime.spec import Mount
from nbcontainers.volumes import mounting as mount_options

_SHM = "/dev/shm"
_TMPFS_OPTIONS = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")


def of(container: Container, own_files: dict[str, str]) -> list[Mount]:
    """Return all mounts of a container, parents before what is below them.

    Args:
        container: The container.
        own_files: Files of the engine's, by their paths in the container.
    """
    for mount in container.mounts:
        _check_propagation(mount)
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


def _check_propagation(mount: MountPoint) -> None:
    """Refuse to pass on what is mounted in a source that nothing is passed on from.

    Raises:
        errors.Internal: The source is on a mount that is not tied to others, in Docker's words.
    """
    if mount.propagation.removeprefix("r") not in ("shared", "slave"):
        return
    source = mountinfo.of(mount.source)
    if "shared" in mount.propagation and not source.is_shared:
        raise errors.Internal(f"path {mount.source} is mounted on {source.point} but it is not a shared mount")
    if not source.is_shared and not source.is_slave:
        raise errors.Internal(f"path {mount.source} is mounted on {source.point} but it is not a shared or slave mount")


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
    """Describe a tmpfs; of words that exclude each other the last one counts."""
    flags, data = mount_options.parse(f"nosuid,nodev,noexec,{mount.options}{',ro' if mount.read_only else ''}")
    words = [word for word, flag in mounts.OPTIONS.items() if flags & flag]
    for word in words:
        flags &= ~mounts.OPTIONS[word]
    if flags & ~(mounts.MS_PRIVATE | mounts.MS_SLAVE | mounts.MS_REC):  # it has no peers, so it is both
        raise errors.Unsupported(
            f"invalid tmpfs options '{mount.options}' of '{mount.destination}': it is a new file system, without peers"
        )
    for option in data.split(",") if data else ():
        name, *value = option.split("=", 1)
        if name not in _TMPFS_OPTIONS or not value:
            shown = " ".join(f'"{part}"' for part in (name, *value))
            raise errors.Internal(f"invalid tmpfs option [{shown}]")
        words.append(option)
    return {"destination": mount.destination, "type": "tmpfs", "source": "tmpfs", "options": words}
