"""Manifests and blobs to and from the real docker-registry, whatever goes wrong on the way."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from nbcontainers import errors
from nbcontainers.images.registry import Descriptor, Registries, Repository, Settings, media
from tests.images.registry.servers import Fault, FaultyProxy, RegistryServer

SIZE = 3 << 20
PIECE = 1 << 18


class Bytes:
    """An upload from memory; ``known`` says whether its size is told at once."""

    def __init__(self, data: bytes, *, known: bool = True) -> None:
        self.data = data
        self.digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.size = len(data) if known else None
        self.offsets: list[int] = []

    async def chunks(self, offset: int) -> AsyncIterator[bytes]:
        self.offsets.append(offset)
        for place in range(offset, len(self.data), PIECE):
            yield self.data[place : place + PIECE]

    def check(self) -> None:
        pass

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor("application/octet-stream", self.digest, len(self.data))


async def stored(repository: Repository, data: bytes) -> Descriptor:
    blob = Bytes(data)
    await repository.upload(blob)
    return blob.descriptor


async def fetched(repository: Repository, blob: Descriptor, offset: int = 0) -> bytes:
    async with aclosing(repository.blob(blob, offset)) as chunks:
        return b"".join([chunk async for chunk in chunks])


def manifest_of(config: Descriptor) -> bytes:
    return (
        f'{{"schemaVersion":2,"mediaType":"{media.OCI_MANIFEST}","config":{{"mediaType":"{media.OCI_CONFIG}",'
        f'"size":{config.size},"digest":"{config.digest}"}},"layers":[]}}'
    ).encode()


@pytest.mark.parametrize("known", [True, False])
async def test_blob_goes_and_comes_back(registry: RegistryServer, registries: Registries, known: bool) -> None:
    repository = registries.repository(registry.address, "team/app", push=True)
    blob = Bytes(os.urandom(SIZE), known=known)
    assert await repository.find_blob(blob.digest) is None
    await repository.upload(blob)
    found = await repository.find_blob(blob.digest)
    assert found is not None
    assert found.size == SIZE
    assert await fetched(repository, blob.descriptor) == blob.data
    assert await fetched(repository, blob.descriptor, offset=SIZE - 5) == blob.data[-5:]


async def test_manifest_goes_and_comes_back(registry: RegistryServer, registries: Registries) -> None:
    repository = registries.repository(registry.address, "team/manifests", push=True)
    data = manifest_of(await stored(repository, b"{}"))
    digest = await repository.put_manifest("v1", media.OCI_MANIFEST, data)
    for reference in ("v1", digest):
        manifest = await repository.manifest(reference)
        assert (manifest.media_type, manifest.digest, manifest.data) == (media.OCI_MANIFEST, digest, data)
    assert await repository.find_manifest("v1") == Descriptor(media.OCI_MANIFEST, digest, len(data))
    assert await repository.find_manifest("v2") is None
    assert await repository.tags() == ["v1"]
    with pytest.raises(errors.NotFound, match="manifest unknown"):
        await repository.manifest("v2")


async def test_blob_is_mounted_from_another_repository(registry: RegistryServer, registries: Registries) -> None:
    blob = await stored(registries.repository(registry.address, "first", push=True), b"mounted")
    second = registries.repository(registry.address, "second", push=True)
    assert await second.mount(blob.digest, "first")
    assert await second.find_blob(blob.digest) is not None
    assert not await second.mount(f"sha256:{'0' * 64}", "first")


async def test_download_goes_on_where_the_connection_broke(proxy: FaultyProxy, registries: Registries) -> None:
    repository = registries.repository(proxy.address, "cut", push=True)
    data = os.urandom(SIZE)
    blob = await stored(repository, data)
    proxy.faults = [
        Fault("GET", "blobs", cut_after=1 << 20),
        Fault("GET", "blobs", status=503),
        Fault("GET", "blobs", cut_after=1 << 20),
        Fault("GET", "blobs", status=429, headers={"Retry-After": "0"}),
    ]
    proxy.received.clear()
    assert await fetched(repository, blob) == data
    begins = [headers.get("Range", "").partition("-")[0] for method, _, headers in proxy.received if method == "GET"]
    assert begins == ["", "bytes=1048576", "bytes=1048576", "bytes=2097152", "bytes=2097152"]


async def test_download_gives_up_in_the_end(proxy: FaultyProxy, registries: Registries) -> None:
    repository = registries.repository(proxy.address, "given-up", push=True)
    blob = await stored(repository, b"never seen")
    proxy.faults = [Fault("GET", "blobs", cut_after=0, times=100)]
    with pytest.raises(errors.RegistryError, match="cannot be reached"):
        await fetched(repository, blob)
    assert proxy.count("GET", "blobs") == 6


async def test_wrong_size_is_refused(registry: RegistryServer, registries: Registries) -> None:
    repository = registries.repository(registry.address, "sizes", push=True)
    blob = await stored(repository, b"0123456789")
    for size in (9, 11):
        with pytest.raises(errors.RegistryError, match=f"has 10 bytes: {size} were promised"):
            await fetched(repository, Descriptor(blob.media_type, blob.digest, size))


async def test_wrong_digest_is_refused(proxy: FaultyProxy, registries: Registries) -> None:
    repository = registries.repository(proxy.address, "digests", push=True)
    config = await stored(repository, b"{}")
    await repository.put_manifest("v1", media.OCI_MANIFEST, manifest_of(config))
    proxy.faults = [Fault("GET", "/(manifests|blobs)/", corrupt=True, times=2)]
    with pytest.raises(errors.RegistryError, match="expected digest sha256:"):
        await repository.manifest("v1")
    with pytest.raises(errors.RegistryError, match="expected digest sha256:"):
        await repository.document(config)
    assert await repository.document(config) == b"{}"


@pytest.mark.parametrize("known", [True, False])
async def test_upload_survives_faults(
    proxy: FaultyProxy, registry: RegistryServer, registries: Registries, known: bool
) -> None:
    repository = registries.repository(proxy.address, "uploads", push=True)
    blob = Bytes(os.urandom(SIZE), known=known)
    proxy.faults = [
        Fault("POST", "uploads", status=503),
        Fault("PUT" if known else "PATCH", "uploads", cut_request_after=1 << 20, times=2),
        Fault("PUT", "digest=", status=500),
    ]
    await repository.upload(blob)
    assert blob.digest in registry.blobs()
    assert all(not fault.times for fault in proxy.faults)


async def test_upload_gives_up_in_the_end(proxy: FaultyProxy, registries: Registries) -> None:
    repository = registries.repository(proxy.address, "refused", push=True)
    proxy.faults = [Fault("PUT", "digest=", status=500, times=100)]
    with pytest.raises(errors.RegistryError, match="500"):
        await repository.upload(Bytes(b"not taken"))
    assert proxy.count("PUT", "digest=") <= 6


async def test_nobody_answers(registries: Registries) -> None:
    with pytest.raises(errors.RegistryError, match=r"'127\.0\.0\.1:1' cannot be reached: connection refused"):
        await registries.repository("127.0.0.1:1", "x").tags()
    with pytest.raises(errors.RegistryError, match="no such host"):
        await registries.repository("nowhere.invalid", "x").tags()


async def test_mirror_is_tried_first_and_fallen_back_from(registry: RegistryServer, proxy: FaultyProxy) -> None:
    """Docker Hub cannot be reached here: what comes, comes from the second mirror."""
    door = Registries(Settings(mirrors=(f"http://{proxy.address}", f"http://{registry.address}")))
    try:
        repository = door.repository(registry.address, "library/mirrored", push=True)
        data = manifest_of(await stored(repository, b"mirrored"))
        await repository.put_manifest("v1", media.OCI_MANIFEST, data)
        proxy.faults = [Fault("GET", "manifests", status=404)]
        assert (await door.repository("docker.io", "library/mirrored").manifest("v1")).data == data
        assert proxy.count("GET", "library/mirrored/manifests/v1") == 1
    finally:
        await door.close()
