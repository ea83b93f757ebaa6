"""Reading an archive of images: ``docker load``.

The archive is read once, as it arrives: what begins like a layer is unpacked at once, small documents are kept, and
only at the end, when all digests fit, layers get their places and images their names. Until then nothing of it can be
seen, and an engine that is killed leaves only what the next one sweeps.

What is read: docker-archives (``manifest.json``: of every Docker since 1.10, skopeo, podman, buildah) and OCI image
layouts (``index.json``), compressed or not, with layers compressed or not. Where an archive is both, Docker's manifest
counts, because it has the names.

Source: OCI image-spec, image-layout.md; Docker image specification v1.2; Docker Engine API v1.47, ``/images/load``.
"""

import contextlib
import posixpath
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from nbcontainers import errors
from nbcontainers.images.compression import FAILURES, Prefixed, Readable, decompressed, read_exactly
from nbcontainers.images.config import ImageConfig, architecture, chain_ids, decode, digest
from nbcontainers.images.exporting import BLOBS, NAME_ANNOTATION, REFERENCE_ANNOTATION
from nbcontainers.images.headers import Archive
from nbcontainers.images.packing import Hash
from nbcontainers.images.references import check_new
from nbcontainers.images.sources import Source
from nbcontainers.images.staging import Stack, Staged, unpack
from nbcontainers.images.store import Image, Images
from nbcontainers.images.unpacking import clean

_LARGEST_DOCUMENT = 8 << 20
_MOST_DOCUMENTS = 64 << 20
_MOST_NESTED = 4
_REPORT_BYTES = 1 << 20
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\x00", b"BZh")
_FAILURES: tuple[type[Exception], ...] = (tarfile.TarError, EOFError, ValueError, *FAILURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerProgress:
    """How much of a layer has been read, in bytes of the archive; ``name`` is twelve digits of its digest."""

    name: str
    current: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One image that is there now, with the reference that it got, or an empty one."""

    image: Image
    reference: str
    replaced: str = ""


class DockerManifest(msgspec.Struct, rename="pascal"):
    """One entry of ``manifest.json``."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


class Platform(msgspec.Struct):
    """For which machines a manifest is."""

    architecture: str = ""
    os: str = ""


class Descriptor(msgspec.Struct, rename="camel"):
    """OCI image-spec, descriptor.md."""

    digest: str
    size: int
    media_type: str = ""
    annotations: dict[str, str] | None = None
    platform: Platform | None = None


class OciDocument(msgspec.Struct, rename="camel"):
    """An index, which has manifests, or a manifest, which has a configuration and layers."""

    manifests: list[Descriptor] | None = None
    config: Descriptor | None = None
    layers: list[Descriptor] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A layer of the archive, with the digest of what it is in there."""

    layer: Staged
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    """An image as the archive describes it."""

    config: bytes
    layers: list[str]
    references: list[str]


Report = Callable[[LayerProgress], object]
T = TypeVar("T")


def load(images: Images, stream: Readable, report: Report) -> list[Loaded]:
    """Store the images of an archive.

    Args:
        images: The store.
        stream: The archive; it is read to its end.
        report: Told how far layers are.

    Returns:
        The images, once for each reference.

    Raises:
        errors.InvalidArgument: It is no archive of images, is damaged, or a digest is not what it should be.
        errors.Unavailable: The disk is full.
    """
    with _Loading(images, report) as loading:
        loading.read(stream)
        return [loaded for described in loading.described() for loaded in loading.store(described)]


class _Loading:
    """One archive on its way in."""

    def __init__(self, images: Images, report: Report) -> None:
        self._images = images
        self._report = report
        self._documents: dict[str, bytes] = {}
        self._document_bytes = 0
        self._layers: dict[str, _Found] = {}
        self._links: dict[str, str] = {}
        self._names: set[str] = set()

    def __enter__(self) -> "_Loading":
        return self

    def __exit__(self, *_: object) -> None:
        for found in self._layers.values():
            self._images.snapshots.remove(found.layer.key)

    def read(self, stream: Readable) -> None:
        """Take the whole archive in."""
        try:
            source = Source(decompressed(stream))
            with Archive(source) as archive:
                while (member := archive.next()) is not None:
                    self._take(member, source)
                source.finish()
        except _FAILURES as error:
            raise errors.InvalidArgument(f"cannot read the archive: {error}") from error

    def _take(self, member: tarfile.TarInfo, source: Source) -> None:
        name = clean(member.name)
        if member.isdir():
            return
        if name in self._names:
            raise errors.InvalidArgument(f"the archive has '{name}' twice")
        self._names.add(name)
        if member.issym() or member.islnk():
            start = posixpath.dirname(name) if member.issym() else ""
            target = posixpath.normpath(posixpath.join(start, member.linkname))
            if target.startswith(("../", "/")) or target == "..":
                raise errors.InvalidArgument(f"the link '{name}' leads out of the archive: '{member.linkname}'")
            self._links[name] = target
        elif member.isreg() and not member.issparse():
            self._take_file(name, _Content(source, member.size, self._progress(name, member.size)))
        else:
            raise errors.InvalidArgument(f"'{name}' is of a kind that no archive of images has: {member.type!r}")

    def _progress(self, name: str, size: int) -> Callable[[int], object]:
        last = 0

        def tell(current: int) -> None:
            nonlocal last
            if current - last >= _REPORT_BYTES:
                last = current
                self._report(LayerProgress(name=_short(name), current=current, total=size))

        return tell

    def _take_file(self, name: str, content: "_Content") -> None:
        head = read_exactly(content, tarfile.BLOCKSIZE)
        if _begins_like_a_layer(head):
            self._layers[name] = self._unpack(Prefixed(head, content), content)
        elif content.size <= _LARGEST_DOCUMENT:
            self._document_bytes += content.size
            if self._document_bytes > _MOST_DOCUMENTS:
                raise errors.InvalidArgument(f"the archive's documents are longer than '{_MOST_DOCUMENTS}' bytes")
            self._documents[name] = head + read_exactly(content, content.size)
        content.drain()

    def _unpack(self, stream: Readable, content: "_Content") -> _Found:
        layer = unpack(self._images, stream, content.drain)
        self._report(LayerProgress(name=_short(layer.diff_id), current=content.size, total=content.size))
        return _Found(layer=layer, digest=content.hash.digest)

    def described(self) -> Iterator[_Described]:
        """Yield the images that the archive describes."""
        if (found := self._documents.get("manifest.json")) is not None:
            for manifest in _decoded(found, list[DockerManifest], "manifest.json"):
                yield self._from_docker(manifest)
        elif (found := self._documents.get("index.json")) is not None:
            for descriptor in _decoded(found, OciDocument, "index.json").manifests or []:
                yield from self._from_oci(descriptor, _reference(descriptor), 0)
        else:
            raise errors.InvalidArgument("the archive has no images: neither manifest.json nor index.json is in it")

    def _from_docker(self, manifest: DockerManifest) -> _Described:
        path = self._resolved(manifest.config)
        config = self._document(path)
        stem = posixpath.basename(path).removesuffix(".json")
        if len(stem) == 64:
            _check_digest(path, f"sha256:{stem}", digest(config))
        for layer in manifest.layers or []:
            resolved = self._resolved(layer)
            if resolved.startswith(BLOBS):
                _check_digest(layer, f"sha256:{resolved.removeprefix(BLOBS)}", self._layer(layer).digest)
        return _Described(config=config, layers=manifest.layers or [], references=manifest.repo_tags or [])

    def _from_oci(self, descriptor: Descriptor, references: list[str], depth: int) -> Iterator[_Described]:
        if depth > _MOST_NESTED:
            raise errors.InvalidArgument("the archive's indexes are nested too deeply")
        document = _decoded(self._blob(descriptor), OciDocument, descriptor.digest)
        if document.manifests is not None:
            for inner in _for_this_machine(document.manifests):
                yield from self._from_oci(inner, _reference(inner) or references, depth + 1)
            return
        if document.config is None:
            raise errors.InvalidArgument(f"'{descriptor.digest}' is neither an index nor a manifest of an image")
        for layer in document.layers or []:
            found = self._layer(_blob_name(layer))
            _check_digest(_blob_name(layer), layer.digest, found.digest)
        names = [_blob_name(layer) for layer in document.layers or []]
        yield _Described(config=self._blob(document.config), layers=names, references=references)

    def _blob(self, descriptor: Descriptor) -> bytes:
        name = _blob_name(descriptor)
        data = self._document(name)
        _check_digest(name, descriptor.digest, digest(data))
        return data

    def _document(self, name: str) -> bytes:
        data = self._documents.get(self._resolved(name))
        if data is None:
            raise errors.InvalidArgument(f"'{name}' is not in the archive, or is no document")
        return data

    def _layer(self, name: str) -> _Found:
        layer = self._layers.get(self._resolved(name))
        if layer is None:
            raise errors.InvalidArgument(f"the layer '{name}' is not in the archive, or is no archive itself")
        return layer

    def _resolved(self, name: str) -> str:
        """Return what a name in the archive stands for, past links."""
        name = clean(name)
        for _ in range(_MOST_NESTED):
            if name not in self._links:
                return name
            name = self._links[name]
        raise errors.InvalidArgument(f"'{name}' is a link to a link to a link")

    def store(self, described: _Described) -> Iterator[Loaded]:
        """Give an image's layers their places, and the image its names."""
        config = _image_config(described)
        references = [check_new(reference) for reference in described.references]
        self._check_layers(config.rootfs.diff_ids, described.layers)
        with Stack(self._images) as stack:
            self._place(stack, config.rootfs.diff_ids, described.layers)
            image_id = digest(described.config)
            try:
                image = self._images.get(image_id)
            except errors.NotFound:
                image = self._images.add_document(
                    described.config, parent="", snapshot=stack.top, size_bytes=stack.size_bytes
                )
        for reference in references:
            replaced = ""
            with contextlib.suppress(errors.NotFound):
                replaced = self._images.get(reference).id
            self._images.tag(image.id, reference)
            replaced = replaced if replaced != image.id else ""
            yield Loaded(image=self._images.get(image.id), reference=reference, replaced=replaced)
        if not references:
            yield Loaded(image=image, reference="")

    def _check_layers(self, diff_ids: list[str], names: list[str]) -> None:
        if len(diff_ids) != len(names):
            raise errors.InvalidArgument(
                f"invalid manifest, layers length mismatch: expected {len(diff_ids)}, got {len(names)}"
            )
        for number, (diff_id, name) in enumerate(zip(diff_ids, names, strict=True)):
            found = self._layer(name).layer.diff_id
            if found != diff_id:
                raise errors.InvalidArgument(f"invalid diffID for layer {number}: expected '{diff_id}', got '{found}'")

    def _place(self, stack: Stack, diff_ids: list[str], names: list[str]) -> None:
        """Put layers on top of each other; those that are there already are used."""
        known = self._images.layers_by_chain()
        for chain_id, name in zip(chain_ids(diff_ids), names, strict=True):
            layer, there = self._layer(name).layer, known.get(chain_id)
            if there is not None and stack.protect(there):
                stack.take(there, layer.size_bytes)
            else:
                stack.put(layer)


class _Content:
    """One file of the archive, as it is read, with its digest."""

    def __init__(self, source: Source, size: int, tell: Callable[[int], object]) -> None:
        self._source = source
        self._tell = tell
        self._left = self.size = size
        self.hash = Hash()

    def read(self, size: int = -1, /) -> bytes:
        if not self._left or not size:
            return b""
        data = self._source.read_content(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self.hash.write(data)
        self._tell(self.size - self._left)
        return data

    def drain(self) -> None:
        """Read what is left."""
        while self.read():
            continue


def _begins_like_a_layer(head: bytes) -> bool:
    """Say whether a file is a tar archive, perhaps compressed: it has a valid header, or nothing but an end."""
    if head.startswith(_COMPRESSED):
        return True
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return len(head) == tarfile.BLOCKSIZE and not head.strip(b"\0")
    return True


def _decoded(data: bytes, kind: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise errors.InvalidArgument(f"'{name}' in the archive is damaged: {error}") from error


def _image_config(described: _Described) -> ImageConfig:
    try:
        config = decode(described.config)
    except msgspec.DecodeError as error:
        raise errors.InvalidArgument(f"the image's configuration is damaged: {error}") from error
    if config.os not in ("", "linux"):
        raise errors.InvalidArgument(f"cannot load {config.os} image on linux")
    return config


def _reference(descriptor: Descriptor) -> list[str]:
    """Return the name that a descriptor's annotations give: a tag alone is none."""
    annotations = descriptor.annotations or {}
    name = annotations.get(NAME_ANNOTATION) or annotations.get(REFERENCE_ANNOTATION, "")
    return [name] if "/" in name or ":" in name else []


def _for_this_machine(descriptors: list[Descriptor]) -> list[Descriptor]:
    """Choose one of an index's manifests: for this machine, else the first for any machine at all."""
    here = [one for one in descriptors if one.platform and one.platform.architecture == architecture()]
    real = [one for one in descriptors if not one.platform or one.platform.architecture != "unknown"]
    return (here or real)[:1]


def _blob_name(descriptor: Descriptor) -> str:
    algorithm, _, value = descriptor.digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not value.isalnum():
        raise errors.InvalidArgument(f"'{descriptor.digest}' is no digest of the kind sha256")
    return BLOBS + value


def _check_digest(name: str, expected: str, found: str) -> None:
    if expected != found:
        raise errors.InvalidArgument(f"'{name}' is damaged: its digest is '{found}', not '{expected}'")


def _short(name: str) -> str:
    stem = posixpath.basename(name.removeprefix("sha256:")).removesuffix(".tar")
    return (posixpath.basename(posixpath.dirname(name)) if stem == "layer" else stem)[:12]
