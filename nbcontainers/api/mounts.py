"""Mounts as clients ask for them: Docker's short form (``Binds``) and its long form (``Mounts``).

Source: Docker documentation, "Bind mounts" and "Volumes" § Options for --volume and --mount.
"""

import re
from typing import Literal

from nbcontainers import errors
from nbcontainers.api.wire import requests as wire
from nbcontainers.engine.model import BindMount

PROPAGATIONS = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))
# Words without an effect on Linux (cached …) or on a machine without SELinux (z, Z), as in Docker.
_WITHOUT_EFFECT = frozenset(("rw", "z", "Z", "cached", "delegated", "consistent", "default"))
_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def of_request(binds: list[str], mounts: list[wire.Mount]) -> tuple[BindMount, ...]:
    """Return all mounts asked for, in both forms."""
    return (*(short(bind) for bind in binds), *(_long(mount) for mount in mounts))


def short(bind: str) -> BindMount:
    """Read ``SOURCE:DESTINATION[:OPTIONS]``; a source without a slash in front is a volume's name.

    Raises:
        errors.InvalidArgument: It is not of this form.
    """
    source, separator, rest = bind.partition(":")
    destination, _, words = rest.partition(":")
    if not separator or not source or not destination.startswith("/") or ":" in words:
        raise errors.InvalidArgument(f"invalid volume specification: '{bind}': SOURCE:/DESTINATION[:OPTIONS] is wanted")
    kind = _kind_of_source(source)
    options = [word for word in words.split(",") if word]
    propagation, known = "rprivate", set(_WITHOUT_EFFECT) | {"ro", "nocopy"}
    for word in options:
        if word in PROPAGATIONS and kind == "bind":
            propagation = word
        elif word not in known:
            raise errors.InvalidArgument(f"invalid mode '{word}' in the volume specification '{bind}'")
    return BindMount(
        kind=kind,
        source=source,
        destination=destination,
        read_only="ro" in options,
        propagation=propagation,
        copy_up="nocopy" not in options,
        make_source=kind == "bind",
    )


def _kind_of_source(source: str) -> Literal["bind", "volume"]:
    if source.startswith("/"):
        return "bind"
    if not _VOLUME_NAME.fullmatch(source):
        raise errors.InvalidArgument(
            f"invalid volume name '{source}': only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed; "
            f"for a directory of this machine give its absolute path"
        )
    return "volume"


def _long(mount: wire.Mount) -> BindMount:
    """Check one entry of ``Mounts``.

    Raises:
        errors.InvalidArgument: Its fields do not fit its type.
        errors.Unsupported: It asks for something this engine does not do.
    """
    _refuse_unsupported(mount)
    if mount.type == "bind":
        if not mount.source.startswith("/"):
            raise errors.InvalidArgument(
                f"invalid mount config for type \"bind\": invalid mount path: '{mount.source}' "
                f"mount path must be absolute"
            )
        propagation = (mount.bind_options and mount.bind_options.propagation) or "rprivate"
        if propagation not in PROPAGATIONS:
            raise errors.InvalidArgument(f"invalid propagation mode: '{propagation}'")
        return BindMount(
            kind="bind",
            source=mount.source,
            destination=mount.target,
            read_only=mount.read_only,
            propagation=propagation,
            make_source=mount.bind_options is not None and mount.bind_options.create_mountpoint,
        )
    if mount.type == "volume":
        if mount.source:
            _kind_of_source(mount.source)
        no_copy = mount.volume_options is not None and mount.volume_options.no_copy
        return BindMount(
            kind="volume",
            source=mount.source,
            destination=mount.target,
            read_only=mount.read_only,
            copy_up=not no_copy,
        )
    if mount.source:
        raise errors.InvalidArgument('invalid mount config for type "tmpfs": field Source must not be specified')
    return BindMount(
        kind="tmpfs", source="", destination=mount.target, read_only=mount.read_only, options=_tmpfs_options(mount)
    )


def _tmpfs_options(mount: wire.Mount) -> str:
    asked = mount.tmpfs_options or wire.TmpfsOptions()
    options = [f"size={asked.size_bytes}"] if asked.size_bytes else []
    options += [f"mode={asked.mode:o}"] if asked.mode else []
    options += ["=".join(option) for option in asked.options or ()]
    return ",".join(options)


def _refuse_unsupported(mount: wire.Mount) -> None:
    bind, volume = mount.bind_options, mount.volume_options
    refused = {
        f"type '{mount.type}'": mount.type not in ("bind", "volume", "tmpfs"),
        "NonRecursive": bind is not None and bind.non_recursive,
        "ReadOnlyNonRecursive": bind is not None and bind.read_only_non_recursive,
        "ReadOnlyForceRecursive": bind is not None and bind.read_only_force_recursive,
        "Labels of a volume made by a mount": volume is not None and bool(volume.labels),
        "DriverConfig": volume is not None and bool(volume.driver_config and any(volume.driver_config.values())),
        "Subpath": volume is not None and bool(volume.subpath),
        "ImageOptions": bool(mount.image_options),
        "ClusterOptions": bool(mount.cluster_options),
    }
    for what, asked in refused.items():
        if asked:
            raise errors.Unsupported(f"the mount at '{mount.target}' is not supported by this engine: {what}")
