"""A build's steps given to others: into a folder, or to a registry, as ``catalog`` has them.

A layer that is there already is not compressed, nor sent, again. The manifest comes last, so that whoever is killed,
what was there before is there, whole.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbcontainers import errors
from nbcontainers.build import catalog
from nbcontainers.build.cachespecs import CacheSpec
from nbcontainers.build.catalog import Catalog, SharedLayer
from nbcontainers.build.events import BuildError
from nbcontainers.build.imports import reason
from nbcontainers.images import Images, layers
from nbcontainers.images.fetching import or_undone, to_its_end
from nbcontainers.images.layout import LayoutWriter
from nbcontainers.images.packing import Count
from nbcontainers.images.parcels import Document
from nbcontainers.images.pushing import OCI_TYPES, Pushes
from nbcontainers.images.references import locate
from nbcontainers.images.registry import Credentials, Descriptor, Manifest, Registries, media

Blob = tuple[Descriptor, int]
"""A layer as it is elsewhere, and how long its archive is without compression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step that is exported.

    Args:
        key: The step's.
        snapshot: Its layer's; empty for one that is not given away, or none.
        diff_id: The digest of its layer, empty for none.
    """

    key: str
    snapshot: str
    diff_id: str


class Exporter:
    """Exports steps.

    Args:
        images: The store.
        registries: All registries.
        pushes: Sends layers to them.
    """

    def __init__(self, images: Images, registries: Registries, pushes: Pushes) -> None:
        self._images = images
        self._registries = registries
        self._pushes = pushes
        self._writing = asyncio.Lock()  # threads that wait for a folder's lock would leave none for who has it

    async def export(
        self, spec: CacheSpec, steps: Sequence[Step], same_as: Mapping[str, str], logins: Mapping[str, Credentials]
    ) -> str:
        """Export steps; their layers are protected. Returns what is to be said of it.

        Args:
            spec: Where to.
            steps: Which.
            same_as: The keys that other keys stand for.
            logins: Who asks a registry, by its name.

        Raises:
            BuildError: It could not be done.
        """
        given = _Given(steps, same_as)
        try:
            if spec.kind == "local":
                async with self._writing:
                    await self._to_folder(spec, given)
            else:
                await self._to_registry(spec, given, logins)
        except (errors.Error, OSError) as error:
            raise BuildError(f"the cache cannot be exported to {spec}: {reason(error)}") from error
        return f"Exported cache to {spec}: {given}"

    async def _to_folder(self, spec: CacheSpec, given: "_Given") -> None:
        writer = await or_undone(lambda: LayoutWriter(spec.where), LayoutWriter.close)
        try:
            there = await to_its_end(lambda: _layers_in(writer, spec.tag))
            shared: dict[str, Blob] = {}
            for diff_id, snapshot in given.layers.items():
                blob = there.get(diff_id)
                if blob is not None and await to_its_end(lambda one=blob: writer.is_whole(one[0])):  # type: ignore[misc]
                    shared[diff_id] = blob
                    continue
                directory = self._images.snapshots.files(snapshot)
                shared[diff_id] = await to_its_end(lambda one=directory: writer.put_layer(one))  # type: ignore[misc]
            document, manifest = catalog.artifact(given.catalog(shared))
            await to_its_end(lambda: _finish(writer, spec.tag, document, manifest))
        finally:
            writer.close()

    async def _to_registry(self, spec: CacheSpec, given: "_Given", logins: Mapping[str, Credentials]) -> None:
        location = locate(spec.where)
        credentials = logins.get(location.registry, Credentials())
        target = self._registries.repository(location.registry, location.repository, credentials, push=True)
        names = given.layers
        sizes = await to_its_end(lambda: {one: self._archive_bytes(name) for one, name in names.items()})
        blobs = await self._pushes.send_all(target, names, {}, lambda _: None)
        shared = {
            diff_id: (
                Descriptor(OCI_TYPES.get(blob.media_type, blob.media_type), blob.digest, blob.size),
                sizes[diff_id],
            )
            for diff_id, blob in blobs.items()
        }
        document, manifest = catalog.artifact(given.catalog(shared))
        await target.upload(Document(document))
        await target.put_manifest(location.reference, media.OCI_MANIFEST, manifest)

    def _archive_bytes(self, name: str) -> int:
        count = Count()
        layers.write(self._images.snapshots.files(name), count)
        return count.size_bytes


class _Given:
    """What is given away.

    Args:
        steps: The steps.
        same_as: The keys that other keys stand for.
    """

    def __init__(self, steps: Sequence[Step], same_as: Mapping[str, str]) -> None:
        self._steps = steps
        self._same_as = same_as
        # By their digests: two steps may have made the same.
        self.layers = {step.diff_id: step.snapshot for step in steps if step.snapshot}

    def catalog(self, blobs: Mapping[str, Blob]) -> Catalog:
        """Return it with what its layers are elsewhere."""
        return Catalog(
            steps={step.key: _shared(step.diff_id, blobs.get(step.diff_id)) for step in self._steps},
            same_as=self._same_as,
        )

    def __str__(self) -> str:
        whole = sum(bool(step.snapshot) or not step.diff_id for step in self._steps)
        return f"{_many(whole, 'step')}, {_many(len(self.layers), 'layer')}"


def _shared(diff_id: str, blob: Blob | None) -> SharedLayer | None:
    if not diff_id:
        return None
    if blob is None:
        return SharedLayer(diff_id=diff_id, blob=None)
    return SharedLayer(diff_id=diff_id, blob=blob[0], size_bytes=blob[1])


def _layers_in(writer: LayoutWriter, tag: str) -> dict[str, Blob]:
    """Return the layers that a folder has by this name; none where it makes no sense, for it is written anew."""
    contents = writer.named(tag)
    if contents is None or contents.config.media_type != catalog.CONFIG_TYPE:
        return {}
    try:
        found = catalog.read(contents, writer.document(contents.config)).steps
    except errors.Error:
        return {}
    return {layer.diff_id: (layer.blob, layer.size_bytes or 0) for layer in found.values() if layer and layer.blob}


def _finish(writer: LayoutWriter, tag: str, document: bytes, data: bytes) -> None:
    writer.put_document(document)
    manifest = Manifest(media.OCI_MANIFEST, writer.put_document(data), data)
    writer.name(tag, manifest, catalog.ARTIFACT_TYPE)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
