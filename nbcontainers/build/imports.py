"""What a build may take from elsewhere: the caches that it was told of, looked at when it begins.

Only what they know is fetched then; a layer comes when a step is looked up that has made it, and counts only when its
digests are right. What is not as it should be is left alone, and said: the step is run, as if nothing had been found.

Whoever may write to a cache says what a step makes: name only caches of people that you would run a program of.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from nbcontainers import errors
from nbcontainers.build import catalog
from nbcontainers.build.cache import Made
from nbcontainers.build.cachespecs import CacheSpec
from nbcontainers.build.catalog import Catalog, SharedLayer
from nbcontainers.images import Images, manifests, platforms, staging
from nbcontainers.images.fetching import or_undone, to_its_end
from nbcontainers.images.layout import Layout
from nbcontainers.images.manifests import Contents
from nbcontainers.images.pulling import Pulls, Tell
from nbcontainers.images.references import locate
from nbcontainers.images.registry import Credentials, Descriptor, Registries, Repository
from nbcontainers.images.staging import Staged

_MOST_NESTED = 4
Warn = Callable[[str], object]


class Source(Protocol):
    """Where steps come from."""

    @property
    def catalog(self) -> Catalog:
        """What it knows."""

    def layer(self, layer: SharedLayer, blob: Descriptor, tell: Tell) -> contextlib.AbstractAsyncContextManager[Staged]:
        """Have a layer of its, which is that blob, not placed yet; it is gone afterwards unless it was."""


class _Folder:
    """A folder."""

    def __init__(self, images: Images, folder: str, catalog: Catalog) -> None:
        self._images = images
        self._folder = folder
        self.catalog = catalog

    @contextlib.asynccontextmanager
    async def layer(self, layer: SharedLayer, blob: Descriptor, tell: Tell) -> AsyncIterator[Staged]:
        def remove(staged: Staged) -> None:
            self._images.snapshots.remove(staged.key)

        staged = await or_undone(lambda: self._unpack(layer, blob), remove)
        try:
            yield staged
        finally:
            remove(staged)

    def _unpack(self, layer: SharedLayer, descriptor: Descriptor) -> Staged:
        free = os.statvfs(self._images.root)
        room = free.f_bavail * free.f_frsize
        if layer.size_bytes is not None and layer.size_bytes > room:
            raise errors.InvalidArgument(f"the layer has '{layer.size_bytes}' bytes, and the disk has room for {room}")
        with Layout(self._folder) as folder, folder.blob(descriptor) as blob:
            most = room if layer.size_bytes is None else layer.size_bytes
            return staging.unpack(self._images, blob, blob.verify, most)


class _Registry:
    """A repository of a registry."""

    def __init__(self, pulls: Pulls, repository: Repository, catalog: Catalog) -> None:
        self._pulls = pulls
        self._repository = repository
        self.catalog = catalog

    @contextlib.asynccontextmanager
    async def layer(self, layer: SharedLayer, blob: Descriptor, tell: Tell) -> AsyncIterator[Staged]:
        async with self._pulls.layer(self._repository, blob, tell) as staged:
            yield staged


class _Image:
    """An image that is here."""

    def __init__(self, images: Images, name: str) -> None:
        image = images.get(name)
        names = images.layers(image)
        self._names = dict(zip(image.config.rootfs.diff_ids, names, strict=True))
        self.catalog = Catalog(
            steps={
                key: None if number is None else _here(image.config.rootfs.diff_ids[number])
                for key, number in catalog.numbered(image.config).items()
            }
        )

    @contextlib.asynccontextmanager
    async def layer(self, layer: SharedLayer, blob: Descriptor, tell: Tell) -> AsyncIterator[Staged]:
        yield Staged(key="", diff_id=layer.diff_id, size_bytes=0, implied=[], committed=self._names[layer.diff_id])


def _here(diff_id: str) -> SharedLayer:
    return SharedLayer(diff_id=diff_id, blob=Descriptor("", "", 0))


class Imports:
    """What one build may take.

    Args:
        images: The store.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self._sources: list[Source] = []
        self._locks: dict[str, asyncio.Lock] = {}

    def add(self, source: Source) -> None:
        """Look there as well, after all that were added before."""
        self._sources.append(source)

    def lock(self, key: str) -> asyncio.Lock:
        """Return what is held while a step's layer is fetched, so that two stages that want it have it fetched once."""
        return self._locks.setdefault(key, asyncio.Lock())

    @property
    def are_there(self) -> bool:
        """Say whether there is anything to take from."""
        return bool(self._sources)

    def know(self, key: str) -> bool:
        """Say whether one of them knows a step."""
        return any(key in source.catalog.steps for source in self._sources)

    def diff_id_of(self, key: str) -> str | None:
        """Return the digest of what a step has made, empty for nothing, None where nobody knows it."""
        for source in self._sources:
            if key in source.catalog.steps:
                layer = source.catalog.steps[key]
                return "" if layer is None else layer.diff_id
        return None

    def same_as(self, key: str) -> str:
        """Return the key that one stands for, empty where nobody knows it."""
        return next((source.catalog.same_as[key] for source in self._sources if key in source.catalog.same_as), "")

    @property
    def keys(self) -> set[str]:
        """All steps that are known."""
        return {key for source in self._sources for key in source.catalog.steps}

    async def take(self, key: str, below: str | None, tell: Tell, warn: Warn) -> Made | None:
        """Return what a step has made, on top of a layer; its own layer is here then, and protected.

        Args:
            key: The step's.
            below: The layer that it stands on, None for nothing.
            tell: Told how far a layer is.
            warn: Told of what could not be taken.
        """
        for source in self._sources:
            if key not in source.catalog.steps:
                continue
            layer = source.catalog.steps[key]
            if layer is None:
                return Made(snapshot="", diff_id="")
            if layer.blob is None:
                continue
            try:
                return Made(snapshot=await self._placed(source, layer, layer.blob, below, tell), diff_id=layer.diff_id)
            except (errors.Error, OSError) as error:
                warn(f"a layer of the cache is not used: {reason(error)}")
        return None

    async def _placed(self, source: Source, layer: SharedLayer, blob: Descriptor, below: str | None, tell: Tell) -> str:
        async with source.layer(layer, blob, tell) as staged:
            if staged.diff_id != layer.diff_id:
                raise errors.InvalidArgument(f"the layer '{layer.diff_id}' turned out to be '{staged.diff_id}'")
            if self._is_there(staged.committed, below):
                return staged.committed
            return await or_undone(lambda: staging.place(self._images, staged, below), self._give_up)

    def _is_there(self, name: str, below: str | None) -> bool:
        """Say whether a layer has its place already, and is what it should be on; it is protected then."""
        if not name or name.startswith(staging.SHELF):
            return False
        self._images.protect(name)
        with contextlib.suppress(errors.NotFound):  # it was removed meanwhile
            if self._images.snapshots.below(name) == below:
                return True
        self._images.unprotect(name)
        return False

    def _give_up(self, name: str) -> None:
        self._images.unprotect(name)
        self._images.sweep(only=(name,))


class Importer:
    """Opens caches.

    Args:
        images: The store.
        registries: All registries.
        pulls: Fetches layers from them.
    """

    def __init__(self, images: Images, registries: Registries, pulls: Pulls) -> None:
        self._images = images
        self._registries = registries
        self._pulls = pulls

    async def open(self, specs: tuple[CacheSpec, ...], logins: Mapping[str, Credentials], warn: Warn) -> Imports:
        """Return what some caches know; one that cannot be read is left alone, and said."""
        imports = Imports(self._images)
        for spec in specs:
            try:
                imports.add(await self._open(spec, logins))
            except (errors.Error, OSError) as error:
                if spec.kind != "image":  # an image that is not here yet is no surprise
                    warn(f"the cache {spec} is not used: {reason(error)}")
        return imports

    async def _open(self, spec: CacheSpec, logins: Mapping[str, Credentials]) -> Source:
        if spec.kind == "image":
            return _Image(self._images, spec.where)
        if spec.kind == "local":
            return _Folder(self._images, spec.where, await to_its_end(lambda: _read_folder(spec)))
        location = locate(spec.where)
        credentials = logins.get(location.registry, Credentials())
        repository = self._registries.repository(location.registry, location.repository, credentials)
        return _Registry(self._pulls, repository, await _read_registry(repository, location.reference))


def reason(error: Exception) -> str:
    """Return why a cache cannot be used, in one clause."""
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)


def _read_folder(spec: CacheSpec) -> Catalog:
    with Layout(spec.where) as folder:
        manifest = folder.manifest(spec.tag, spec.digest)
        if manifest is None:
            raise errors.NotFound(f"it has nothing called '{spec.digest or spec.tag}'")
        contents = manifests.read(manifest, catalog.KINDS)
        if not isinstance(contents, Contents):
            raise errors.InvalidArgument("it is an index of several images")
        return catalog.read(contents, folder.document(contents.config))


async def _read_registry(repository: Repository, reference: str) -> Catalog:
    manifest = await repository.manifest(reference)
    for _ in range(_MOST_NESTED):
        found = manifests.read(manifest, catalog.KINDS)
        if isinstance(found, Contents):
            return catalog.read(found, await repository.document(found.config))
        manifest = await repository.manifest(manifests.choose(found, platforms.this()).digest)
    raise errors.RegistryError(f"the indexes of '{manifest.digest}' are nested too deeply")
