"""What a shared build cache holds: which steps, each with the layer that it has made, or none.

It is an OCI artifact: a manifest that names a configuration and layers as any image's does, so that registries and
tools keep it as they keep images. The configuration maps the keys of steps to layers:

    {"layers": [{"diff_id": "sha256:…", "size": 10240}], "steps": {"4d7a…": 0, "9f05…": null},
     "same_as": {"77b1…": "4d7a…"}}

Layers that are described and not there come last: their steps are known, and so need not be run where nobody asks for
their files. ``same_as`` says which key one stands for that says from what exactly a step copies.

An image that was built here is such a cache as well: its history has the keys of its steps.

Source: OCI image-spec, manifest.md § Guidelines for Artifact Usage; config.md § history.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from nbcontainers import errors
from nbcontainers.images import config as image_config
from nbcontainers.images import manifests
from nbcontainers.images.config import ImageConfig
from nbcontainers.images.manifests import Contents
from nbcontainers.images.references import is_sha256
from nbcontainers.images.registry import Descriptor, media

ARTIFACT_TYPE = "application/vnd.nbcontainers.buildcache.v1"
CONFIG_TYPE = "application/vnd.nbcontainers.buildcache.config.v1+json"
KINDS = manifests.IMAGE_CONFIGS | {CONFIG_TYPE}
"""What the configuration of something may be that has steps."""
_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLayer:
    """One layer.

    Args:
        diff_id: The digest of its archive without compression.
        blob: What it is elsewhere, compressed; None for a layer that cannot be had.
        size_bytes: How long its archive is without compression, None where that is not known.
    """

    diff_id: str
    blob: Descriptor | None
    size_bytes: int | None = None


Steps = Mapping[str, SharedLayer | None]
"""What steps have made, by their keys: None stands for no layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What a cache knows.

    Args:
        steps: What steps have made.
        same_as: The keys that other keys stand for.
    """

    steps: Steps
    same_as: Mapping[str, str] = field(default_factory=dict)


class _Layer(msgspec.Struct):
    diff_id: str
    size: int


class _Config(msgspec.Struct):
    layers: list[_Layer]
    steps: dict[str, int | None]
    same_as: dict[str, str] = {}


def artifact(catalog: Catalog) -> tuple[bytes, bytes]:
    """Return the configuration and the manifest of a cache; the same for the same steps."""
    steps = catalog.steps
    found = {layer.diff_id: layer for layer in steps.values() if layer is not None}
    layers = sorted(found.values(), key=lambda layer: layer.blob is None)
    numbers = {layer.diff_id: number for number, layer in enumerate(layers)}
    config = _Config(
        layers=[_Layer(layer.diff_id, layer.size_bytes or 0) for layer in layers],
        steps={key: None if layer is None else numbers[layer.diff_id] for key, layer in steps.items()},
        same_as=dict(catalog.same_as),
    )
    document = msgspec.json.encode(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": image_config.digest(document), "size": len(document)},
        "layers": [
            {"mediaType": layer.blob.media_type, "digest": layer.blob.digest, "size": layer.blob.size}
            for layer in layers
            if layer.blob is not None
        ],
    }
    return document, msgspec.json.encode(manifest)


def read(contents: Contents, document: bytes) -> Catalog:
    """Return what a cache, or an image, knows.

    Args:
        contents: What its manifest says.
        document: Its configuration; its digest is right.

    Raises:
        errors.InvalidArgument: It is damaged.
    """
    if contents.config.media_type == CONFIG_TYPE:
        return _of_artifact(contents.layers, document)
    try:
        config = image_config.decode(document)
    except msgspec.DecodeError as error:
        raise errors.InvalidArgument(f"the configuration '{contents.config.digest}' is damaged: {error}") from error
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != len(contents.layers):
        raise errors.InvalidArgument(f"it has '{len(contents.layers)}' layers, and describes '{len(diff_ids)}'")
    layers = [SharedLayer(diff_id=one, blob=blob) for one, blob in zip(diff_ids, contents.layers, strict=True)]
    steps = {key: None if number is None else layers[number] for key, number in numbered(config).items()}
    return Catalog(steps=steps)


def _of_artifact(blobs: Sequence[Descriptor], document: bytes) -> Catalog:
    try:
        config = msgspec.json.decode(document, type=_Config)
    except msgspec.DecodeError as error:
        raise errors.InvalidArgument(f"the cache's configuration is damaged: {error}") from error
    if len(config.layers) < len(blobs):
        raise errors.InvalidArgument(f"the cache has '{len(blobs)}' layers, and describes '{len(config.layers)}'")
    layers = []
    for layer, blob in itertools.zip_longest(config.layers, blobs):
        if not is_sha256(layer.diff_id) or layer.size < 0:
            raise errors.InvalidArgument(f"the cache's configuration is damaged: '{layer.diff_id}' is no layer")
        layers.append(SharedLayer(diff_id=layer.diff_id, blob=blob, size_bytes=layer.size))
    steps: dict[str, SharedLayer | None] = {}
    for key, number in config.steps.items():
        if not _KEY.fullmatch(key) or (number is not None and not 0 <= number < len(layers)):
            raise errors.InvalidArgument(f"the cache's configuration is damaged: the step '{key[:64]}' makes no sense")
        steps[key] = None if number is None else layers[number]
    return Catalog(steps=steps, same_as=config.same_as)


def numbered(config: ImageConfig) -> dict[str, int | None]:
    """Return the steps of an image's history, each with the number of its layer."""
    steps: dict[str, int | None] = {}
    number = 0
    for entry in config.history:
        if not entry.empty_layer and number >= len(config.rootfs.diff_ids):
            return {}  # a history that does not fit the layers says nothing
        if _KEY.fullmatch(entry.step):
            steps[entry.step] = None if entry.empty_layer else number
        number += not entry.empty_layer
    return steps
