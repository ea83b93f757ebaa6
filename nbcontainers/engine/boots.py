"""Whether the machine, or the container that the engine lives in, was started anew since the last engine was.

Then nothing of what ran can run still, and that nobody has left an exit status is no sign of a shim that was killed.

Source: random(4) § /proc interfaces, ``boot_id``; proc_pid_stat(5), field 22.
"""

import contextlib
from pathlib import Path

from nbcontainers.linux import files, processes

_NAME = "boot"


def _current() -> bytes:
    """Return what names this boot: a container that is started anew on the same machine has another first process."""
    return f"{processes.boot_id()} {processes.start_time_ticks(1)}\n".encode()


def is_another(root: Path) -> bool:
    """Say whether the last engine that has worked on ``root`` did so before a reboot."""
    try:
        return (root / _NAME).read_bytes() != _current()
    except FileNotFoundError:
        return False


def note(root: Path) -> None:
    """Remember this boot, when all that the last one has left is dealt with."""
    if is_another(root) or not (root / _NAME).exists():
        with contextlib.suppress(OSError):  # the disk is full: the next engine tries again
            files.replace(str(root / _NAME), _current())
