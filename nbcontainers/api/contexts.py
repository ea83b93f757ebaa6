"""A build's context: the tar archive that a client sends, unpacked where nothing in it can reach outside.

Source: Docker Engine API, ``POST /build``: identity, gzip, bzip2 or xz; modes are kept, owners become root's, as in
Docker's classic builder.
"""

import contextlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from nbcontainers import errors

SPOOL_BYTES = 8 << 20


@contextlib.contextmanager
def directory(parent: Path) -> Iterator[Path]:
    """Make a directory below ``parent``, and remove it with everything in it at the end."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="context-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


async def spool(chunks: AsyncIterator[bytes], parent: Path) -> BinaryIO:
    """Take an archive in as it arrives, a small one in memory."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    spooled = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES, dir=str(parent))  # noqa: SIM115  the caller closes it
    try:
        async for chunk in chunks:
            spooled.write(chunk)
        spooled.seek(0)
    except BaseException:
        spooled.close()
        raise
    return cast(BinaryIO, spooled)


def unpack(archive: BinaryIO, path: Path) -> None:
    """Unpack an archive into an empty directory.

    Raises:
        errors.InvalidArgument: It is no tar archive, or a name in it leads outside.
    """
    try:
        with tarfile.open(fileobj=archive, mode="r:*") as tar:
            tar.extractall(path, filter=_member)
    except tarfile.ReadError as error:
        raise errors.InvalidArgument(f"the build context is not a tar archive: {error}") from error
    except (tarfile.TarError, EOFError) as error:
        raise errors.InvalidArgument(f"the build context cannot be unpacked: {error}") from error


def _member(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """Check one member as the standard library does (PEP 706), but keep its mode."""
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk() or member.isfifo()):
        raise errors.InvalidArgument(f"the build context holds a device: '{member.name}'")
    checked = tarfile.tar_filter(member, path)
    return checked.replace(
        mode=member.mode & 0o7777, uid=os.geteuid(), gid=os.getegid(), uname="", gname="", deep=False
    )
