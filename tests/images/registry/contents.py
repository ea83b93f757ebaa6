"""Images for tests, made by hand and put into a registry, right or wrong as a test wants them."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import zstandard

from nbcontainers.images.registry import Descriptor, Repository, media

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    media.OCI_LAYER: lambda data: data,
    media.OCI_LAYER_GZIP: lambda data: gzip.compress(data, 1, mtime=0),
    media.OCI_LAYER_ZSTD: lambda data: zstandard.compress(data, 1),
    media.DOCKER_LAYER_GZIP: lambda data: gzip.compress(data, 1, mtime=0),
}


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def archive(**contents: bytes) -> bytes:
    """Return a layer's archive; two underscores in a name stand for a slash."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class _Bytes:
    """An upload from memory."""

    def __init__(self, data: bytes) -> None:
        self.data, self.digest, self.size = data, digest(data), len(data)

    async def chunks(self, offset: int) -> AsyncIterator[bytes]:
        yield self.data[offset:]

    def check(self) -> None:
        pass


@dataclass
class Made:
    """An image to be published.

    Args:
        layers: Their archives, the lowest first.
        kind: How they are compressed.
        architecture: And variant, for which it is.
        config: What its configuration says beside.
        diff_ids: What it says of the layers; the truth by default.
        config_type: What the manifest says that the configuration is.
        layer_type: What it says that the layers are.
    """

    layers: list[bytes]
    kind: str = media.OCI_LAYER_GZIP
    architecture: str = "amd64"
    variant: str = ""
    config: dict[str, object] = field(default_factory=dict)
    diff_ids: list[str] | None = None
    config_type: str = media.OCI_CONFIG
    layer_type: str = ""

    @property
    def blobs(self) -> list[bytes]:
        """The layers as they are in the registry."""
        return [COMPRESSIONS[self.kind](layer) for layer in self.layers]

    @property
    def configuration(self) -> bytes:
        """The configuration; its digest is the image's id."""
        diff_ids = [digest(layer) for layer in self.layers] if self.diff_ids is None else self.diff_ids
        document = {
            "architecture": self.architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        return json.dumps({**document, **({"variant": self.variant} if self.variant else {}), **self.config}).encode()

    @property
    def image_id(self) -> str:
        return digest(self.configuration)


async def publish(repository: Repository, made: Made, tag: str = "latest") -> Descriptor:
    """Put an image into a registry, and return what its manifest is."""
    layers = []
    for blob in made.blobs:
        await repository.upload(_Bytes(blob))
        layers.append({"mediaType": made.layer_type or made.kind, "digest": digest(blob), "size": len(blob)})
    await repository.upload(_Bytes(made.configuration))
    config = {"mediaType": made.config_type, "digest": made.image_id, "size": len(made.configuration)}
    media_type = media.DOCKER_MANIFEST if made.kind == media.DOCKER_LAYER_GZIP else media.OCI_MANIFEST
    document = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers}
    data = json.dumps(document).encode()
    return Descriptor(media_type, await repository.put_manifest(tag, media_type, data), len(data))


async def publish_index(repository: Repository, entries: list[tuple[Descriptor, dict[str, str]]], tag: str) -> str:
    """Put an index into a registry, and return its digest; each entry has a platform."""
    manifests = [
        {"mediaType": one.media_type, "digest": one.digest, "size": one.size, **({"platform": where} if where else {})}
        for one, where in entries
    ]
    data = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": manifests}).encode()
    return await repository.put_manifest(tag, media.OCI_INDEX, data)
