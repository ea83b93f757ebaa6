"""A blob as a stream that goes on where a broken connection has left it.

Source: RFC 9110 § 14; OCI distribution-spec § Pulling blobs.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import aiohttp
from yarl import URL

from nbcontainers import errors
from nbcontainers.images.registry.model import Descriptor
from nbcontainers.images.registry.tokens import Access
from nbcontainers.images.registry.transport import Transport
from nbcontainers.images.registry.unreachable import BROKEN, broken, is_final


@dataclass(slots=True)
class Progress:
    """How far a download is, for who goes on with it elsewhere.

    Args:
        offset: How many bytes have been given away.
    """

    offset: int = 0


async def download(
    transport: Transport, url: URL, access: Access, blob: Descriptor, progress: Progress
) -> AsyncGenerator[bytes, None]:
    """Yield a blob's bytes from an offset on, exactly as many as it is to have; their digest is not looked at.

    Raises:
        errors.RegistryError: The connection broke too often without a byte between, or the blob has another size.
        errors.NotFound: It is not there.
    """
    failed = 0
    while True:
        before, cause = progress.offset, None
        try:
            async with contextlib.aclosing(_attempt(transport, url, access, blob, progress)) as chunks:
                async for data in chunks:
                    yield data
        except BROKEN as error:
            if is_final(error):
                raise broken(access.endpoint, error) from error
            cause = error
        if progress.offset == blob.size:
            return
        failed = 1 if progress.offset > before else failed + 1
        if failed >= transport.patience.attempts:
            short = f"blob {blob.digest} ends after {progress.offset} of {blob.size} bytes"
            raise broken(access.endpoint, cause or aiohttp.ClientPayloadError(short)) from cause
        await asyncio.sleep(transport.patience.pause_seconds(failed))


async def _attempt(
    transport: Transport, url: URL, access: Access, blob: Descriptor, progress: Progress
) -> AsyncGenerator[bytes, None]:
    """Yield as much as one connection gives."""
    headers = {"Range": f"bytes={progress.offset}-{blob.size - 1}"} if progress.offset else {}
    async with transport.request("GET", url, access, headers=headers) as response:
        begin = _begin(response)
        skipped = progress.offset - begin
        if skipped < 0:
            raise errors.RegistryError(f"blob {blob.digest} comes from the wrong place on: '{response.url.origin()}'")
        length = response.content_length
        if length is not None and begin + length != blob.size:
            raise errors.RegistryError(f"blob {blob.digest} has {begin + length} bytes: {blob.size} were promised")
        async for chunk in response.content.iter_any():
            data = chunk[skipped:] if skipped else chunk
            skipped -= len(chunk) - len(data)
            if progress.offset + len(data) > blob.size:
                raise errors.RegistryError(f"blob {blob.digest} has more than the {blob.size} bytes that were promised")
            progress.offset += len(data)
            if data:
                yield data


def _begin(response: aiohttp.ClientResponse) -> int:
    """Return the offset at which a response begins: servers may give it all, whatever was asked for."""
    if response.status != 206:
        return 0
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    begin = span.partition("-")[0]
    if unit != "bytes" or not begin.isdigit():
        raise errors.RegistryError(f"'{response.url.origin()}' does not say which part of the blob it sends")
    return int(begin)
