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
from nbcontainers.build.catalog import SharedLayer, Steps
from nbcontainers.build.events import BuildError
from nbcontainers.images import Images, layers
from nbcontainers.images.fetching import or_undone, to_its_end
from nbcontainers.images.layout import LayoutWriter
from nbcontainers.images.packing import Count
from nbcontainers.images.parcels import Document
from nbcontainers.images.pushing import OCI_TYPES, Pushes
from nbcontainers.images.references import locate
from nbcontainers.images.registry import Credentials, Descriptor, Manifest, Registries, media


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step that is exported: its key, and the snapshot and digest of its layer, empty for none."""

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

    async def export(self, spec: CacheSpec, steps: Sequence[Step], logins: Mapping[str, Credentials]) -> str:
        """Export steps; their layers are protected. Returns what is to be said of it.

        Raises:
            BuildError: It could not be done.
        """
        try:
            if spec.kind == "local":
                async with self._writing:
                    shared = await self._to_folder(spec, steps)
            else:
                shared = await self._to_registry(spec, steps, logins)
        except (errors.Error, OSError) as error:
            reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
            raise BuildError(f"the cache cannot be exported to {spec}: {reason}") from error
        count = len({layer.diff_id for layer in shared.values() if layer is not None})
        return f"Exported cache to {spec}: {_many(len(shared), 'step')}, {_many(count, 'layer')}"

    async def _to_folder(self, spec: CacheSpec, steps: Sequence[Step]) -> Steps:
        writer = await or_undone(lambda: LayoutWriter(spec.where), LayoutWriter.close)
        try:
            there = await to_its_end(lambda: _layers_in(writer, spec.tag))
            shared: dict[str, SharedLayer] = {}
            for diff_id, snapshot in _layers(steps).items():
                if diff_id in there and await to_its_end(lambda one=there[diff_id].blob: writer.is_whole(one)):  # type: ignore[misc]
                    shared[diff_id] = there[diff_id]
                    continue
                directory = self._images.snapshots.files(snapshot)
                blob, size = await to_its_end(lambda one=directory: writer.put_layer(one))  # type: ignore[misc]
                shared[diff_id] = SharedLayer(diff_id=diff_id, blob=blob, size_bytes=size)
            found = _steps(steps, shared)
            await to_its_end(lambda: _finish(writer, spec.tag, found))
            return found
        finally:
            writer.close()

    async def _to_registry(self, spec: CacheSpec, steps: Sequence[Step], logins: Mapping[str, Credentials]) -> Steps:
        location = locate(spec.where)
        credentials = logins.get(location.registry, Credentials())
        target = self._registries.repository(location.registry, location.repository, credentials, push=True)
        names = _layers(steps)
        sizes = await to_its_end(lambda: {one: self._archive_bytes(name) for one, name in names.items()})
        blobs = await self._pushes.send_all(target, names, {}, lambda _: None)
        shared = {
            diff_id: SharedLayer(
                diff_id=diff_id,
                blob=Descriptor(OCI_TYPES.get(blob.media_type, blob.media_type), blob.digest, blob.size),
                size_bytes=sizes[diff_id],
            )
            for diff_id, blob in blobs.items()
        }
        found = _steps(steps, shared)
        document, manifest = catalog.artifact(found)
        await target.upload(Document(document))
        await target.put_manifest(location.reference, media.OCI_MANIFEST, manifest)
        return found

    def _archive_bytes(self, name: str) -> int:
        count = Count()
        layers.write(self._images.snapshots.files(name), count)
        return count.size_bytes


def _layers(steps: Sequence[Step]) -> dict[str, str]:
    """Return the snapshots of steps, by their digests: two steps may have made the same."""
    return {step.diff_id: step.snapshot for step in steps if step.snapshot}


def _steps(steps: Sequence[Step], shared: Mapping[str, SharedLayer]) -> Steps:
    return {step.key: shared[step.diff_id] if step.snapshot else None for step in steps}


def _layers_in(writer: LayoutWriter, tag: str) -> dict[str, SharedLayer]:
    """Return the layers that a folder has by this name; none where it makes no sense, for it is written anew."""
    contents = writer.named(tag)
    if contents is None or contents.config.media_type != catalog.CONFIG_TYPE:
        return {}
    try:
        found = catalog.read(contents, writer.document(contents.config))
    except errors.Error:
        return {}
    return {layer.diff_id: layer for layer in found.values() if layer is not None}


def _finish(writer: LayoutWriter, tag: str, steps: Steps) -> None:
    document, data = catalog.artifact(steps)
    writer.put_document(document)
    manifest = Manifest(media.OCI_MANIFEST, writer.put_document(data), data)
    writer.name(tag, manifest, catalog.ARTIFACT_TYPE)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
