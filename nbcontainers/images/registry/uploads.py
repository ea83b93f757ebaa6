"""A blob on its way to a registry, in one piece or as it comes into being, gone on with where a connection has broken.

What is whole already is sent with the request that names its digest. What is still being compressed is sent in one
request without a length, and named in the next. When one of them breaks, the registry says how far it is.

Source: OCI distribution-spec § Pushing blobs; distribution spec, api.md § Resumable Push.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import aiohttp
from yarl import URL

from nbcontainers import errors
from nbcontainers.images.registry.tokens import Access
from nbcontainers.images.registry.transport import Transport, refusal
from nbcontainers.images.registry.unreachable import BROKEN, broken, is_final

_OCTETS = {"Content-Type": "application/octet-stream"}
_LOST = (400, 404, 416)  # the registry knows nothing of the upload, or something else


class Upload(Protocol):
    """What is sent: a source of bytes that can be read again from anywhere."""

    @property
    def size(self) -> int | None:
        """How many bytes it has; None as long as that is not known."""

    @property
    def digest(self) -> str:
        """What it has, once ``chunks`` has come to its end or ``size`` is known."""

    def chunks(self, offset: int) -> AsyncIterator[bytes]:
        """Yield the bytes from an offset on, and wait for those that are not there yet."""

    def check(self) -> None:
        """Raise what has gone wrong where the bytes come from, if anything has."""


class Interrupted(Exception):
    """An upload has stopped on the way, and may be gone on with.

    Args:
        error: What is told when it is not.
        lost: Whether it must begin anew.
    """

    def __init__(self, error: errors.Error, *, lost: bool = False) -> None:
        self.error = error
        self.lost = lost
        super().__init__(str(error))


class Uploader:
    """Sends one blob.

    Args:
        transport: Sends the requests.
        repository: The repository's URL, ``…/v2/NAME``.
        access: With the right to push.
    """

    def __init__(self, transport: Transport, repository: URL, access: Access) -> None:
        self._transport = transport
        self._repository = repository
        self._access = access

    async def send(self, source: Upload) -> None:
        """Send it, and have the registry keep it under its digest.

        Raises:
            errors.RegistryError: It cannot be reached, or does not take it.
            errors.Unauthorized: The credentials are not enough.
            errors.Forbidden: They are good, but not for this.
        """
        failed, location = 0, None
        while True:
            before, offset = location, 0
            try:
                location, offset = await (self._begin() if location is None else self._resume(location))
                location = await self._transfer(location, offset, source)
                return
            except Interrupted as interruption:
                source.check()
                failed = 1 if offset and before is not None else failed + 1
                if failed >= self._transport.patience.attempts:
                    raise interruption.error from interruption
                location = None if interruption.lost else location
            await asyncio.sleep(self._transport.patience.pause_seconds(failed))

    async def _begin(self) -> tuple[URL, int]:
        url = self._repository / "blobs" / "uploads" / ""
        async with self._transport.request("POST", url, self._access, data=b"") as response:
            return location_of(response), 0

    async def _resume(self, location: URL) -> tuple[URL, int]:
        """Ask how far an upload is; one that is not known any more begins anew."""
        try:
            async with self._transport.request("GET", location, self._access) as response:
                last = response.headers.get("Range", "").removeprefix("bytes=").partition("-")[2]
                # A registry that has nothing says 0-0, as does one that has a byte: such a one is begun anew.
                if last.isdigit() and int(last) > 0:
                    return location_of(response), int(last) + 1
        except errors.NotFound:
            pass
        return await self._begin()

    async def _transfer(self, location: URL, offset: int, source: Upload) -> URL:
        if source.size is not None and offset == 0:
            await self._close(location, source, whole=True)
            return location
        headers = dict(_OCTETS)
        if source.size is not None:
            headers["Content-Length"] = str(source.size - offset)
            headers["Content-Range"] = f"{offset}-{source.size - 1}"
        if source.size is None or offset < source.size:
            location = location_of(await self._stream("PATCH", location, headers, source, offset))
        await self._close(location, source, whole=False)
        return location

    async def _close(self, location: URL, source: Upload, *, whole: bool) -> None:
        """Name the digest, with all of the bytes or after them."""
        url = location.update_query(digest=source.digest)
        if whole:
            await self._stream("PUT", url, {**_OCTETS, "Content-Length": str(source.size)}, source, 0)
            return
        try:
            async with self._transport.request("PUT", url, self._access, headers=_OCTETS, data=b""):
                return
        except (errors.NotFound, errors.RegistryError) as error:
            if not await self._arrived(source.digest):
                raise Interrupted(error, lost=True) from error

    async def _stream(
        self, method: str, url: URL, headers: dict[str, str], source: Upload, offset: int
    ) -> aiohttp.ClientResponse:
        """Send the bytes from an offset on.

        Raises:
            Interrupted: The registry has not got all of them.
        """
        data = source.chunks(offset)
        try:
            response = await self._transport.attempt(method, url, self._access, headers=headers, data=data)
        except BROKEN as error:
            if is_final(error):
                raise broken(self._access.endpoint, error) from error
            raise Interrupted(broken(self._access.endpoint, error)) from error
        if response.status < 300:
            response.release()
            return response
        refused = await refusal(response)
        if isinstance(refused, errors.Forbidden):
            raise refused
        raise Interrupted(refused, lost=response.status in _LOST)

    async def _arrived(self, digest: str) -> bool:
        """Say whether the registry has the blob after all: it may be its answer that was lost."""
        try:
            async with self._transport.request("HEAD", self._repository / "blobs" / digest, self._access):
                return True
        except errors.Error:
            return False


def location_of(response: aiohttp.ClientResponse) -> URL:
    """Return where an upload goes on.

    Raises:
        errors.RegistryError: The registry does not say.
    """
    location = response.headers.get("Location", "")
    if not location:
        raise errors.RegistryError(f"'{response.url.origin()}' does not say where to upload to")
    return response.url.join(URL(location, encoded=True))
