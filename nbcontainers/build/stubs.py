"""What mounting leaves in a layer: empty directories and files, made for something to be mounted on.

They are not the command's doing, and would stand in the image for ever. A mount point cannot be removed or replaced
while something is mounted on it; so what lies there afterwards, in the command's own layer, is ours.
"""

import os
import stat
from collections.abc import Callable, Iterable

Below = Callable[[str], os.stat_result | None]


def remove(upper: str, destinations: Iterable[str], below: Below) -> None:
    """Remove mount points from a layer, with the directories above that were made for them.

    Args:
        upper: The layer's directory.
        destinations: What was mounted where, absolute paths in the container.
        below: Tells what the layers below have at a path, None for nothing.
    """
    for destination in sorted(destinations, key=len, reverse=True):
        path = os.path.normpath("/" + destination.strip("/"))
        if not _is_plain(upper, path) or not _remove_empty(f"{upper}{path}"):
            continue
        above = os.path.dirname(path)
        while above != "/" and _was_untouched(f"{upper}{above}", below(above)) and _remove_empty(f"{upper}{above}"):
            above = os.path.dirname(above)


def _is_plain(upper: str, path: str) -> bool:
    """Say whether no link stands on the way to a path."""
    parts = path.strip("/").split("/")
    return not any(os.path.islink(f"{upper}/{'/'.join(parts[:depth])}") for depth in range(1, len(parts) + 1))


def _remove_empty(path: str) -> bool:
    try:
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(path)
        elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
            os.unlink(path)
        else:
            return False
    except OSError:
        return False
    return True


def _was_untouched(path: str, before: os.stat_result | None) -> bool:
    """Say whether a directory was made, or copied up, for a mount point alone."""
    now = os.lstat(path)
    return before is None or (now.st_mode, now.st_uid, now.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
