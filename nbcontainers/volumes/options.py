"""The options of the driver ``local``: which there are, which belong together, and why they are refused.

A volume is a directory of the engine's own file system. ``type``, ``device`` and ``o`` would mount another one there,
which this engine does not do; ``size`` would be a quota of the file system, and none is set.

Source: Docker documentation, "docker volume create" § Driver-specific options.
"""

import re

from nbcontainers import errors

_TOGETHER = {"type": ("device",), "device": ("type",), "o": ("device", "type")}
_KNOWN = (*_TOGETHER, "size")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?[kmgtp]?i?b?", re.IGNORECASE)


def check(name: str, driver_opts: dict[str, str]) -> None:
    """Refuse options, in Docker's words where Docker would refuse them as well.

    Args:
        name: The volume's name.
        driver_opts: The options.

    Raises:
        errors.InvalidArgument: One is unknown, one is missing, or a size is asked for.
        errors.Unsupported: They ask for a file system of the volume's own.
    """
    for option in driver_opts:
        if option not in _KNOWN:
            raise errors.InvalidArgument(f'create {name}: invalid option: "{option}"')
    for option, others in _TOGETHER.items():
        for other in others if option in driver_opts else ():
            if other not in driver_opts:
                raise errors.InvalidArgument(f'create {name}: missing required option: "{other}"')
    if "size" in driver_opts:
        found = _SIZE.fullmatch(driver_opts["size"])
        if found is None:
            raise errors.InvalidArgument(f"create {name}: invalid size: '{driver_opts['size']}'")
        if float(found[1]):
            raise errors.InvalidArgument(f"create {name}: quota size requested but no quota support")
    if "type" in driver_opts:
        what = f"'{driver_opts['device']}' (type '{driver_opts['type']}')"
        raise errors.Unsupported(
            f"create {name}: mounting {what} in a volume is not supported: {_instead(driver_opts)}"
        )


def _instead(driver_opts: dict[str, str]) -> str:
    """Say what serves the same purpose."""
    if driver_opts["type"] in ("tmpfs", "ramfs"):
        return "give a container --tmpfs PATH:size=…"
    if "bind" in driver_opts.get("o", "").split(","):
        return f"give a container -v {driver_opts['device']}:PATH"
    return "mount it on this machine, and give a container -v DIRECTORY:PATH"
