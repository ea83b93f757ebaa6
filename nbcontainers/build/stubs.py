"""What mounting leaves in a layer: empty directories and files, made for something to be mounted on.

They are not the command's doing, and would stand in the image for ever. Those that every container has come from a
layer of their own, below all others, so that nothing need be made. The others are taken away afterwards: a mount point
cannot be removed or replaced while something is mounted on it; so what lies there, in the command's own layer, is ours.

They are renamed rather than removed: where something is, or was a moment ago, mounted on a directory, the kernel waits
for a grace period before it removes it.
"""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

ALWAYS = ("/proc", "/sys", "/dev", "/etc/hosts", "/etc/resolv.conf")
Below = Callable[[str], os.stat_result | None]


def make_layer(directory: Path) -> None:
    """Make a layer of the mount points that every container has."""
    for path in ALWAYS:
        place = directory / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.startswith("/etc/"):
            place.touch()
        else:
            place.mkdir(exist_ok=True)


def remove(upper: str, destinations: Iterable[str], below: Below, trash: Callable[[], Path]) -> None:
    """Remove mount points from a layer, with the directories above that were made for them.

    Args:
        upper: The layer's directory.
        destinations: What was mounted where, absolute paths in the container.
        below: Tells what the layers below have at a path, None for nothing.
        trash: Returns a new path to move something to.
    """
    for destination in sorted(destinations, key=len, reverse=True):
        path = os.path.normpath("/" + destination.strip("/"))
        if not _is_plain(upper, path) or not _remove_empty(f"{upper}{path}", trash):
            continue
        above = os.path.dirname(path)
        while (
            above != "/" and _was_untouched(f"{upper}{above}", below(above)) and _remove_empty(f"{upper}{above}", trash)
        ):
            above = os.path.dirname(above)


def _is_plain(upper: str, path: str) -> bool:
    """Say whether no link stands on the way to a path."""
    parts = path.strip("/").split("/")
    return not any(os.path.islink(f"{upper}/{'/'.join(parts[:depth])}") for depth in range(1, len(parts) + 1))


def _remove_empty(path: str, trash: Callable[[], Path]) -> bool:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    is_stub = not os.listdir(path) if stat.S_ISDIR(status.st_mode) else stat.S_ISREG(status.st_mode)
    if not is_stub or (stat.S_ISREG(status.st_mode) and status.st_size):
        return False
    os.rename(path, trash())
    return True


def _was_untouched(path: str, before: os.stat_result | None) -> bool:
    """Say whether a directory was made, or copied up, for a mount point alone."""
    now = os.lstat(path)
    return before is None or (now.st_mode, now.st_uid, now.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
