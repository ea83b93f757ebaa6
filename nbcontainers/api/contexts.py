"""A build's context: the tar archive that a client sends, unpacked as it arrives; or what a URL has.

Source: Docker Engine API, ``POST /build``: identity, gzip, bzip2 or xz; modes are kept, owners become root's, as in
Docker's classic builder.
"""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator

from nbcontainers import errors
from nbcontainers.api.relay import Relay
from nbcontainers.build import archives, downloads
from nbcontainers.build.events import BuildError, Workspace
from nbcontainers.images.compression import Readable

AT_ONCE_BYTES = 1 << 20
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
    relay = Relay()
    unpacking = asyncio.ensure_future(asyncio.to_thread(_unpack_relayed, relay, place))
    try:
        await relay.put(bytes(beginning))
        async for chunk in chunks:
            await relay.put(chunk)
    finally:
        relay.end()
        with contextlib.suppress(errors.Error):
            await asyncio.wait([unpacking])
    unpacking.result()


def _unpack_relayed(relay: Relay, place: Workspace) -> None:
    try:
        _unpack(relay, place)
    finally:
        relay.close()


def _unpack(stream: Readable, place: Workspace) -> None:
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
