"""Pulling: an image of a registry becomes one of this store.

The manifest says which configuration and which layers; the configuration says what the layers are without compression.
All of them are fetched side by side (see ``fetching``), and put on top of each other from the lowest on as they come.
Only when everything is there and every digest is right, the image is stored, together with its names, in one step.

Source: OCI distribution-spec § Pull; OCI image-spec, config.md; moby, distribution/pull_v2.go for what is told.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec

from nbcontainers import errors
from nbcontainers.images import config as image_config
from nbcontainers.images import manifests, staging
from nbcontainers.images.config import ImageConfig, chain_ids
from nbcontainers.images.fetching import Fetch, Fetches, LayerState, arrived, short, to_its_end
from nbcontainers.images.manifests import Contents
from nbcontainers.images.origins import Blob, blob_of
from nbcontainers.images.platforms import Platform
from nbcontainers.images.references import HOST, Location
from nbcontainers.images.registry import Descriptor, Manifest, Repository
from nbcontainers.images.staging import Stack, Staged
from nbcontainers.images.store import Image, Images

_MOST_NESTED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The registry has the image."""

    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An image is there: the digest of its manifest, or of the index that has it."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Everything is there that was asked for by this name, and whether anything of it is new."""

    name: str
    is_new: bool


PullEvent = LayerState | Found | Stored | Finished
Tell = Callable[[PullEvent], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What has come of it.

    Args:
        image: The image, as it is in the store now.
        digest: Of its manifest in the registry, or of the index that has it.
        is_new: Whether the name meant something else, or nothing, before.
    """

    image: Image
    digest: str
    is_new: bool


class Pulls:
    """Pulls images into one store; ``close`` when it is done.

    Args:
        images: The store.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self._fetches = Fetches(images, images.root)
        self._placing = asyncio.Lock()

    def close(self) -> None:
        """End; no pull is going on any more."""
        self._fetches.close()

    async def pull(self, source: Repository, location: Location, platform: Platform, tell: Tell) -> Pulled:
        """Pull an image; when this is cancelled, only layers that were complete stay, for another time.

        Args:
            source: Where it comes from.
            location: Its name.
            platform: Which of an index's images is wanted.
            tell: Tell how far it is.

        Raises:
            errors.NotFound: The registry does not have it, or not for this platform.
            errors.RegistryError: What came is not what it should be.
            errors.Unsupported: It is no image that could be stored.
            errors.Conflict: It has the name of the image ``host``.
        """
        if location.name == HOST:
            raise errors.Conflict("the name 'host' stands for this machine's own file system: it cannot be pulled")
        manifest = await source.manifest(location.reference)
        tell(Found(location=location))
        own, contents = await self._contents(source, manifest, platform)
        names = [f"{location.name}@{manifest.digest}", *([] if location.digest else [str(location)])]
        image_id = contents.config.digest
        with contextlib.suppress(errors.NoSuchImage):
            before = self._images.get(str(location)).id
            if before == image_id:
                self._images.refer(image_id, names[0])
                return Pulled(image=self._images.get(image_id), digest=manifest.digest, is_new=False)
        try:
            _check_count(contents, self._images.get(image_id).config)
            self._images.refer(image_id, *names)
            unseen = len(contents.layers)
        except errors.NoSuchImage:
            unseen = await self._fetch(source, contents, platform, names, tell)
        image = self._images.get(image_id)
        await to_its_end(lambda: self._remember(source, own, contents, image, unseen))
        return Pulled(image=image, digest=manifest.digest, is_new=True)

    @contextlib.asynccontextmanager
    async def layer(self, source: Repository, blob: Descriptor, tell: Tell) -> AsyncIterator[Staged]:
        """Have one layer fetched; until the context ends nobody else gives layers their places.

        Raises:
            errors.NotFound: The registry does not have it.
            errors.RegistryError: What came is not what it should be.
        """
        async with self._fetches.layer(blob, source, tell) as fetch:
            staged = await arrived(fetch, [fetch])
            async with self._placing:
                yield staged

    async def _contents(self, source: Repository, manifest: Manifest, platform: Platform) -> tuple[Manifest, Contents]:
        """Return the manifest that an index has for a platform, and what it says."""
        for _ in range(_MOST_NESTED):
            found = manifests.read(manifest)
            if isinstance(found, Contents):
                return manifest, found
            manifest = await source.manifest(manifests.choose(found, platform).digest)
        raise errors.RegistryError(f"the indexes of '{manifest.digest}' are nested too deeply")

    async def _fetch(
        self, source: Repository, contents: Contents, platform: Platform, names: list[str], tell: Tell
    ) -> int:
        """Fetch and store an image; return how many of its layers were there already."""
        document = await source.document(contents.config)
        config = _configuration(document, contents, platform)
        async with contextlib.AsyncExitStack() as held:
            assembly = _Assembly(self._images, held.enter_context(Stack(self._images)), config)
            there = await to_its_end(assembly.keep)
            fetches: list[Fetch] = []
            for number, blob in enumerate(contents.layers):
                if number < there:
                    tell(LayerState(name=short(blob.digest), status="Already exists"))
                else:
                    fetches.append(await held.enter_async_context(self._fetches.layer(blob, source, tell)))
            layers = []
            for number, fetch in enumerate(fetches, there):
                layers.append(await arrived(fetch, fetches))
                _check(number, layers[-1], config)
                tell(LayerState(name=short(contents.layers[number].digest), status="Pull complete"))
            async with self._placing:
                await to_its_end(lambda: assembly.store(document, layers, names))
            return there

    def _remember(self, source: Repository, manifest: Manifest, contents: Contents, image: Image, unseen: int) -> None:
        """Note where the image's layers come from, for who pushes them.

        That a blob is a layer is only believed of those that were unpacked, now or before: a registry may say anything
        of the first ``unseen`` ones, which were there and not asked for.
        """
        origins, seen = self._images.origins, list[tuple[str, Blob]]()
        for number, (diff_id, layer) in enumerate(zip(image.config.rootfs.diff_ids, contents.layers, strict=True)):
            if number >= unseen or any(blob.digest == layer.digest for blob in origins.blobs(diff_id)):
                seen.append((diff_id, blob_of(source, layer)))
        origins.record(seen)
        if len(seen) == len(contents.layers):
            origins.keep_manifest(image.id, manifest.digest, contents.media_type, manifest.data)


class _Assembly:
    """Puts an image's layers on top of each other; all of its work may take a while."""

    def __init__(self, images: Images, stack: Stack, config: ImageConfig) -> None:
        self._images = images
        self._stack = stack
        self._chain = chain_ids(config.rootfs.diff_ids)
        self._kept: list[str] = []

    def keep(self) -> int:
        """Keep the layers that are there already, from the lowest on; return how many that are."""
        known = self._images.layers_by_chain()
        names = (known.get(chain_id, "") for chain_id in self._chain)
        self._kept = list(itertools.takewhile(lambda name: name and self._stack.protect(name), names))
        return len(self._kept)

    def store(self, document: bytes, layers: list[Staged], names: list[str]) -> None:
        """Store the image with its names; one thread at a time, for two images may have the same new layers.

        Args:
            document: The configuration.
            layers: Those that were not there already.
            names: What the image will be called.
        """
        known = self._images.layers_by_chain()
        for number, chain_id in enumerate(self._chain):
            name = self._kept[number] if number < len(self._kept) else known.get(chain_id, "")
            if name and self._stack.protect(name):
                self._stack.take(name, staging.size_bytes(self._images, name))
            else:
                self._stack.put(layers[number - len(self._kept)])
        self._images.add_document(
            document, parent="", snapshot=self._stack.top, size_bytes=self._stack.size_bytes, references=names
        )


def _check(number: int, layer: Staged, config: ImageConfig) -> None:
    """Compare a layer that has arrived with what the configuration says.

    Raises:
        errors.RegistryError: It is another one.
    """
    expected = config.rootfs.diff_ids[number]
    if layer.diff_id != expected:
        raise errors.RegistryError(
            f"layers from manifest don't match image configuration: layer {number} is '{layer.diff_id}', "
            f"not '{expected}'"
        )


def _configuration(document: bytes, contents: Contents, platform: Platform) -> ImageConfig:
    try:
        config = image_config.decode(document)
    except msgspec.DecodeError as error:
        raise errors.RegistryError(f"the configuration '{contents.config.digest}' is damaged: {error}") from error
    if config.os not in ("", platform.os):
        raise errors.Unsupported(
            f'cannot download image with operating system "{config.os}" when requested "{platform.os}"'
        )
    _check_count(contents, config)
    return config


def _check_count(contents: Contents, config: ImageConfig) -> None:
    if len(config.rootfs.diff_ids) != len(contents.layers):
        raise errors.RegistryError(
            f"layers from manifest don't match image configuration: there are {len(contents.layers)}, "
            f"not {len(config.rootfs.diff_ids)}"
        )
