"""``RUN --mount``: what a command sees besides its image, for as long as it runs.

Source: Dockerfile reference § RUN --mount.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from nbcontainers.build.suggestion import did_you_mean

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]

_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_KEYS = (
    *("type", "from", "source", "target", "readonly", "readwrite", "required"),
    *("size", "id", "sharing", "mode", "uid", "gid", "env"),
)
_BARE = ("readonly", "readwrite", "required")
_ONLY_FOR: dict[str, tuple[str, ...]] = {
    "required": ("secret", "ssh"),
    "size": ("tmpfs",),
    "sharing": ("cache",),
    "mode": ("secret", "ssh", "cache"),
    "uid": ("secret", "ssh", "cache"),
    "gid": ("secret", "ssh", "cache"),
    "env": ("secret",),
    "from": ("bind", "cache"),
}
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)


class MountError(ValueError):
    """A mount is not written right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMount:
    """One mount of a RUN instruction.

    Args:
        type: What it is.
        from_: The stage or image that it comes from, empty for the context, or for nothing.
        source: The path there; for a secret, its name.
        target: Where it appears; empty for the default of its type.
        readonly: It cannot be written.
        size_bytes: The limit of a tmpfs, 0 for none.
        id: The name of a cache or secret, empty for the default of its type.
        sharing: Who else may use a cache at the same time.
        required: A secret that was not given is an error.
        env: The variable that a secret is put into, None for a file, empty for one of the secret's name.
        mode: Permissions, None for the default of its type.
        uid: Owner.
        gid: Group.
    """

    type: MountType = "bind"
    from_: str = ""
    source: str = ""
    target: str = ""
    readonly: bool = True
    size_bytes: int = 0
    id: str = ""
    sharing: Sharing = "shared"
    required: bool = False
    env: str | None = None
    mode: int | None = None
    uid: int = 0
    gid: int = 0


def parse(text: str, expand: Callable[[str], str]) -> RunMount:
    """Read ``type=cache,target=/root/.cache``.

    Args:
        text: The flag's value.
        expand: Replaces variables in values.

    Raises:
        MountError: A key is not known, or has a value that it cannot have.
    """
    fields = _fields(text, expand)
    kind = fields.get("type", "bind").lower()
    if kind not in get_args(MountType):
        raise MountError(f'unsupported mount type "{kind}"{did_you_mean(kind, get_args(MountType))}')
    for key in fields:
        if kind not in _ONLY_FOR.get(key, (kind,)):
            raise MountError(f"unexpected key '{key}' for mount type '{kind}'")
    mount = RunMount(
        type=kind,  # type: ignore[arg-type]  # it is one of the literal's
        from_=fields.get("from", ""),
        source=fields.get("source", ""),
        target=fields.get("target", ""),
        readonly=_readonly(fields, kind),
        size_bytes=_size(fields.get("size", "0")),
        id=fields.get("id", ""),
        sharing=_sharing(fields.get("sharing", "shared")),
        required=_flag("required", fields.get("required", "false")),
        env=fields.get("env"),
        mode=_number("mode", fields["mode"], 8) if "mode" in fields else None,
        uid=_number("uid", fields.get("uid", "0"), 10),
        gid=_number("gid", fields.get("gid", "0"), 10),
    )
    if kind == "secret" and not (mount.source or mount.target or mount.id):
        raise MountError("invalid secret mount: one of source, target or id is required")
    if kind == "secret" and mount.source and mount.id:
        raise MountError("both source and id can't be set")
    return mount


def from_of(text: str) -> str:
    """Return what a mount names with ``from``, which has no variables in it: stages are sorted before they run.

    Raises:
        MountError: It has one, or the text is no list.
    """
    name = _fields(text, lambda value: value).get("from", "")
    if "$" in name[:-1]:
        raise MountError("'from' doesn't support variable expansion, define alias stage instead")
    return name


def _fields(text: str, expand: Callable[[str], str]) -> dict[str, str]:
    try:
        words = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise MountError(f"failed to parse csv mounts: {error}") from error
    fields: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        key = _ALIASES.get(name.lower(), name.lower())
        if key not in _KEYS:
            raise MountError(f"unexpected key '{name}' in '{word}'{did_you_mean(name, (*_KEYS, *_ALIASES))}")
        if not equals and key not in _BARE:
            raise MountError(f"invalid field '{word}' must be a key=value pair")
        fields[key] = expand(value) if equals else "true"
    return fields


def _readonly(fields: dict[str, str], kind: str) -> bool:
    if "readonly" in fields:
        return _flag("readonly", fields["readonly"])
    if "readwrite" in fields:
        return not _flag("readwrite", fields["readwrite"])
    return kind not in ("cache", "tmpfs")


def _flag(key: str, value: str) -> bool:
    if value.lower() not in (*_TRUE, *_FALSE):
        raise MountError(f"invalid value for {key}: {value}")
    return value.lower() in _TRUE


def _number(key: str, value: str, base: int) -> int:
    try:
        number = int(value, base)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 32:
        raise MountError(f"invalid value {value} for {key}")
    return number


def _size(value: str) -> int:
    match = _SIZE.fullmatch(value)
    if match is None:
        raise MountError(f"invalid value for size: {value}")
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " "))


def _sharing(value: str) -> Sharing:
    if value.lower() not in get_args(Sharing):
        raise MountError(f'unsupported sharing value "{value}"{did_you_mean(value, get_args(Sharing))}')
    return value.lower()  # type: ignore[return-value]  # it is one of the literal's
