"""Images as one archive: what ``docker save`` writes, and what ``docker load``, skopeo, umoci and podman read.

One archive is both: an OCI image layout (``oci-layout``, ``index.json``, ``blobs``), and a docker-archive
(``manifest.json``, ``repositories``) whose parts are the same blobs. Layers are in it without compression, so that a
blob's digest is the layer's, and nothing has to be computed: their sizes are found out without reading any file, and
the archive is written as it goes. The same images give the same bytes.

Source: OCI image-spec, image-layout.md, manifest.md, annotations.md; Docker image specification v1.2 § Combined Image
JSON + Filesystem Changeset Format.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nbcontainers import errors
from nbcontainers.images import layers
from nbcontainers.images.config import digest
from nbcontainers.images.packing import Count, Packer, Sink
from nbcontainers.images.references import canonical, normalize
from nbcontainers.images.snapshots import HOST_SNAPSHOT
from nbcontainers.images.store import Image, Images

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
NAME_ANNOTATION = "io.containerd.image.name"
REFERENCE_ANNOTATION = "org.opencontainers.image.ref.name"
BLOBS = "blobs/sha256/"
Json = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One image of an archive, and the references that it has there."""

    image: Image
    references: list[str]


class Export:
    """What will be in an archive; use it in a ``with`` statement, so that nothing of it is removed meanwhile.

    Args:
        images: The store.
        names: References, ids, or repositories, which stand for all of their tags.

    Raises:
        errors.NoSuchImage: One of them is not there.
        errors.Conflict: One stands on this machine's own file system.
    """

    def __init__(self, images: Images, names: Sequence[str]) -> None:
        self._images = images
        self.saved = _resolve(images, names)
        self._layers: dict[str, tuple[Path, int]] = {}
        self._documents: dict[str, bytes] = {}
        self._protected = [entry.image.snapshot for entry in self.saved if entry.image.snapshot]

    def __enter__(self) -> "Export":
        for snapshot in self._protected:
            self._images.protect(snapshot)
        return self

    def __exit__(self, *_: object) -> None:
        for snapshot in self._protected:
            self._images.unprotect(snapshot)

    def write(self, sink: Sink) -> None:
        """Write the archive.

        Raises:
            errors.Unavailable: A layer is damaged.
        """
        index, manifests, repositories = [], [], dict[str, dict[str, str]]()
        for entry in self.saved:
            descriptor, manifest = self._add(entry)
            index += _index_entries(descriptor, entry.references)
            manifests.append(manifest)
            diff_ids = entry.image.config.rootfs.diff_ids
            for reference in entry.references:
                name, _, tag = reference.rpartition(":")
                repositories.setdefault(name, {})[tag] = _hex(diff_ids[-1] if diff_ids else entry.image.id)
        packer = Packer(sink)
        packer.add_header("blobs")
        packer.add_header(BLOBS.rstrip("/"))
        for blob in sorted([*self._layers, *self._documents]):
            self._write_blob(packer, sink, blob)
        head: Json = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": index}
        packer.add_data("index.json", msgspec.json.encode(head))
        packer.add_data("manifest.json", msgspec.json.encode(manifests))
        packer.add_data("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        if repositories:
            packer.add_data("repositories", msgspec.json.encode(repositories, order="deterministic"))
        packer.close()

    def _write_blob(self, packer: Packer, sink: Sink, blob: str) -> None:
        name = BLOBS + _hex(blob)
        if blob in self._documents:
            packer.add_data(name, self._documents[blob])
            return
        directory, size = self._layers[blob]
        packer.add_header(name, size)
        layers.write(directory, sink)
        packer.add_padding(size)

    def _add(self, entry: Saved) -> tuple[Json, Json]:
        """Take in an image's blobs; return the descriptor of its manifest, and Docker's own manifest."""
        image = entry.image
        config = self._document(self._images.document(image.id), CONFIG_TYPE)
        described = [
            self._layer(diff_id, self._images.snapshots.files(layer))
            for diff_id, layer in zip(image.config.rootfs.diff_ids, self._images.layers(image), strict=True)
        ]
        manifest: Json = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": described}
        docker: Json = {
            "Config": BLOBS + _hex(image.id),
            "RepoTags": entry.references or None,
            "Layers": [BLOBS + _hex(str(layer["digest"])) for layer in described],
            "LayerSources": {str(layer["digest"]): layer for layer in described},
        }
        return self._document(msgspec.json.encode(manifest), MANIFEST_TYPE), docker

    def _document(self, data: bytes, media_type: str) -> Json:
        name = digest(data)
        self._documents[name] = data
        return {"mediaType": media_type, "digest": name, "size": len(data)}

    def _layer(self, diff_id: str, directory: Path) -> Json:
        if diff_id not in self._layers:
            count = Count()
            layers.write(directory, count)
            self._layers[diff_id] = directory, count.size_bytes
        return {"mediaType": LAYER_TYPE, "digest": diff_id, "size": self._layers[diff_id][1]}


def _index_entries(descriptor: Json, references: list[str]) -> list[Json]:
    """Return an index's entries for an image: one for each name, or one without any."""
    if not references:
        return [descriptor]
    return [
        {
            **descriptor,
            "annotations": {
                NAME_ANNOTATION: canonical(reference),
                REFERENCE_ANNOTATION: reference.rpartition(":")[2],
            },
        }
        for reference in references
    ]


def _resolve(images: Images, names: Sequence[str]) -> list[Saved]:
    found: dict[str, Saved] = {}
    for name in names:
        for image, reference in _meant(images, name):
            if HOST_SNAPSHOT in images.snapshots.chain(image.snapshot):
                raise errors.Conflict(
                    f"the image '{name}' stands on this machine's own file system: it cannot be saved"
                )
            saved = found.setdefault(image.id, Saved(image=image, references=[]))
            if reference and reference not in saved.references:
                saved.references.append(reference)
    return list(found.values())


def _meant(images: Images, name: str) -> list[tuple[Image, str]]:
    """Return the images that a name stands for, each with the reference that is to be saved with it."""
    try:
        reference = normalize(name)
    except errors.InvalidReference:
        return [(images.get(name), "")]
    if _is_repository(name):
        repository = reference.rpartition(":")[0]
        tagged = [
            (image, tag) for image in images.list() for tag in image.repo_tags if tag.rpartition(":")[0] == repository
        ]
        if tagged:
            return tagged
    image = images.get(name)
    return [(image, reference if reference in image.repo_tags else "")]


def _is_repository(name: str) -> bool:
    """Say whether a name has neither tag nor digest."""
    return ":" not in name.rpartition("/")[2] and "@" not in name


def _hex(name: str) -> str:
    return name.removeprefix("sha256:")
