"""Devices of the host in a container: which nodes its /dev gets, and which of them it may open.

Source: OCI runtime-spec, config-linux.md § Devices, § Allowed Device list; Docker documentation, "docker container
run" § Add host device to container, § Privileged.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from nbcontainers import errors
from nbcontainers.engine.configuration import Device, HostConfig
from nbcontainers.linux import cgroups
from nbcontainers.runtime.defaults import DEVICES
from nbcontainers.runtime.spec import LinuxDevice, LinuxDeviceCgroup

_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")
_ANY = -1
# Not devices of the machine but of one set of terminals, or no devices at all; and a container has its own of them.
_NOT_GIVEN = frozenset(("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"))
ALL: LinuxDeviceCgroup = {"allow": True}


def check(host_config: HostConfig) -> None:
    """Refuse rules that make no sense; whether there is such a device is asked at the start.

    Raises:
        errors.InvalidArgument: A rule is not of Docker's form.
        errors.Unavailable: This machine has no device rules.
    """
    for rule in host_config.device_cgroup_rules:
        _read(rule)
    if host_config.device_cgroup_rules and "devices" not in cgroups.detect().controllers:
        raise errors.Unavailable(
            "a device cgroup rule", "this machine has no controller of devices (cgroup version 2)", "use --device"
        )


def of(host_config: HostConfig) -> tuple[list[LinuxDevice], list[LinuxDeviceCgroup]]:
    """Return the nodes that a container gets, the default ones first, and the rules in addition to the default ones.

    Raises:
        errors.InvalidArgument: There is no such device.
    """
    nodes = {device["path"]: device for device in DEVICES}
    if host_config.privileged:
        for node in _of_host():
            nodes.setdefault(node["path"], node)
    rules: list[LinuxDeviceCgroup] = []
    for device in host_config.devices:
        for node in _nodes(device):
            nodes.setdefault(node["path"], node)
            rules.append(
                {
                    "allow": True,
                    "type": node["type"],
                    "major": node["major"],
                    "minor": node["minor"],
                    "access": device.permissions,
                }
            )
    if host_config.privileged:
        return list(nodes.values()), [ALL]
    return list(nodes.values()), [*rules, *(_read(rule) for rule in host_config.device_cgroup_rules)]


def _of_host() -> Iterator[LinuxDevice]:
    for path in _below(Path("/dev")):
        if node := _node(path):
            yield node


def _below(directory: Path) -> Iterator[Path]:
    """Yield what is in a directory and in those below it; links are not followed."""
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if entry.name in _NOT_GIVEN:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path))
        else:
            yield Path(entry.path)


def _nodes(device: Device) -> Iterator[LinuxDevice]:
    """Yield the node of a device, or of all devices in a directory, with their paths in the container."""
    source = Path(os.path.realpath(device.path_on_host))
    node = _node(source)
    if node is not None:
        yield {**node, "path": device.path_in_container}
        return
    found = False
    if source.is_dir():
        for path in _below(source):
            if node := _node(path):
                found = True
                yield {**node, "path": f"{device.path_in_container.rstrip('/')}/{path.relative_to(source)}"}
    if not found:
        reason = "not a device node" if source.exists() else "no such file or directory"
        raise errors.InvalidArgument(
            f'error gathering device information while adding custom device "{device.path_on_host}": {reason}'
        )


def _node(path: Path) -> LinuxDevice | None:
    """Describe a device; None for what is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return None
    return {
        "path": str(path),
        "type": "c" if stat.S_ISCHR(status.st_mode) else "b",
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def _read(rule: str) -> LinuxDeviceCgroup:
    match = _RULE.fullmatch(rule)
    if match is None:
        raise errors.InvalidArgument(f"invalid device cgroup rule format: '{rule}'")
    major, minor = (_ANY if number == "*" else int(number) for number in match.group(2, 3))
    return {"allow": True, "type": match[1], "major": major, "minor": minor, "access": match[4]}
