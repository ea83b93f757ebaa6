"""Devices of a container: the nodes in its /dev, and who keeps it from all others.

On version 1 of control groups a controller decides which devices may be opened, whatever nodes there are. Version 2 has
none, and BPF programs in its place are not loaded here: so a container can make no nodes, and those of its image cannot
be opened.

Source: OCI runtime-spec, config-linux.md § Default Devices, Devices; Documentation/admin-guide/cgroup-v1/devices.rst.
"""

from __future__ import annotations

import os
import stat

from nbcontainers.linux import capabilities, mounts
from nbcontainers.runtime.attaching import open_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.linux.cgroups import Driver
    from nbcontainers.runtime.spec import LinuxDevice, LinuxDeviceCgroup, Request

_LINKS = (
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
    ("/proc/kcore", "dev/core"),
    ("pts/ptmx", "dev/ptmx"),
)
_ANY = -1
_OPEN_TO_ALL = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, _ANY))
"""null, zero, full, random, urandom, tty, console, ptmx, and all pseudo-terminals."""
_MKNOD = frozenset(("CAP_MKNOD",))
_NO_CAPABILITY: frozenset[str] = frozenset()


def make_devices(devices: list[LinuxDevice]) -> None:
    """Make the default device nodes and the usual links below ``dev`` in the working directory.

    Raises:
        OSError: EPERM without CAP_MKNOD.

    Source: OCI runtime-spec, config-linux.md § Default Devices.
    """
    for device in devices:
        _make_node(device, device["path"].lstrip("/"), None)
    for target, link in _LINKS:
        os.symlink(target, link)


def make_device(root_fd: int, device: LinuxDevice) -> None:
    """Make a device node anywhere in a container; what its image has at that place stays.

    Args:
        root_fd: The root file system, attached.
        device: What and where.

    Raises:
        OSError: EPERM without CAP_MKNOD; see ``open_target`` for the directories on the way.

    Source: OCI runtime-spec, config-linux.md § Devices.
    """
    directory, _, name = device["path"].rpartition("/")
    directory_fd = open_target(root_fd, directory or "/", directory=True)
    try:
        _make_node(device, name, directory_fd)
    except FileExistsError:
        return
    finally:
        os.close(directory_fd)


def _make_node(device: LinuxDevice, path: str, dir_fd: int | None) -> None:
    kind = stat.S_IFCHR if device["type"] == "c" else stat.S_IFBLK
    previous = os.umask(0)
    try:
        os.mknod(path, kind | device["fileMode"], os.makedev(device["major"], device["minor"]), dir_fd=dir_fd)
    finally:
        os.umask(previous)
    if device.get("uid") or device.get("gid"):
        os.chown(path, device.get("uid", 0), device.get("gid", 0), dir_fd=dir_fd, follow_symlinks=False)


def default_capabilities(driver: Driver) -> frozenset[str]:
    """Return the capabilities of a container that asks for no others, as far as this machine can give them.

    Where no controller keeps a container from the host's devices (version 2), it must not make nodes of them.

    Source: capabilities(7) § CAP_MKNOD.
    """
    return frozenset(capabilities.DEFAULT) - (_NO_CAPABILITY if driver.version == 1 else _MKNOD)


def allowed() -> list[LinuxDeviceCgroup]:
    """Return which devices a container may open: those in its /dev; making nodes of others gives no access.

    Source: OCI runtime-spec, config-linux.md § Default Devices; Docker's default device rules.
    """
    rules: list[LinuxDeviceCgroup] = [{"allow": False}]
    rules += [{"allow": True, "type": kind, "access": "m"} for kind in ("c", "b")]
    for major, minor in _OPEN_TO_ALL:
        rules.append({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"})
    return rules


def do_without_rules(request: Request, root_fd: int) -> None:
    """Keep a container from the host's devices where no controller does (version 2).

    It cannot make device nodes, and those that its image has cannot be opened; unless it may use all devices.

    Source: capabilities(7) § CAP_MKNOD, mount_setattr(2) § MOUNT_ATTR_NODEV.
    """
    if {"allow": True} in request["spec"]["linux"]["resources"].pop("devices", ()):
        return
    process = request["spec"]["process"]
    process["capabilities"] = [name for name in process["capabilities"] if name != "CAP_MKNOD"]
    mounts.mount_setattr("", set_attributes=mounts.MOUNT_ATTR_NODEV, dir_fd=root_fd)
