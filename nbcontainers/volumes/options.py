"""Names of volumes and options of the driver ``local``: which there may be, and in what words they are refused.

A volume is a directory of the engine's own file system. ``type``, ``device`` and ``o`` mount another one there (see
``mounting``); ``size`` is a quota of the engine's file system (see ``quotas``).

Source: Docker documentation, "docker volume create" § Driver-specific options.
"""

import re

from nbcontainers import errors
from nbcontainers.linux import mounts
from nbcontainers.volumes import mounting

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}")
_TOGETHER = {"type": ("device",), "device": ("type",), "o": ("device", "type")}
_KNOWN = (*_TOGETHER, "size")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)
_UNITS = ("", "k", "m", "g", "t", "p")
_LONGEST_NAME = 255
_LONGEST_BYTES = 4095
"""The kernel reads one page, and leaves out what is longer without a word."""
_OF_FILE_SYSTEMS = {"sync": mounts.MS_SYNCHRONOUS, "dirsync": mounts.MS_DIRSYNC, "mand": mounts.MS_MANDLOCK}


def check_name(name: str) -> None:
    """Refuse what cannot be a volume's name, in Docker's words.

    Raises:
        errors.InvalidArgument: It has other characters than it may, or too many or too few.
    """
    if len(name) == 1:
        raise errors.InvalidArgument(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if len(name) > _LONGEST_NAME:
        raise errors.InvalidArgument(f"create {name}: volume name is too long, {_LONGEST_NAME} characters at most")
    if not NAME.fullmatch(name):
        shown = name.replace("\\", "\\\\").replace('"', '\\"')
        raise errors.InvalidArgument(
            f'create {name}: "{shown}" includes invalid characters for a local volume name, only '
            f'"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def check(name: str, driver_opts: dict[str, str]) -> None:
    """Refuse options, in Docker's words where Docker would refuse them as well.

    Args:
        name: The volume's name.
        driver_opts: The options.

    Raises:
        errors.InvalidArgument: One is unknown or makes no sense, one is missing, or two do not go together.
    """
    for option, value in driver_opts.items():
        if option not in _KNOWN:
            raise errors.InvalidArgument(f'create {name}: invalid option: "{option}"')
        if "\0" in value or len(value.encode()) > _LONGEST_BYTES:
            raise errors.InvalidArgument(
                f'create {name}: invalid value of option "{option}": {_LONGEST_BYTES} bytes at most, none of them zero'
            )
    for option, others in _TOGETHER.items():
        for other in others if option in driver_opts else ():
            if other not in driver_opts:
                raise errors.InvalidArgument(f'create {name}: missing required option: "{other}"')
    if "size" in driver_opts:
        if _SIZE.fullmatch(driver_opts["size"]) is None:
            raise errors.InvalidArgument(f"create {name}: invalid size: '{driver_opts['size']}'")
        if "type" in driver_opts:
            raise errors.InvalidArgument(
                f'create {name}: invalid option: "size" limits a volume on the engine\'s file system: '
                f"give what is mounted o=size={driver_opts['size']}, if it knows that"
            )
    _check_mount_options(name, driver_opts.get("o", ""))


def size_bytes(driver_opts: dict[str, str]) -> int:
    """Return how much a volume may have, which was checked before; 0 for no limit."""
    found = _SIZE.fullmatch(driver_opts.get("size", ""))
    return int(float(found[1]) * 1024 ** _UNITS.index(found[2].lower())) if found else 0


def _check_mount_options(name: str, text: str) -> None:
    """Refuse what mount(2) would ignore, or what is about another mount than the volume's own.

    Raises:
        errors.InvalidArgument: There is such a word.
    """
    flags, data = mounting.parse(text)
    if flags & mounts.MS_REMOUNT:
        raise errors.InvalidArgument(f'create {name}: invalid mount option "remount": a volume is mounted anew')
    if flags & mounts.MS_BIND:
        ignored = [word for word, flag in _OF_FILE_SYSTEMS.items() if flags & flag]
        ignored += data.split(",") if data else []
        if ignored:
            raise errors.InvalidArgument(
                f'create {name}: invalid mount option "{ignored[0]}": it is one of a file system, and a bind mount '
                f"makes none"
            )
