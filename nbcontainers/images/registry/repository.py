"""One repository of a registry: its manifests, its blobs, its tags.

Source: OCI distribution-spec § Endpoints.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import aiohttp
import msgspec
from yarl import URL

from nbcontainers import errors
from nbcontainers.images.registry import media
from nbcontainers.images.registry.downloads import Progress, download
from nbcontainers.images.registry.hosts import Endpoint, Hosts
from nbcontainers.images.registry.model import Credentials, Descriptor, Manifest
from nbcontainers.images.registry.tokens import Access, read_at_most
from nbcontainers.images.registry.transport import Transport
from nbcontainers.images.registry.uploads import Upload, Uploader, location_of

LONGEST_MANIFEST = 4 << 20  # OCI distribution-spec § Pushing Manifests
LONGEST_DOCUMENT = 8 << 20
_ALGORITHMS = ("sha256", "sha512")
T = TypeVar("T")


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class Repository:
    """What one may do with a repository. Mirrors are asked first, without the user's credentials, for what is read.

    Args:
        transport: Sends the requests.
        hosts: Finds the registry's addresses.
        registry: Its name, such as ``docker.io``.
        name: The repository's, in full, such as ``library/busybox``.
        credentials: Whose.
        push: Whether something will be written; mirrors are left out then.
    """

    def __init__(
        self,
        transport: Transport,
        hosts: Hosts,
        registry: str,
        name: str,
        credentials: Credentials,
        *,
        push: bool,
    ) -> None:
        self.registry = registry
        self.name = name
        self._transport = transport
        self._hosts = hosts
        self._credentials = credentials
        self._push = push
        self._found: list[Endpoint] = []
        self._finding = asyncio.Lock()

    async def manifest(self, reference: str) -> Manifest:
        """Return a manifest or an index, by its tag or digest.

        Raises:
            errors.NotFound: There is none.
            errors.RegistryError: It is not what its digest says.
        """
        return await self._first(lambda endpoint: self._manifest(endpoint, reference))

    async def _manifest(self, endpoint: Endpoint, reference: str) -> Manifest:
        url = self._url(endpoint) / "manifests" / reference
        async with self._transport.request(
            "GET", url, self._access(endpoint), headers={"Accept": media.ACCEPTED}
        ) as response:
            data = await read_at_most(response, LONGEST_MANIFEST)
            promised = reference if ":" in reference else response.headers.get("Docker-Content-Digest", "")
            if promised:
                verify(promised, data, f"manifest {self.registry}/{self.name}:{reference}")
            digest = promised or f"sha256:{hashlib.sha256(data).hexdigest()}"
            return Manifest(media_type=media_type_of(response), digest=digest, data=data)

    async def find_manifest(self, reference: str) -> Descriptor | None:
        """Return what there is under a tag or digest, None for nothing, without fetching it."""
        try:
            return await self._first(lambda endpoint: self._head(endpoint, "manifests", reference))
        except errors.NotFound:
            return None

    async def find_blob(self, digest: str) -> Descriptor | None:
        """Return a blob's size, None where the repository does not have it."""
        try:
            return await self._first(lambda endpoint: self._head(endpoint, "blobs", digest))
        except errors.NotFound:
            return None

    async def _head(self, endpoint: Endpoint, kind: str, reference: str) -> Descriptor:
        url = self._url(endpoint) / kind / reference
        headers = {"Accept": media.ACCEPTED} if kind == "manifests" else {}
        async with self._transport.request("HEAD", url, self._access(endpoint), headers=headers) as response:
            digest = response.headers.get("Docker-Content-Digest", reference if ":" in reference else "")
            size = response.headers.get("Content-Length", "0")
            return Descriptor(media_type_of(response), digest, int(size) if size.isdigit() else 0)

    async def document(self, descriptor: Descriptor) -> bytes:
        """Return a small blob whole, such as a configuration.

        Raises:
            errors.NotFound: There is none.
            errors.RegistryError: It is not what its descriptor says, or too long to be a document.
        """
        if descriptor.size > LONGEST_DOCUMENT:
            raise errors.RegistryError(
                f"the document {descriptor.digest} has {descriptor.size} bytes: {LONGEST_DOCUMENT} are allowed"
            )
        data = b"".join([chunk async for chunk in self.blob(descriptor)])
        verify(descriptor.digest, data, f"blob of {self.registry}/{self.name}")
        return data

    async def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield a blob's bytes from an offset on; wrap it in ``contextlib.aclosing``.

        A connection that breaks is made anew, and the stream goes on where it was. It has exactly the size that the
        descriptor says. Its digest is for the caller to compute, in the thread that unpacks it.

        Raises:
            errors.NotFound: There is none.
            errors.RegistryError: It cannot be had, or has another size.
        """
        progress = Progress(offset)
        endpoints = await self._endpoints()
        for endpoint in endpoints:
            url = self._url(endpoint) / "blobs" / descriptor.digest
            try:
                stream = download(self._transport, url, self._access(endpoint), descriptor, progress)
                async with contextlib.aclosing(stream) as chunks:
                    async for data in chunks:
                        yield data
                return
            except errors.Error:
                if endpoint is endpoints[-1]:
                    raise

    async def tags(self) -> list[str]:
        """Return all tags, in the registry's order.

        Raises:
            errors.NotFound: There is no such repository.
        """
        return await self._first(self._tags)

    async def _tags(self, endpoint: Endpoint) -> list[str]:
        found: list[str] = []
        url: URL | None = (self._url(endpoint) / "tags" / "list").with_query(n=1000)
        while url is not None:
            async with self._transport.request("GET", url, self._access(endpoint)) as response:
                body = await read_at_most(response, LONGEST_DOCUMENT)
                try:
                    found += msgspec.json.decode(body, type=_Tags).tags or []
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise errors.RegistryError(f"'{url}' answers nonsense: {error}") from error
                following = response.links.get("next")
                url = url.join(URL(str(following["url"]))) if following else None
        return found

    async def mount(self, digest: str, source: str) -> bool:
        """Have a blob of another repository in this one as well; say whether that could be.

        Args:
            digest: The blob's.
            source: The other repository's name, in the same registry.
        """
        endpoint = await self._own()
        access = self._access(endpoint, f"repository:{source}:pull")
        url = (self._url(endpoint) / "blobs" / "uploads" / "").with_query({"mount": digest, "from": source})
        try:
            async with self._transport.request("POST", url, access, data=b"") as response:
                if response.status == 201:
                    return True
                started = location_of(response)  # the registry would rather have it uploaded
            async with self._transport.request("DELETE", started, self._access(endpoint)):
                return False
        except errors.Error:
            return False

    async def upload(self, source: Upload) -> None:
        """Send a blob.

        Raises:
            errors.RegistryError: The registry cannot be reached, or does not take it.
            errors.Unauthorized: The credentials are not enough.
            errors.Forbidden: They are good, but not for this.
        """
        endpoint = await self._own()
        await Uploader(self._transport, self._url(endpoint), self._access(endpoint)).send(source)

    async def put_manifest(self, reference: str, media_type: str, data: bytes) -> str:
        """Store a manifest or an index under a tag or its digest, and return the digest.

        Raises:
            errors.RegistryError: The registry does not take it, or has made something else of it.
        """
        endpoint = await self._own()
        url = self._url(endpoint) / "manifests" / reference
        headers = {"Content-Type": media_type}
        async with self._transport.request("PUT", url, self._access(endpoint), headers=headers, data=data) as response:
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            answered = response.headers.get("Docker-Content-Digest", digest)
        if answered != digest:
            raise errors.RegistryError(f"the registry has stored {answered} in place of the manifest {digest}")
        return digest

    async def _first(self, ask: Callable[[Endpoint], Awaitable[T]]) -> T:
        """Return the first good answer of the addresses; the error of the last where there is none."""
        endpoints = await self._endpoints()
        for endpoint in endpoints[:-1]:
            try:
                return await ask(endpoint)
            except errors.Error:
                continue
        return await ask(endpoints[-1])

    async def _endpoints(self) -> list[Endpoint]:
        async with self._finding:
            if not self._found:
                self._found = await self._hosts.endpoints(
                    self.registry, self._transport.answers, mirrors=not self._push
                )
        return self._found

    async def _own(self) -> Endpoint:
        return (await self._endpoints())[-1]

    def _url(self, endpoint: Endpoint) -> URL:
        return endpoint.url.joinpath("v2", *self.name.split("/"))

    def _access(self, endpoint: Endpoint, *more: str) -> Access:
        scope = f"repository:{self.name}:{'pull,push' if self._push else 'pull'}"
        return Access(endpoint, Credentials() if endpoint.mirror else self._credentials, (scope, *more))


def verify(digest: str, data: bytes, what: str) -> None:
    """Compare bytes with the digest they are to have.

    Raises:
        errors.RegistryError: They have another, or the digest is of a kind that is not known.
    """
    algorithm, _, wanted = digest.partition(":")
    if algorithm not in _ALGORITHMS:
        raise errors.RegistryError(f"unsupported digest algorithm '{algorithm}': {' or '.join(_ALGORITHMS)} is wanted")
    found = hashlib.new(algorithm, data).hexdigest()
    if found != wanted:
        raise errors.RegistryError(f"{what} is damaged: expected digest {digest}, got {algorithm}:{found}")


def media_type_of(response: aiohttp.ClientResponse) -> str:
    """Return the media type that a response is said to have, without parameters."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip()
