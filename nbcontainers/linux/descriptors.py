"""Descriptors of anything that bytes go into: files, pipes, sockets."""

from __future__ import annotations

import os


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of some bytes, in as many calls as it takes.

    The kernel may take less than it was given: from a pipe's reader who is slow, on a disk that becomes full. Only
    the next call says why.

    Args:
        fd: A descriptor that blocks.
        data: What to write.

    Raises:
        OSError: EPIPE, nobody reads any more; ENOSPC, the disk is full.

    Source: write(2), pipe(7).
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
