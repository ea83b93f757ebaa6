"""Mounts as docker's options have them: ``--volume``, ``--tmpfs`` and the long form, ``--mount``.

Source: Docker documentation, "docker container run" § Add bind mounts, volumes or memory file systems.
"""

import csv
import os
from collections.abc import Callable
from typing import Any

import click

from nbcontainers.cli.values import Json, size

_TRUTHS = {**dict.fromkeys(("", "1", "true", "True"), True), **dict.fromkeys(("0", "false", "False"), False)}
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_KINDS = {"bind": "BindOptions", "volume": "VolumeOptions", "tmpfs": "TmpfsOptions", "image": "ImageOptions"}
_RECURSIONS: dict[str, Json] = {
    "enabled": {},
    "disabled": {"NonRecursive": True},
    "writable": {"ReadOnlyNonRecursive": True},
    "readonly": {"ReadOnlyForceRecursive": True},
}


def binds(volumes: tuple[str, ...]) -> tuple[list[str], dict[str, Json]]:
    """Return binds, with host paths made absolute, and anonymous volumes, which have nothing but a destination."""
    found: list[str] = []
    anonymous: dict[str, Json] = {}
    for volume in volumes:
        source, colon, rest = volume.partition(":")
        if not colon:
            anonymous[source] = {}
        else:
            found.append(f"{_absolute(source)}:{rest}")
    return found, anonymous


def _absolute(path: str) -> str:
    """Return a host path that is absolute; a relative one begins with a dot, or it would be a volume's name."""
    return os.path.abspath(path) if path.startswith(".") else path


def tmpfs(entries: tuple[str, ...]) -> dict[str, str]:
    """Read ``DESTINATION[:OPTIONS]``."""
    return {path: options for path, _, options in (entry.partition(":") for entry in entries)}


def mount(text: str) -> Json:
    """Read the long form: fields, separated by commas, such as ``type=bind,source=/a,target=/b,readonly``.

    Raises:
        click.UsageError: A field is unknown, or its value is wrong.
    """
    asked: Json = {"Type": "volume"}
    options: dict[str, Json] = {}
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise _wrong(text, f"{error}: a quoted field begins and ends with a quotation mark") from error
    for field in fields:
        name, separator, value = field.partition("=")
        name = name.strip().lower()
        name = _ALIASES.get(name, name)
        if name not in _FIELDS:
            raise _wrong(text, f"unexpected key '{name}' in '{field}'")
        if not separator and name not in _FLAGS:
            raise _wrong(text, f"invalid field '{field}' must be a key=value pair")
        _FIELDS[name](_Place(text, name, asked, options), value)
    if not asked.get("Target"):
        raise _wrong(text, "target is required")
    _check(text, asked, options)
    return {**asked, **options}


def _wrong(text: str, why: str) -> click.UsageError:
    return click.UsageError(f"invalid argument '{text}' for --mount: {why}")


class _Place:
    """Where one field's value goes: the mount, or the options of a kind of mounts."""

    def __init__(self, text: str, name: str, asked: Json, options: dict[str, Json]) -> None:
        self._text, self._name = text, name
        self._asked, self._options = asked, options

    def put(self, key: str, value: Any) -> None:
        self._asked[key] = value

    def option(self, key: str, value: Any) -> None:
        """Set an option of the kind that the field's name begins with."""
        self._options.setdefault(_KINDS[self._name.partition("-")[0]], {})[key] = value

    def options(self) -> Json:
        return self._options.setdefault(_KINDS[self._name.partition("-")[0]], {})

    def refuse(self, value: str, wanted: str) -> click.UsageError:
        return _wrong(self._text, f"invalid value for '{self._name}': '{value}', {wanted} is wanted")


def _text(key: str) -> Callable[[_Place, str], None]:
    return lambda place, value: place.put(key, value)


def _option(key: str) -> Callable[[_Place, str], None]:
    return lambda place, value: place.option(key, value)


def _source(place: _Place, value: str) -> None:
    place.put("Source", _absolute(value))


def _truth(place: _Place, value: str) -> bool:
    if value not in _TRUTHS:
        raise place.refuse(value, "true or false")
    return _TRUTHS[value]


def _read_only(place: _Place, value: str) -> None:
    place.put("ReadOnly", _truth(place, value))


def _recursion(place: _Place, value: str) -> None:
    if value not in _RECURSIONS:
        raise place.refuse(value, "enabled, disabled, writable or readonly")
    place.options().update(_RECURSIONS[value])


def _pair(key: str) -> Callable[[_Place, str], None]:
    def put(place: _Place, value: str) -> None:
        name, _, text = value.partition("=")
        place.options().setdefault(key, {})[name] = text

    return put


def _driver_option(place: _Place, value: str) -> None:
    name, _, text = value.partition("=")
    place.options().setdefault("DriverConfig", {}).setdefault("Options", {})[name] = text


def _driver(place: _Place, value: str) -> None:
    place.options().setdefault("DriverConfig", {})["Name"] = value


def _size(place: _Place, value: str) -> None:
    number = size(value)
    if number is None:
        raise place.refuse(value, "a size such as 64m")
    place.option("SizeBytes", number)


def _mode(place: _Place, value: str) -> None:
    try:
        place.option("Mode", int(value, 8))
    except ValueError:
        raise place.refuse(value, "an octal number such as 1777") from None


def _flag(key: str) -> Callable[[_Place, str], None]:
    return lambda place, value: place.option(key, _truth(place, value))


_FLAGS = ("readonly", "bind-nonrecursive", "volume-nocopy")
_FIELDS: dict[str, Callable[[_Place, str], None]] = {
    "type": lambda place, value: place.put("Type", value.lower()),
    "source": _source,
    "target": _text("Target"),
    "readonly": _read_only,
    "consistency": _text("Consistency"),
    "bind-propagation": _option("Propagation"),
    "bind-nonrecursive": _flag("NonRecursive"),
    "bind-recursive": _recursion,
    "volume-nocopy": _flag("NoCopy"),
    "volume-label": _pair("Labels"),
    "volume-driver": _driver,
    "volume-opt": _driver_option,
    "volume-subpath": _option("Subpath"),
    "image-subpath": _option("Subpath"),
    "tmpfs-size": _size,
    "tmpfs-mode": _mode,
}


def _check(text: str, asked: Json, options: dict[str, Json]) -> None:
    """Refuse options of another kind of mounts, and what the client alone can know to be wrong."""
    wanted = _KINDS.get(asked["Type"])
    for name in options:
        if name != wanted:
            kind = next(kind for kind, options_name in _KINDS.items() if options_name == name)
            raise _wrong(text, f"cannot mix '{kind}-*' options with mount type '{asked['Type']}'")
    bind = options.get("BindOptions", {})
    if bind.get("ReadOnlyForceRecursive") and not asked.get("ReadOnly"):
        raise click.UsageError("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
    if bind.get("ReadOnlyNonRecursive") and not asked.get("ReadOnly"):
        raise click.UsageError("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
    if bind.get("ReadOnlyForceRecursive") and bind.get("Propagation") != "rprivate":
        raise click.UsageError(
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
        )
