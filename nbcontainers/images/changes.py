"""Changes of an image's defaults, given as Dockerfile instructions, as ``docker import --change`` takes them.

Source: Docker CLI reference, "docker image import" § --change; Dockerfile reference.
"""

import os
import shlex
from collections.abc import Callable

import msgspec

from nbcontainers import errors
from nbcontainers.images.config import ContainerDefaults

Changes = list[str]


def apply_changes(defaults: ContainerDefaults, changes: Changes) -> ContainerDefaults:
    """Apply Dockerfile instructions that only set defaults, as ``docker import --change`` takes them.

    Raises:
        errors.InvalidArgument: An instruction is another one, or has no value.
    """
    for change in changes:
        keyword, _, rest = change.strip().partition(" ")
        setter = _CHANGES.get(keyword.upper())
        if setter is None or not rest.strip():
            known = ", ".join(_CHANGES)
            raise errors.InvalidArgument(f"'{change}' is no valid change: one of {known} with a value is wanted")
        setter(defaults, rest.strip())
    return defaults


def words(text: str) -> list[str]:
    """Return a command in exec form, or in shell form as ``/bin/sh -c``."""
    if text.startswith("["):
        try:
            return msgspec.json.decode(text.encode(), type=list[str])
        except msgspec.DecodeError:
            pass
    return ["/bin/sh", "-c", text]


def assignments(text: str) -> dict[str, str]:
    """Return ``A=1 B="two words"``, or the old form ``A value``, as a table.

    Raises:
        errors.InvalidArgument: It is neither.
    """
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise errors.InvalidArgument(f"'{text}': {str(error).lower()}") from error
    if parts and "=" not in parts[0]:
        name, _, value = text.partition(" ")
        return {name: value.strip()}
    if not all("=" in part for part in parts):
        raise errors.InvalidArgument(f"'{text}' is not of the form NAME=value")
    return dict(part.partition("=")[::2] for part in parts)


def _set_env(defaults: ContainerDefaults, text: str) -> None:
    values = dict(entry.partition("=")[::2] for entry in defaults.env or [])
    values.update(assignments(text))
    defaults.env = [f"{name}={value}" for name, value in values.items()]


def _set_labels(defaults: ContainerDefaults, text: str) -> None:
    defaults.labels = {**(defaults.labels or {}), **assignments(text)}


def _set_volumes(defaults: ContainerDefaults, text: str) -> None:
    paths = words(text) if text.startswith("[") else text.split()
    defaults.volumes = {**(defaults.volumes or {}), **{path: {} for path in paths}}


def _set_ports(defaults: ContainerDefaults, text: str) -> None:
    ports = {port if "/" in port else f"{port}/tcp": dict[str, str]() for port in text.split()}
    defaults.exposed_ports = {**(defaults.exposed_ports or {}), **ports}


def _set_cmd(defaults: ContainerDefaults, text: str) -> None:
    defaults.cmd = words(text)


def _set_entrypoint(defaults: ContainerDefaults, text: str) -> None:
    defaults.entrypoint = words(text)


def _set_user(defaults: ContainerDefaults, text: str) -> None:
    defaults.user = text


def _set_working_dir(defaults: ContainerDefaults, text: str) -> None:
    defaults.working_dir = os.path.join(defaults.working_dir or "/", text)


def _set_stop_signal(defaults: ContainerDefaults, text: str) -> None:
    defaults.stop_signal = text


def _set_on_build(defaults: ContainerDefaults, text: str) -> None:
    defaults.on_build = [*(defaults.on_build or []), text]


_CHANGES: dict[str, Callable[[ContainerDefaults, str], None]] = {
    "CMD": _set_cmd,
    "ENTRYPOINT": _set_entrypoint,
    "ENV": _set_env,
    "ONBUILD": _set_on_build,
    "EXPOSE": _set_ports,
    "LABEL": _set_labels,
    "STOPSIGNAL": _set_stop_signal,
    "USER": _set_user,
    "VOLUME": _set_volumes,
    "WORKDIR": _set_working_dir,
}
