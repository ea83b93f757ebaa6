"""Tar archives as trees of files: a build's context, and what ADD unpacks.

Other than in a layer's archive there are no whiteouts in it: every name is a file's.

Source: Dockerfile reference § ADD (Adding local tar archives); POSIX.1-2017, pax § ustar Interchange Format.
"""

import os
import tarfile
from collections.abc import MutableMapping

from nbcontainers.images import layers
from nbcontainers.images.compression import FAILURES, Readable, decompressed
from nbcontainers.images.unpacking import Rules

_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
"""The first bytes of what gzip, bzip2, xz and zstd have compressed."""
_USTAR = slice(257, 262)
_BLOCK_BYTES = 512
_ROOT = (0, 0)
_FAILURES: tuple[type[Exception], ...] = (OSError, *FAILURES)


def is_archive(path: str) -> bool:
    """Say whether a file is a tar archive, compressed or not: its content tells, not its name."""
    with open(path, "rb") as file:
        block = file.read(_BLOCK_BYTES)
        if block.startswith(_MAGIC):
            file.seek(0)
            try:
                block = decompressed(file).read(_BLOCK_BYTES)
            except _FAILURES:
                return False
    if block[_USTAR] == b"ustar":
        return True
    try:
        return bool(block) and tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").chksum > 0
    except tarfile.HeaderError:
        return False


def unpack(
    stream: Readable, directory: str, *, keep_owners: bool, digests: MutableMapping[int, bytes] | None = None
) -> None:
    """Unpack an archive below a directory.

    Args:
        stream: The archive.
        directory: Where to; it exists.
        keep_owners: Files keep their owners, and devices are made; without, all is root's, and devices are refused.
        digests: Gets the SHA-256 of each regular file's content, by its inode's number.

    Raises:
        InvalidArgument: It is no archive, is cut short, or has a name that leads out of the root.
        Unavailable: The disk is full.
    """
    owner = None if keep_owners else _ROOT
    root_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        rules = Rules(whiteouts=False, owner=owner, devices=keep_owners, root=False)
        layers.extract(stream, root_fd, rules, "", digests)
    finally:
        os.close(root_fd)
