"""Where layers and images come from: as which blobs registries have them.

Layers are kept as files, not as the compressed blobs that they came in. Who pushes one again need not compress and
send it where a registry has such a blob already; and an image that was pulled has a manifest that can be given back,
byte for byte. All of this only saves work: whoever loses it loses nothing else.

On disk it is ``origins.json``, which is always replaced whole, and ``manifests``, each named by its digest.
"""

import contextlib
import threading
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nbcontainers.images.registry import Descriptor, Repository
from nbcontainers.linux import files

_MOST_BLOBS = 8
_MOST_LAYERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A layer as a registry has it.

    Args:
        digest: Of the blob, compressed as it is.
        size: Its bytes.
        media_type: What it is.
        registry: Whose it is, such as ``docker.io``.
        repository: In which repository it was seen last, such as ``library/busybox``.
    """

    digest: str
    size: int
    media_type: str
    registry: str
    repository: str


def blob_of(repository: Repository, layer: Descriptor) -> Blob:
    """Return a layer as one repository has it."""
    return Blob(
        digest=layer.digest,
        size=layer.size,
        media_type=layer.media_type,
        registry=repository.registry,
        repository=repository.name,
    )


class _Manifest(msgspec.Struct):
    image_id: str
    media_type: str


class _Document(msgspec.Struct):
    layers: dict[str, list[Blob]] = {}
    manifests: dict[str, _Manifest] = {}


class Origins:
    """What is known of one store's layers and images; its methods may be called from any thread.

    Args:
        root: The store's directory.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "origins.json"
        self._manifests = root / "manifests"
        self._manifests.mkdir(mode=0o700, exist_ok=True)
        self._lock = threading.Lock()
        files.forget_replacing(str(self._path))
        try:
            self._known = msgspec.json.decode(self._path.read_bytes(), type=_Document)
        except (OSError, msgspec.DecodeError):
            self._known = _Document()

    def blobs(self, diff_id: str) -> list[Blob]:
        """Return as which blobs a layer is known, the one that was seen last before the others."""
        with self._lock:
            return list(self._known.layers.get(diff_id, ()))

    def record(self, blobs: Iterable[tuple[str, Blob]]) -> None:
        """Remember that registries have layers: pairs of a layer's ``diff_id`` and a blob."""
        with self._lock:
            layers, changed = self._known.layers, False
            for diff_id, blob in blobs:
                before = layers.pop(diff_id, [])
                layers[diff_id] = [blob, *(one for one in before if one != blob)][:_MOST_BLOBS]
                changed = changed or layers[diff_id] != before
            if not changed:
                return
            for oldest in list(layers)[:-_MOST_LAYERS]:
                del layers[oldest]
            self._write()

    def keep_manifest(self, image_id: str, digest: str, media_type: str, data: bytes) -> None:
        """Keep an image's manifest as a registry has it."""
        with self._lock:
            files.replace(str(self._manifests / digest.removeprefix("sha256:")), data)
            self._known.manifests[digest] = _Manifest(image_id, media_type)
            self._write()

    def manifests(self, image_id: str) -> list[tuple[str, str, bytes]]:
        """Return the manifests that an image has in registries: digest, media type, and their bytes."""
        found = []
        with self._lock:
            for digest, manifest in self._known.manifests.items():
                if manifest.image_id == image_id:
                    with contextlib.suppress(OSError):
                        data = (self._manifests / digest.removeprefix("sha256:")).read_bytes()
                        found.append((digest, manifest.media_type, data))
        return found

    def keep_only(self, image_ids: Container[str]) -> None:
        """Forget the manifests of all other images."""
        with self._lock:
            manifests = {name: one for name, one in self._known.manifests.items() if one.image_id in image_ids}
            if len(manifests) != len(self._known.manifests):
                self._known.manifests = manifests
                self._write()
            for path in self._manifests.iterdir():
                if f"sha256:{path.name}" not in manifests:
                    path.unlink()

    def _write(self) -> None:
        files.replace(str(self._path), msgspec.json.encode(self._known))
