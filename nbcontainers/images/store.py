"""The image store: which images there are, what they are called, and the layers they stand on.

On disk it is ``blobs/sha256`` (image configurations, named by their digests) and ``index.json`` (for each image its
top layer and parent; for each reference, a tag or a digest, its image), which is always replaced whole. Layers are in
``Snapshots``.

The image ``host`` is always there: this machine's own file system. It has no layers of its own, and cannot be
removed, pushed or given to another image.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import msgspec

from nbcontainers import errors
from nbcontainers.images import config as image_config
from nbcontainers.images import index, layers
from nbcontainers.images.config import (
    ContainerDefaults,
    HistoryEntry,
    ImageConfig,
    RootFS,
    chain_ids,
    parse_timestamp,
    timestamp,
)
from nbcontainers.images.index import Entry, Index
from nbcontainers.images.origins import Origins
from nbcontainers.images.references import HOST, check_new, is_digest, normalize
from nbcontainers.images.removal import InUse, Names, Users, Wish, plan
from nbcontainers.images.snapshots import HOST_SNAPSHOT, Snapshots
from nbcontainers.linux import files

HOST_REFERENCE = f"{HOST}:latest"
_SHORTEST_ID = 4
_FULL_ID = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image.

    Args:
        id: ``sha256:…``, the digest of its configuration.
        config: The configuration.
        repo_tags: Its tags, in full, sorted.
        repo_digests: What it was pulled or pushed as: ``name@sha256:…``, the digest being a manifest's; sorted.
        size_bytes: Of the files in all its layers.
        created_ns: Nanoseconds since the epoch.
        parent: The id of the image it was built on, or empty.
        snapshot: Its top layer, None for an image without layers.
        tagged_ns: When it was given a reference last; 0 for never.
    """

    id: str
    config: ImageConfig
    repo_tags: list[str]
    repo_digests: list[str]
    size_bytes: int
    created_ns: int
    parent: str
    snapshot: str | None
    tagged_ns: int = 0


Removals = list[tuple[Literal["Untagged", "Deleted"], str]]


def _nobody(_: str) -> Names:
    return []


class Images:
    """All images of one engine; its methods may be called from any thread.

    Attributes:
        snapshots: The layers.
        origins: Where they come from.

    Args:
        root: The store's directory; made when missing.
        hidden: Absolute paths that ``host`` does not show.
        discard: See ``Snapshots``.

    Raises:
        errors.Unavailable: The index is damaged.
    """

    def __init__(self, root: Path, hidden: list[str], discard: Callable[[Path], None] | None = None) -> None:
        self.root = root
        self._blobs = root / "blobs" / "sha256"
        self._blobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._index_path = root / "index.json"
        files.forget_replacing(str(self._index_path))
        self.snapshots = Snapshots(root / "snapshots", hidden, discard)
        self.origins = Origins(root)
        self._lock = threading.RLock()
        self._index = index.read(self._index_path)
        self._configs: dict[str, ImageConfig] = {}
        self._protected: dict[str, int] = {}
        self._host = self._make_host()

    def _make_host(self) -> Image:
        """Describe the image of this machine: its root file system, and root's usual environment."""
        defaults = ContainerDefaults(env=[f"PATH={os.environ.get('PATH', os.defpath)}"], cmd=["/bin/sh"])
        config = ImageConfig(architecture=image_config.architecture(), config=defaults)
        return Image(
            id=image_config.digest(image_config.encode(config)),
            config=config,
            repo_tags=[HOST_REFERENCE],
            repo_digests=[],
            size_bytes=0,
            created_ns=int(os.stat("/").st_ctime) * 10**9,
            parent="",
            snapshot=HOST_SNAPSHOT,
        )

    def get(self, name: str) -> Image:
        """Return the image with this reference, id, or unique beginning of an id.

        Raises:
            errors.NoSuchImage: There is none.
            errors.InvalidReference: The name cannot be one.
        """
        with self._lock:
            return self._image(self._find(name))

    def _find(self, name: str) -> str:
        """Return an image's id: a reference comes before the beginning of an id, as it does in Docker."""
        bare = name.removeprefix("sha256:")
        is_id = len(bare) >= _SHORTEST_ID and all(digit in "0123456789abcdef" for digit in bare)
        if name == bare and not (is_id and len(bare) == _FULL_ID):
            reference = normalize(name) if name else ""
            if found := self._host.id if reference == HOST_REFERENCE else self._index.references.get(reference):
                return found
        if is_id:
            known = [*self._index.images, self._host.id]
            matches = [key for key in known if key.startswith(f"sha256:{bare}")]
            if len(matches) == 1:
                return matches[0]
            if len(matches) > 1:
                raise errors.InvalidArgument(f"the id '{name}' fits several images: give more of it")
        raise errors.NoSuchImage(name)

    def _image(self, image_id: str) -> Image:
        if image_id == self._host.id:
            return self._host
        entry, names = self._index.images[image_id], self._index.names(image_id)
        return Image(
            id=image_id,
            config=self._config(image_id),
            repo_tags=[name for name in names if not is_digest(name)],
            repo_digests=[name for name in names if is_digest(name)],
            size_bytes=entry.size_bytes,
            created_ns=entry.created_ns,
            parent=entry.parent,
            snapshot=entry.snapshot,
            tagged_ns=entry.tagged_ns,
        )

    def _config(self, image_id: str) -> ImageConfig:
        if image_id not in self._configs:
            path = self._blobs / image_id.removeprefix("sha256:")
            try:
                self._configs[image_id] = image_config.decode(path.read_bytes())
            except (OSError, msgspec.DecodeError) as error:
                raise errors.Unavailable(
                    f"the image '{image_id}'", f"its configuration '{path}' is damaged: {error}", "remove the image"
                ) from error
        return self._configs[image_id]

    def list(self, *, everything: bool = False) -> list[Image]:
        """Return all images: those that have a name, and those that no other image was built on, or really all."""
        with self._lock:
            parents = {entry.parent for entry in self._index.images.values()}
            named = set(self._index.references.values())
            shown = [key for key in self._index.images if everything or key in named or key not in parents]
            return [self._host, *(self._image(key) for key in shown)]

    def tag(self, image_id: str, reference: str) -> str:
        """Give an image a reference, which another image loses, and return it in full.

        Raises:
            errors.InvalidReference: It is none.
            errors.Conflict: It is ``host``'s.
            errors.NoSuchImage: The image is not there, or no longer.
        """
        full = check_new(reference)
        if image_id == self._host.id:
            raise errors.Conflict("the image 'host' cannot be given another name: build one FROM host")
        self.refer(image_id, full)
        return full

    def refer(self, image_id: str, *references: str) -> None:
        """Give an image references in full, tags or digests, which other images lose; all of them in one step.

        Raises:
            errors.NoSuchImage: The image is not there, or no longer.
        """
        with self._lock:
            if image_id not in self._index.images:
                raise errors.NoSuchImage(image_id)
            entry = self._index.images[image_id]
            if not all(is_digest(reference) for reference in references):
                entry = msgspec.structs.replace(entry, tagged_ns=time.time_ns())
            named = {**self._index.references, **dict.fromkeys(references, image_id)}
            self._write(Index({**self._index.images, image_id: entry}, named))

    def add(self, config: ImageConfig, *, parent: str, snapshot: str | None, size_bytes: int) -> Image:
        """Store an image.

        Args:
            config: Its configuration; its digest will be the id.
            parent: The image it was built on, or empty.
            snapshot: Its top layer.
            size_bytes: Of all layers together.

        Raises:
            errors.NotFound: There is no such layer.
        """
        return self.add_document(image_config.encode(config), parent=parent, snapshot=snapshot, size_bytes=size_bytes)

    def add_document(
        self, data: bytes, *, parent: str, snapshot: str | None, size_bytes: int, references: Sequence[str] = ()
    ) -> Image:
        """Store an image whose configuration was written elsewhere: its bytes are kept as they are, for its id's sake.

        Args:
            data: The configuration.
            parent: The image it was built on, or empty.
            snapshot: Its top layer.
            size_bytes: Of all layers together.
            references: Names in full that it gets in the same step.

        Raises:
            errors.NotFound: There is no such layer.
            msgspec.DecodeError: The bytes are no configuration.
        """
        image_id, config = image_config.digest(data), image_config.decode(data)
        with self._lock:
            if snapshot and not self.snapshots.has(snapshot):
                raise errors.NotFound(f"snapshot '{snapshot}' not found")
            files.replace(str(self._blobs / image_id.removeprefix("sha256:")), data)
            tagged_ns = time.time_ns() if references else 0
            entry = Entry(snapshot, parent, size_bytes, parse_timestamp(config.created), tagged_ns)
            named = {**self._index.references, **dict.fromkeys(references, image_id)}
            self._write(Index({**self._index.images, image_id: entry}, named))
            return self._image(image_id)

    def document(self, image_id: str) -> bytes:
        """Return the bytes of an image's configuration: its id is their digest."""
        return (self._blobs / image_id.removeprefix("sha256:")).read_bytes()

    def layers(self, image: Image) -> Names:
        """Return an image's layers, the lowest first, one for each of its ``diff_ids``.

        Raises:
            errors.Unavailable: They are not as many: the store is damaged.
        """
        chain = [name for name in reversed(self.snapshots.chain(image.snapshot)) if name != HOST_SNAPSHOT]
        if len(chain) != len(image.config.rootfs.diff_ids):
            raise errors.Unavailable(f"the image '{image.id}'", "layers of it are missing", "remove the image")
        return chain

    def layers_by_chain(self) -> dict[str, str]:
        """Return the layers that images have, by the digests of all that is in and below them.

        Source: OCI image-spec, config.md § Layer ChainID.
        """
        found: dict[str, str] = {}
        with self._lock:
            for key, entry in self._index.images.items():
                image = self._image(key)
                if HOST_SNAPSHOT not in self.snapshots.chain(entry.snapshot):
                    found.update(zip(chain_ids(image.config.rootfs.diff_ids), self.layers(image), strict=True))
        return found

    def import_tar(
        self, stream: IO[bytes], *, message: str, reference: str, defaults: ContainerDefaults | None = None
    ) -> Image:
        """Make an image with one layer from a root file system's archive.

        Args:
            stream: A tar archive, compressed or not.
            message: A comment for its history.
            reference: Its name, or empty.
            defaults: What its containers get that do not say otherwise.

        Raises:
            errors.InvalidArgument: The archive makes no sense.
        """
        if reference:
            check_new(reference)
        name = os.urandom(16).hex()
        self.protect(name)  # from the moment that it is a layer: another thread may be sweeping
        try:
            digest = self._unpack(stream, name)
            config = ImageConfig(
                created=timestamp(),
                architecture=image_config.architecture(),
                config=defaults or ContainerDefaults(),
                rootfs=RootFS(diff_ids=[digest]),
                history=[HistoryEntry(created=timestamp(), comment=message or "Imported from -")],
            )
            image = self.add(config, parent="", snapshot=name, size_bytes=self.snapshots.usage_bytes(name))
        except BaseException:
            if self.snapshots.has(name):
                self.snapshots.remove_layer(name)
                self.snapshots.empty_trash()
            raise
        finally:
            self.unprotect(name)
        if reference:
            self.tag(image.id, reference)
        return self.get(image.id)

    def _unpack(self, stream: IO[bytes], name: str) -> str:
        """Unpack an archive into a layer of this name, and return the digest of what it has."""
        key = f"import-{name}"
        self.snapshots.prepare(key, None)
        try:
            upper = self.snapshots.upper(key)
            unpacked = layers.unpack(stream, upper)
            self.snapshots.commit(name, key)
        except BaseException:
            self.snapshots.remove(key)
            raise
        return unpacked.diff_id

    def remove(
        self, name: str, *, force: bool, in_use: InUse, running: InUse = _nobody, prune: bool = True
    ) -> Removals:
        """Remove a reference; with its last one, the image and what only it stood on.

        The digests of a repository go with the last tag that the image has there.

        Args:
            name: A reference, or an id, which stands for all of its references.
            force: Remove several references, or the image of a stopped container.
            in_use: Tells which containers use an image.
            running: Tells which of them run.
            prune: Remove images that this one was built on as well, where they have no name.

        Raises:
            errors.NoSuchImage: There is none.
            errors.Conflict: It is in use, has several references, or is ``host``.
        """
        with self._lock:
            image_id = self._find(name)
            if image_id == self._host.id:
                raise errors.Conflict("the image 'host' is this machine's own file system: it cannot be removed")
            wish = Wish(name=name, reference=self._reference(name), force=force, prune=prune)
            removal = plan(self._index, image_id, wish, Users(in_use, running))
            layers = set()
            for gone in removal.deleted:
                layers.update(self._chain(self._index.images[gone].snapshot))
                self._configs.pop(gone, None)
            self._write(removal.index)
        self.sweep(only=layers)
        return [*(("Untagged", one) for one in removal.untagged), *(("Deleted", one) for one in removal.deleted)]

    def _reference(self, name: str) -> str:
        """Return ``name`` in full when it is a reference that exists, or nothing."""
        try:
            full = normalize(name)
        except errors.InvalidReference:
            return ""
        return full if full in self._index.references else ""

    def protect(self, snapshot: str) -> None:
        """Keep a layer that no image has yet: a build is about to use it."""
        with self._lock:
            self._protected[snapshot] = self._protected.get(snapshot, 0) + 1

    def unprotect(self, snapshot: str) -> None:
        """Take one ``protect`` back."""
        with self._lock:
            self._protected[snapshot] -= 1
            if not self._protected[snapshot]:
                del self._protected[snapshot]

    def sweep(self, *, kept: Collection[str] = (), only: Collection[str] | None = None) -> None:
        """Remove layers and blobs that no image has.

        Args:
            kept: Layers that stay all the same: what a build has made, and another one may begin with.
            only: Of layers, none but these.
        """
        with self._lock:
            used: set[str] = set()
            tops = {entry.snapshot for entry in self._index.images.values()}
            for top in tops | self.snapshots.parents_in_use() | set(self._protected) | set(kept):
                used.update(self._chain(top))
            among = self.snapshots.committed() if only is None else only
            unused = [name for name in among if name not in used and self.snapshots.has(name)]
            # A layer goes before the one it stands on.
            for name in sorted(unused, key=lambda layer: -len(self._chain(layer))):
                with contextlib.suppress(errors.Conflict):  # a container has been made on it since
                    self.snapshots.remove_layer(name)
            known = {image_id.removeprefix("sha256:") for image_id in self._index.images}
            for entry in os.scandir(self._blobs):
                if entry.name not in known:
                    os.unlink(entry.path)
            self.origins.keep_only(set(self._index.images))
        # Not under the lock, which the engine's loop takes as well: it may be many files.
        self.snapshots.empty_trash()

    def _chain(self, top: str | None) -> Names:
        """Return a layer and those below it; nothing when one of them is lost."""
        with contextlib.suppress(errors.NotFound):
            return self.snapshots.chain(top)
        return []

    def _write(self, index: Index) -> None:
        """Make this the index; when the disk is full, the one before stays, here as there."""
        files.replace(str(self._index_path), msgspec.json.encode(index))
        self._index = index
