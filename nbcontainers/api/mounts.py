"""Mounts as clients ask for them: Docker's short form (``Binds``) and its long form (``Mounts``).

Source: Docker documentation, "Bind mounts" and "Volumes" § Options for --volume and --mount; moby,
daemon/volume/mounts/linux_parser.go.
"""

import os
import posixpath
from typing import Literal

from nbcontainers import errors
from nbcontainers.api.wire import requests as wire
from nbcontainers.engine.configuration import BindMount, MountKind
from nbcontainers.volumes.options import check_name

PROPAGATIONS = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))
# Of each kind one word at most; labels and consistency have no effect without SELinux, and on Linux.
_WORDS = (
    frozenset(("ro", "rw")),
    frozenset(("z", "Z")),
    PROPAGATIONS,
    frozenset(("nocopy",)),
    frozenset(("cached", "delegated", "consistent", "default")),
)
_TMPFS_WORDS = ("exec", "noexec")
_KINDS: dict[str, MountKind] = {"bind": "bind", "volume": "volume", "tmpfs": "tmpfs", "image": "image"}


def of_request(binds: list[str], mounts: list[wire.Mount]) -> tuple[BindMount, ...]:
    """Return all mounts asked for, in both forms."""
    return (*(short(bind) for bind in binds), *(long(mount) for mount in mounts))


def short(bind: str) -> BindMount:
    """Read ``SOURCE:DESTINATION[:OPTIONS]``; a source without a slash in front is a volume's name.

    Raises:
        errors.InvalidArgument: It is not of this form.
    """
    first, *rest = bind.split(":")
    if not first or len(rest) > 2 or (len(rest) == 1 and _is_mode(rest[0])):
        raise errors.InvalidArgument(f"invalid volume specification: '{bind}': SOURCE:/DESTINATION[:OPTIONS] is wanted")
    source, destination, mode = ("", first, "") if not rest else (first, rest[0], rest[1] if rest[1:] else "")
    kind: Literal["bind", "volume"] = "bind" if source.startswith("/") else "volume"
    if not _is_mode(mode):
        raise errors.InvalidArgument(f"invalid mode: {mode}")
    if kind == "volume" and source:
        check_name(source)
    options = [word for word in mode.split(",") if word]
    propagation = next((word for word in options if word in PROPAGATIONS), "")
    if problem := _problem_of_short(kind, destination, nocopy="nocopy" in options, propagation=propagation):
        raise errors.InvalidArgument(
            f"invalid volume specification: '{bind}': invalid mount config for type \"{kind}\": {problem}"
        )
    return BindMount(
        kind=kind,
        source=source,
        destination=destination,
        text=bind,
        mode=mode,
        read_only="ro" in options,
        propagation=propagation,
        copy_up="nocopy" not in options,
        make_source=kind == "bind",
    )


def _problem_of_short(kind: str, destination: str, *, nocopy: bool, propagation: str) -> str:
    """Say what does not go together in a short form, in Docker's words."""
    if not destination.startswith("/"):
        return f"invalid mount path: '{destination}' mount path must be absolute"
    if posixpath.normpath(destination) in ("/", "//"):
        return "invalid specification: destination can't be '/'"
    if propagation and kind == "volume":
        return "field BindOptions must not be specified"
    return "field VolumeOptions must not be specified" if nocopy and kind == "bind" else ""


def _is_mode(text: str) -> bool:
    words = text.split(",") if text else []
    known = frozenset().union(*_WORDS)
    return all(word in known for word in words) and all(sum(word in kind for word in words) <= 1 for kind in _WORDS)


def volumes_from(entry: str) -> tuple[str, bool]:
    """Read ``CONTAINER[:ro|:rw]``; returns the container, and whether its mounts are to be read-only here.

    Raises:
        errors.InvalidArgument: It is not of this form.
    """
    name, _, mode = entry.partition(":")
    if not entry:
        raise errors.InvalidArgument("volumes-from specification cannot be an empty string")
    if not _is_mode(mode) or any(word in PROPAGATIONS or word == "nocopy" for word in mode.split(",")):
        raise errors.InvalidArgument(f"invalid mode: {mode}")
    return name, "ro" in mode.split(",")


def long(mount: wire.Mount) -> BindMount:
    """Check one entry of ``Mounts``.

    Raises:
        errors.InvalidArgument: Its fields do not fit its type.
        errors.Unsupported: It asks for something this engine does not do.
    """
    if problem := _problem(mount):
        raise errors.InvalidArgument(f'invalid mount config for type "{mount.type}": {problem}')
    bind = mount.bind_options or wire.BindOptions()
    volume = mount.volume_options or wire.VolumeOptions()
    tmpfs = mount.tmpfs_options or wire.TmpfsOptions()
    driver = volume.driver_config or wire.DriverConfig()
    source = mount.source or ""
    if mount.type == "volume" and source:
        check_name(source)
    if mount.type == "bind" and not bind.create_mountpoint and not os.path.exists(source):
        raise errors.InvalidArgument(f'invalid mount config for type "bind": bind source path does not exist: {source}')
    return BindMount(
        kind=_KINDS[mount.type],
        source=posixpath.normpath(source) if mount.type == "bind" else source,
        destination=mount.target,
        read_only=bool(mount.read_only),
        propagation=bind.propagation,
        recursive=not bind.non_recursive,
        read_only_below=not bind.read_only_non_recursive,
        force_read_only_below=bind.read_only_force_recursive,
        copy_up=not volume.no_copy,
        make_source=bind.create_mountpoint,
        labels=volume.labels or {},
        driver=driver.name,
        driver_opts=driver.options or {},
        subpath=volume.subpath or (mount.image_options.subpath if mount.image_options else ""),
        size_bytes=tmpfs.size_bytes,
        file_mode=tmpfs.mode,
        options=",".join("=".join(option) for option in tmpfs.options or ()),
    )


def _problem(mount: wire.Mount) -> str:
    """Say what is wrong with an entry, in Docker's words."""
    for name, options, kind in (
        ("BindOptions", mount.bind_options, "bind"),
        ("VolumeOptions", mount.volume_options, "volume"),
        ("ImageOptions", mount.image_options, "image"),
        ("TmpfsOptions", mount.tmpfs_options, "tmpfs"),
        ("ClusterOptions", mount.cluster_options, "cluster"),
    ):
        if options is not None and mount.type != kind:
            return f"field {name} must not be specified"
    if not mount.target:
        return "field Target must not be empty"
    if posixpath.normpath(mount.target) in ("/", "//"):
        return "invalid specification: destination can't be '/'"
    if not mount.target.startswith("/"):
        return f"invalid mount path: '{mount.target}' mount path must be absolute"
    if mount.type not in _KINDS:
        return "mount type unknown"
    return _PROBLEMS[_KINDS[mount.type]](mount)


def _problem_of_bind(mount: wire.Mount) -> str:
    options = mount.bind_options or wire.BindOptions()
    if not mount.source:
        return "field Source must not be empty"
    if options.propagation and options.propagation not in PROPAGATIONS:
        return f"invalid propagation mode: {options.propagation}"
    if not mount.source.startswith("/"):
        return f"invalid mount path: '{mount.source}' mount path must be absolute"
    if options.read_only_non_recursive and options.read_only_force_recursive:
        return "mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive"
    return ""


def _problem_of_volume(mount: wire.Mount) -> str:
    subpath = mount.volume_options.subpath if mount.volume_options else ""
    if mount.read_only and not mount.source:
        return "must not set ReadOnly mode when using anonymous volumes"
    if subpath and not mount.source:
        return "must not set Subpath when using anonymous volumes"
    return "" if _is_local(subpath) else "subpath must be a relative path within the volume"


def _problem_of_image(mount: wire.Mount) -> str:
    if not mount.source:
        return "field Source must not be empty"
    subpath = mount.image_options.subpath if mount.image_options else ""
    return "" if _is_local(subpath) else "subpath must be a relative path within the volume"


def _problem_of_tmpfs(mount: wire.Mount) -> str:
    if mount.source:
        return "field Source must not be specified"
    options = mount.tmpfs_options or wire.TmpfsOptions()
    for option in options.options or ():
        if not 1 <= len(option) <= 2:
            return "invalid option array length"
        if option[0] not in _TMPFS_WORDS:
            return f"invalid option: {option[0]}"
    if options.size_bytes < 0:
        return f"invalid size '{options.size_bytes}': a number of bytes is wanted"
    return ""


_PROBLEMS = {
    "bind": _problem_of_bind,
    "volume": _problem_of_volume,
    "image": _problem_of_image,
    "tmpfs": _problem_of_tmpfs,
}


def _is_local(path: str) -> bool:
    """Say whether a path stays within the directory that it is relative to; an empty one is none."""
    return not path.startswith("/") and not posixpath.normpath(path or ".").startswith("..")


def shown(mount: BindMount) -> dict[str, object]:
    """Return an entry of ``Mounts`` as it was given, for who inspects the container."""
    result: dict[str, object] = {"Type": mount.kind, "Source": mount.source, "Target": mount.destination}
    result["ReadOnly"] = mount.read_only
    given: dict[str, dict[str, object]] = {
        "BindOptions": {
            "Propagation": mount.propagation,
            "NonRecursive": not mount.recursive,
            "CreateMountpoint": mount.make_source,
            "ReadOnlyNonRecursive": not mount.read_only_below,
            "ReadOnlyForceRecursive": mount.force_read_only_below,
        },
        "VolumeOptions": {
            "NoCopy": not mount.copy_up,
            "Labels": mount.labels,
            "Subpath": mount.subpath if mount.kind == "volume" else "",
            "DriverConfig": _without_nothing({"Name": mount.driver, "Options": mount.driver_opts}),
        },
        "ImageOptions": {"Subpath": mount.subpath if mount.kind == "image" else ""},
        "TmpfsOptions": {
            "SizeBytes": mount.size_bytes,
            "Mode": mount.file_mode,
            "Options": [option.split("=", 1) for option in mount.options.split(",") if option],
        },
    }
    options = {name: _without_nothing(values) for name, values in given.items()}
    return _without_nothing({**result, **options})


def _without_nothing(values: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value}
