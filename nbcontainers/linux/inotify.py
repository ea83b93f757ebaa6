"""Being told when a file changes, instead of asking again and again.

Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os

from nbcontainers.linux.libc import libc, oserror

IN_MODIFY = 0x002
IN_CREATE = 0x100
_ENOUGH = 64 << 10


class Inotify:
    """An inotify instance; ``fd`` becomes readable when something watched has changed.

    Raises:
        SyscallError: EMFILE, the user's limit of instances is reached (``fs.inotify.max_user_instances``).

    Source: inotify_init(2).
    """

    def __init__(self) -> None:
        self.fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            oserror("inotify_init1", hint="sysctl fs.inotify.max_user_instances may be too low")

    def add_watch(self, path: str, events: int) -> None:
        """Watch a file, or what happens in a directory.

        Args:
            path: The file or directory.
            events: ``IN_…`` added up.

        Raises:
            SyscallError: ENOENT, ENOSPC (``fs.inotify.max_user_watches``).

        Source: inotify_add_watch(2).
        """
        if libc.inotify_add_watch(self.fd, ctypes.c_char_p(os.fsencode(path)), ctypes.c_uint32(events)) < 0:
            oserror("inotify_add_watch", path)

    def drain(self) -> None:
        """Forget the events that have come in; what changed is seen by looking."""
        try:
            while len(os.read(self.fd, _ENOUGH)) == _ENOUGH:
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Stop watching."""
        os.close(self.fd)
