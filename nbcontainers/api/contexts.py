"""A build's context: the tar archive that a client sends, unpacked as it arrives; or what a URL has.

Source: Docker Engine API, ``POST /build``: identity, gzip, bzip2 or xz; modes are kept, owners become root's, as in
Docker's classic builder.
"""

import asyncio
import contextlib
import fcntl
import io
import os
from collections.abc import AsyncIterator
from typing import BinaryIO

from nbcontainers import errors
from nbcontainers.build import archives, downloads
from nbcontainers.build.events import BuildError, Workspace

AT_ONCE_BYTES = 1 << 20
_READ_BYTES = 1 << 18
_F_SETPIPE_SZ = 1031
_REMOTE_FILE = "remote"


async def receive(chunks: AsyncIterator[bytes], place: Workspace) -> None:
    """Unpack an archive into an empty place while it arrives.

    Raises:
        errors.InvalidArgument: It is no tar archive, or a name in it leads outside.
    """
    beginning = bytearray()
    async for chunk in chunks:
        beginning += chunk
        if len(beginning) > AT_ONCE_BYTES:
            break
    else:
        _unpack(io.BytesIO(bytes(beginning)), place)
        return
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # larger than usual where that is allowed
        fcntl.fcntl(write_fd, _F_SETPIPE_SZ, AT_ONCE_BYTES)
    os.set_blocking(write_fd, False)
    reading = os.fdopen(read_fd, "rb", _READ_BYTES)
    unpacking = asyncio.ensure_future(asyncio.to_thread(_unpack, reading, place))
    try:
        await _feed(write_fd, beginning, chunks)
    finally:
        os.close(write_fd)
        with contextlib.suppress(errors.Error):
            await asyncio.wait([unpacking])
    unpacking.result()


async def _feed(write_fd: int, beginning: bytes | bytearray, chunks: AsyncIterator[bytes]) -> None:
    """Pass on what arrives; when nobody reads any more, the rest is taken in for nothing."""
    try:
        await _write(write_fd, beginning)
        async for chunk in chunks:
            await _write(write_fd, chunk)
    except BrokenPipeError:
        async for _ in chunks:
            continue


async def _write(fd: int, data: bytes | bytearray) -> None:
    view, loop = memoryview(data), asyncio.get_running_loop()
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            writable: asyncio.Future[None] = loop.create_future()
            loop.add_writer(fd, writable.set_result, None)
            try:
                await writable
            finally:
                loop.remove_writer(fd)


def _unpack(stream: BinaryIO, place: Workspace) -> None:
    with stream:
        try:
            archives.unpack(stream, str(place.path), keep_owners=False, digests=place.digests)
        except errors.InvalidArgument as error:
            raise errors.InvalidArgument(f"the build context cannot be taken: {error}") from error


async def fetch(url: str, place: Workspace, dockerfile: str) -> str:
    """Fetch a context: an archive, or a Dockerfile alone.

    Args:
        url: With http or https.
        place: Where to put it.
        dockerfile: What the Dockerfile is called in an archive.

    Returns:
        What the Dockerfile is called.

    Raises:
        errors.Unsupported: It is a git repository.
        errors.InvalidArgument: It cannot be fetched.
    """
    if downloads.is_git(url) or not downloads.is_url(url):
        raise errors.Unsupported(f"a git repository is not supported as build context: '{url}': clone it, and give '.'")
    fetched = place.path / _REMOTE_FILE
    try:
        await downloads.fetch(url, str(fetched), "")
    except BuildError as error:
        raise errors.InvalidArgument(f"error downloading remote context: {error}") from error
    if not await asyncio.to_thread(archives.is_archive, str(fetched)):
        fetched.rename(place.path / "Dockerfile")
        return "Dockerfile"
    with open(fetched, "rb") as archive:
        fetched.unlink()
        unpack = archives.unpack
        await asyncio.to_thread(unpack, archive, str(place.path), keep_owners=False, digests=place.digests)
    return dockerfile
