"""Pushing: an image of this store becomes one of a registry.

For every layer the cheapest way is taken: the registry has it in this repository, or in another one of its own and
mounts it, or it is compressed and sent. Layers go side by side. The manifest goes last, so that nobody ever finds an
image that is not whole: the one that the image was pulled with, byte for byte, where its blobs are the same, else one
of Docker's kind, as dockerd makes it, or an OCI manifest for an image that had one.

Source: OCI distribution-spec § Push; Docker Image Manifest V2, Schema 2; moby, distribution/push_v2.go, for what is
told.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from nbcontainers import errors
from nbcontainers.images import manifests
from nbcontainers.images.fetching import LayerState, ended, short
from nbcontainers.images.origins import Blob, blob_of
from nbcontainers.images.parcels import Document, Parcel
from nbcontainers.images.registry import Descriptor, Manifest, Repository, media
from nbcontainers.images.snapshots import HOST_SNAPSHOT
from nbcontainers.images.store import Image, Images

UPLOADS_AT_ONCE = 5
PACKED_AT_ONCE = 2
_MOST_TRIED = 4
_SOON_SECONDS = 0.05
_REPORT_SECONDS = 0.1
_DOCKER_TYPES = {
    media.OCI_LAYER: media.DOCKER_LAYER,
    media.OCI_LAYER_GZIP: media.DOCKER_LAYER_GZIP,
}
OCI_TYPES = {docker: oci for oci, docker in _DOCKER_TYPES.items()}
Tell = Callable[[LayerState], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """An image is in the registry: under which tag, and the digest and size of its manifest."""

    tag: str
    digest: str
    size: int


def check(images: Images, image: Image, name: str) -> None:
    """Refuse what must not leave this machine.

    Raises:
        errors.Conflict: The image stands on this machine's own file system.
    """
    if HOST_SNAPSHOT in images.snapshots.chain(image.snapshot):
        raise errors.Conflict(f"the image '{name}' stands on this machine's own file system: it cannot be pushed")


class Pushes:
    """Pushes images of one store; ``close`` when it is done.

    Args:
        images: The store.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self._threads = ThreadPoolExecutor(PACKED_AT_ONCE, thread_name_prefix="pack")
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)

    def close(self) -> None:
        """End; no push is going on any more."""
        self._threads.shutdown()

    async def push(self, target: Repository, image: Image, tag: str, tell: Tell) -> Pushed:
        """Push an image.

        Args:
            target: Where to.
            image: Which.
            tag: What it is to be called there.
            tell: Told how far each layer is.

        Raises:
            errors.Unauthorized: One must log in.
            errors.Forbidden: It is not for them.
            errors.RegistryError: The registry cannot be reached, or does not take it.
            errors.Unavailable: A layer is damaged.
        """
        with contextlib.ExitStack() as held:
            if image.snapshot:
                self._images.protect(image.snapshot)
                held.callback(self._images.unprotect, image.snapshot)
            diff_ids = image.config.rootfs.diff_ids
            names = dict(zip(diff_ids, self._images.layers(image), strict=True))
            by_diff_id = await self.send_all(target, names, self._preferred(image), tell)
            return await self._finish(target, image, tag, [by_diff_id[diff_id] for diff_id in diff_ids])

    async def send_all(
        self, target: Repository, names: Mapping[str, str], preferred: Mapping[str, Descriptor], tell: Tell
    ) -> dict[str, Descriptor]:
        """See that a repository has some layers, and return as which blobs.

        Args:
            target: Where to.
            names: The layers, by their ``diff_id``; they are protected.
            preferred: As which blobs they had best be there.
            tell: Told how far each layer is.
        """
        for diff_id in names:
            tell(LayerState(name=short(diff_id), status="Preparing"))
        sendings = [
            _Sending(self, target, diff_id, name, preferred.get(diff_id), tell) for diff_id, name in names.items()
        ]
        blobs = await _together([sending.run() for sending in sendings])
        return dict(zip(names, blobs, strict=True))

    def _preferred(self, image: Image) -> dict[str, Descriptor]:
        """Return the blobs that an image's layers were in the manifest that it came with."""
        for _, media_type, data in self._images.origins.manifests(image.id):
            contents = _contents(media_type, data)
            if contents is not None and len(contents) == len(image.config.rootfs.diff_ids):
                return dict(zip(image.config.rootfs.diff_ids, contents, strict=True))
        return {}

    async def _finish(self, target: Repository, image: Image, tag: str, blobs: Sequence[Descriptor]) -> Pushed:
        """Send the configuration and the manifest, and remember what is there now."""
        document = await asyncio.to_thread(self._images.document, image.id)
        if await target.find_blob(image.id) is None:
            await target.upload(Document(document))
        media_type, data = self._manifest(image, len(document), blobs)
        digest = await target.put_manifest(tag, media_type, data)
        await self.remember(target, dict(zip(image.config.rootfs.diff_ids, blobs, strict=True)))
        await asyncio.to_thread(self._images.origins.keep_manifest, image.id, digest, media_type, data)
        return Pushed(tag=tag, digest=digest, size=len(data))

    def _manifest(self, image: Image, config_size: int, blobs: Sequence[Descriptor]) -> tuple[str, bytes]:
        """Return the manifest that the image has already, or a new one."""
        wanted, was_oci = [blob.digest for blob in blobs], False
        for _, media_type, data in self._images.origins.manifests(image.id):
            contents = _contents(media_type, data)
            if contents is not None and [blob.digest for blob in contents] == wanted:
                return media_type, data
            was_oci = was_oci or media_type == media.OCI_MANIFEST
        docker = not was_oci and all(_docker_type(blob.media_type) for blob in blobs)
        media_type = media.DOCKER_MANIFEST if docker else media.OCI_MANIFEST
        types = [
            _docker_type(blob.media_type) if docker else OCI_TYPES.get(blob.media_type, blob.media_type)
            for blob in blobs
        ]
        config_type = media.DOCKER_CONFIG if docker else media.OCI_CONFIG
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {"mediaType": config_type, "size": config_size, "digest": image.id},
            "layers": [
                {"mediaType": kind, "size": blob.size, "digest": blob.digest}
                for kind, blob in zip(types, blobs, strict=True)
            ],
        }
        return media_type, msgspec.json.format(msgspec.json.encode(manifest), indent=3)

    async def remember(self, target: Repository, blobs: Mapping[str, Descriptor]) -> None:
        """Remember as which blobs a repository has layers, by their ``diff_id``."""
        found = [(diff_id, blob_of(target, blob)) for diff_id, blob in blobs.items()]
        await asyncio.to_thread(self._images.origins.record, found)

    async def send(self, target: Repository, name: str, tell: Callable[[int], object]) -> tuple[Descriptor, bool]:
        """Compress a layer and send it, unless it turns out that the registry has it; say whether it was sent."""
        parcel = Parcel(self._images.root, tell)
        packing = asyncio.get_running_loop().run_in_executor(
            self._threads, parcel.pack, self._images.snapshots.files(name)
        )
        try:
            # What is packed at once is asked for by its digest, and sent with it in one request.
            await asyncio.wait({packing}, timeout=_SOON_SECONDS)
            parcel.check()
            there = parcel.size is not None and await target.find_blob(parcel.digest) is not None
            if not there:
                await target.upload(parcel)
            return Descriptor(media.DOCKER_LAYER_GZIP, parcel.digest, parcel.size or 0), not there
        finally:
            parcel.abandon()
            packing.cancel()  # it helps only where it has not begun
            await ended(packing)
            parcel.close()

    async def known(self, diff_id: str, preferred: Descriptor | None) -> list[Blob]:
        """Return as which blobs a layer is known, the one of the image's own manifest before the others."""
        found = await asyncio.to_thread(self._images.origins.blobs, diff_id)
        return sorted(found, key=lambda blob: preferred is None or blob.digest != preferred.digest)

    def total(self, name: str) -> int:
        """Return how many bytes a layer's files have."""
        return self._images.snapshots.usage_bytes(name)

    @property
    def uploads(self) -> asyncio.Semaphore:
        """Held while a layer is on its way."""
        return self._uploads


class _Sending:
    """One layer, and what is told of it."""

    def __init__(
        self, pushes: Pushes, target: Repository, diff_id: str, name: str, preferred: Descriptor | None, tell: Tell
    ) -> None:
        self._pushes = pushes
        self._target = target
        self._diff_id = diff_id
        self._name = name
        self._preferred = preferred
        self._tell_state = tell
        self._told = 0.0

    def _tell(self, status: str, current: int | None = None, total: int | None = None) -> None:
        self._tell_state(LayerState(name=short(self._diff_id), status=status, current=current, total=total))

    async def run(self) -> Descriptor:
        """See that the registry has the layer, and return as what."""
        if self._pushes.uploads.locked():
            self._tell("Waiting")
        async with self._pushes.uploads:
            found = await self._find()
            if found is not None:
                return found
            total = await asyncio.to_thread(self._pushes.total, self._name)
            self._tell("Pushing", 0, total)
            blob, sent = await self._pushes.send(self._target, self._name, lambda done: self._report(done, total))
            self._tell("Pushed" if sent else "Layer already exists")
        # Remembered at once: whatever becomes of this push, the next one need not send it again.
        await self._pushes.remember(self._target, {self._diff_id: blob})
        return blob

    def _report(self, done: int, total: int) -> None:
        """Tell how far it is, not too often; an archive has more than its files, but nobody wants to see that."""
        now = asyncio.get_running_loop().time()
        if now - self._told >= _REPORT_SECONDS:
            self._told = now
            self._tell("Pushing", min(done, total), total)

    async def _find(self) -> Descriptor | None:
        """Return the blob that the registry has of the layer, here or after a mount."""
        known = await self._pushes.known(self._diff_id, self._preferred)
        for digest in list(dict.fromkeys(blob.digest for blob in known))[:_MOST_TRIED]:
            if await self._target.find_blob(digest) is not None:
                self._tell("Layer already exists")
                return _descriptor(next(blob for blob in known if blob.digest == digest))
        elsewhere = [
            blob for blob in known if blob.registry == self._target.registry and blob.repository != self._target.name
        ]
        for blob in elsewhere[:_MOST_TRIED]:
            if await self._target.mount(blob.digest, blob.repository):
                self._tell(f"Mounted from {blob.repository}")
                return _descriptor(blob)
        return None


async def _together(work: Sequence[Coroutine[object, object, Descriptor]]) -> list[Descriptor]:
    """Do it all at once; when one fails, the others are stopped first."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
            await ended(task)


def _contents(media_type: str, data: bytes) -> Sequence[Descriptor] | None:
    """Return the layers of a manifest that was kept, None for one that makes no sense."""
    try:
        found = manifests.read(Manifest(media_type=media_type, digest="", data=data))
    except errors.Error:
        return None
    return found.layers if isinstance(found, manifests.Contents) else None


def _docker_type(media_type: str) -> str:
    """Return Docker's name for a kind of layer, empty where it has none."""
    return media_type if media_type in OCI_TYPES else _DOCKER_TYPES.get(media_type, "")


def _descriptor(blob: Blob) -> Descriptor:
    return Descriptor(media_type=blob.media_type, digest=blob.digest, size=blob.size)
