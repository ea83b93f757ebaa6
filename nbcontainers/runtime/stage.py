"""What every container has by default, mounted before anybody has asked for it.

``/proc`` with its masks and ``/dev`` with its nodes take a dozen mounts, the same ones for almost every container.
A prepared child makes them while nobody waits, in a corner of its own mount namespace; when the container comes, the
two finished trees are moved into its root file system, one system call each. A container that wants any of it
otherwise gets it made in the ordinary way.

``/sys`` cannot be staged: it shows the network namespace of whoever mounts it, and that is not known yet.
"""

from __future__ import annotations

import os

from nbcontainers.linux import mounts
from nbcontainers.runtime import attaching, defaults, devices, masking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import Mount, Spec

_TREES = ("/proc", "/dev")
MOUNTS: list[Mount] = [mount for mount in defaults.default_mounts() if mount["destination"].startswith(_TREES)]
"""The mounts that are staged, in their order."""
_DEVICES = list(defaults.DEVICES)


def _of_proc(paths: list[str] | tuple[str, ...]) -> list[str]:
    return [path for path in paths if path.startswith("/proc/")]


_MASKED = _of_proc(defaults.MASKED_PATHS)
_READONLY = _of_proc(defaults.READONLY_PATHS)


class Stage:
    """The finished trees of one prepared child, made in its working directory, an empty one.

    Raises:
        SyscallError: A mount failed.
    """

    def __init__(self) -> None:
        here_fd = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for mount in MOUNTS:
            attaching.attach(here_fd, mount)
            if mount["destination"] == "/dev":
                devices.make_devices(_DEVICES)
        os.close(here_fd)
        for path in _MASKED:
            masking.mask_path(path)
        for path in _READONLY:
            masking.make_readonly(path)
        self._fds = {tree: os.open(tree.lstrip("/"), os.O_PATH | os.O_CLOEXEC) for tree in _TREES}

    def fits(self, spec: Spec) -> bool:
        """Say whether this container wants just what is staged."""
        linux = spec["linux"]
        return (
            all(mount in spec["mounts"] for mount in MOUNTS)
            and linux["devices"][: len(_DEVICES)] == _DEVICES
            and _of_proc(linux["maskedPaths"]) == _MASKED
            and _of_proc(linux["readonlyPaths"]) == _READONLY
        )

    def remaining(self, paths: list[str]) -> list[str]:
        """Return which of the paths to mask, or to make read-only, are not done here already."""
        return [path for path in paths if not path.startswith("/proc/")]

    def move_to(self, root_fd: int) -> None:
        """Move the trees to their places below a root file system.

        Raises:
            SyscallError: The root file system has something else than a directory there.

        Source: move_mount(2).
        """
        for tree, fd in self._fds.items():
            target_fd = attaching.open_target(root_fd, tree, directory=True)
            mounts.move_mount(fd, "", dir_fd=target_fd)
            os.close(target_fd)
            os.close(fd)
