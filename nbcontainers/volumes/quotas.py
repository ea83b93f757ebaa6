"""Limits on what a volume may have: the option ``size``, where the engine's file system has quotas of projects.

Each limited volume is a project of its own. Its number is drawn by lot, from those that nothing belongs to and no limit
was set for: nobody keeps a list, so none can be wrong after a crash, and engines on one file system need not meet.

Source: Docker documentation, "docker volume create" § Driver-specific options, ``size``.
"""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from nbcontainers.linux import files, quota

_FIRST, _NUMBERS = 1 << 20, 1 << 30
"""Far from those that people give by hand."""


def are_enforced(directory: Path) -> bool:
    """Say whether what is made in a directory can be limited."""
    with files.opened_directory(directory) as fd:
        return quota.is_enforced(fd)


def limit(directory: Path, size_bytes: int) -> None:
    """Limit what an empty directory may have.

    Raises:
        SyscallError: ESRCH, the file system enforces no limits; see ``are_enforced``.
    """
    with files.opened_directory(directory) as fd:
        project = _FIRST + secrets.randbelow(_NUMBERS)
        while quota.usage(fd, project) != (0, 0):
            project = _FIRST + secrets.randbelow(_NUMBERS)
        quota.set_project(fd, project)
        quota.set_limit(fd, project, size_bytes)


def share(of_fd: int, with_fd: int) -> None:
    """Count what is made in one directory with what another one has; only so can it be moved there."""
    quota.set_project(with_fd, quota.project_of(of_fd))


@contextlib.contextmanager
def released(directory: Path) -> Iterator[None]:
    """Take the limit of a directory away that is removed within."""
    with files.opened_directory(directory.parent) as fd:
        project = 0
        with contextlib.suppress(OSError), files.opened_directory(directory) as own_fd:
            project = quota.project_of(own_fd)
        yield
        if project:
            with contextlib.suppress(OSError):
                quota.set_limit(fd, project, 0)
