"""Manifests and indexes: what a registry says that an image is made of.

An index has manifests for several platforms, of which one is chosen; a manifest names a configuration and layers. What
is not an image of files is refused here, with a sentence: charts and plugins, layers that are to be had elsewhere, and
the manifests of before 2016, whose images have no ids.

Source: OCI image-spec, manifest.md, image-index.md; Docker Image Manifest V2, Schema 2.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass

import msgspec

from nbcontainers import errors
from nbcontainers.images import platforms
from nbcontainers.images.platforms import Platform
from nbcontainers.images.registry import Descriptor, Manifest, media

MOST_LAYERS = 1024
_DIGEST_LENGTH = 64
IMAGE_CONFIGS = frozenset((media.OCI_CONFIG, media.DOCKER_CONFIG, ""))
_KNOWN = media.INDEXES | media.MANIFESTS
_SCHEMA_1 = frozenset((media.DOCKER_MANIFEST_V1, media.DOCKER_MANIFEST_V1_SIGNED))
_FOREIGN = frozenset(
    (
        media.DOCKER_FOREIGN_LAYER,
        media.OCI_FOREIGN_LAYER,
        media.OCI_FOREIGN_LAYER_GZIP,
        media.OCI_FOREIGN_LAYER_ZSTD,
    )
)
_LAYERS = frozenset(
    (
        media.DOCKER_LAYER,
        media.DOCKER_LAYER_GZIP,
        f"{media.DOCKER_LAYER}.zstd",
        media.OCI_LAYER,
        media.OCI_LAYER_GZIP,
        media.OCI_LAYER_ZSTD,
    )
)


class _Platform(msgspec.Struct):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class _Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    platform: _Platform | None = None


class _Document(msgspec.Struct, rename="camel"):
    schema_version: int = 2
    media_type: str = ""
    manifests: list[_Descriptor] | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an image is made of: its configuration, and its layers, the lowest first; and the kind of its manifest."""

    media_type: str
    config: Descriptor
    layers: Sequence[Descriptor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One manifest of an index, and the platform that it is for, None where the index does not say."""

    manifest: Descriptor
    platform: Platform | None


def read(manifest: Manifest, kinds: Container[str] = IMAGE_CONFIGS) -> Contents | list[Choice]:
    """Return what a manifest says, or the choices that an index offers.

    Args:
        manifest: As it was sent.
        kinds: What its configuration may be; by default that of an image.

    Raises:
        errors.RegistryError: It is damaged.
        errors.Unsupported: It is of a kind that no image of ours can be made of.
    """
    if manifest.media_type in _SCHEMA_1:
        raise _old_schema()
    try:
        document = msgspec.json.decode(manifest.data, type=_Document)
    except msgspec.DecodeError as error:
        raise errors.RegistryError(f"the manifest '{manifest.digest}' is damaged: {error}") from error
    if document.schema_version == 1:
        raise _old_schema()
    kind = manifest.media_type if manifest.media_type in _KNOWN else document.media_type
    # One that could be read both ways may mean one image here and another one elsewhere (CVE-2021-41190).
    both = document.manifests is not None and (document.config is not None or document.layers is not None)
    if both or document.media_type not in ("", kind):
        raise errors.RegistryError(
            f"the manifest '{manifest.digest}' is ambiguous: it was sent as '{kind}', and says something else"
        )
    if kind in media.INDEXES:
        return [
            Choice(manifest=_descriptor(one, one.media_type or media.OCI_MANIFEST), platform=_platform(one.platform))
            for one in document.manifests or ()
        ]
    return _contents(kind, manifest.digest, document, kinds)


def _old_schema() -> errors.Unsupported:
    return errors.Unsupported(
        "the image has a manifest of schema 1, which went out of use in 2016: push it again with a newer Docker"
    )


def _contents(kind: str, digest: str, document: _Document, kinds: Container[str]) -> Contents:
    if kind not in media.MANIFESTS or document.config is None:
        raise errors.Unsupported(f"'{kind}' is neither an index nor the manifest of an image")
    if document.config.media_type not in kinds:
        raise errors.Unsupported(
            f'invalid mediatype: encountered remote "{document.config.media_type}" when fetching: it is no image'
        )
    layers = document.layers or []
    if len(layers) > MOST_LAYERS:
        raise errors.RegistryError(f"the manifest '{digest}' has '{len(layers)}' layers")
    return Contents(
        media_type=kind,
        config=_descriptor(document.config, document.config.media_type or media.OCI_CONFIG),
        layers=[_descriptor(layer, _layer_type(layer)) for layer in layers],
    )


def _layer_type(layer: _Descriptor) -> str:
    if layer.media_type in _FOREIGN:
        raise errors.Unsupported(
            f"the layer '{layer.digest}' is not in the registry ('{layer.media_type}'): such images are for Windows"
        )
    if layer.media_type not in _LAYERS:
        raise errors.Unsupported(f"unsupported media type '{layer.media_type}' of the layer '{layer.digest}'")
    return layer.media_type


def _descriptor(found: _Descriptor, media_type: str) -> Descriptor:
    algorithm, _, value = found.digest.partition(":")
    if algorithm != "sha256" or len(value) != _DIGEST_LENGTH or set(value) - set("0123456789abcdef"):
        raise errors.RegistryError(f"a manifest has '{found.digest}', which is no digest of the kind sha256")
    if found.size < 0:
        raise errors.RegistryError(f"a manifest says that '{found.digest}' has '{found.size}' bytes")
    return Descriptor(media_type=media_type, digest=found.digest, size=found.size)


def _platform(found: _Platform | None) -> Platform | None:
    return platforms.normal(found.os, found.architecture, found.variant) if found is not None else None


def choose(choices: Sequence[Choice], wanted: Platform) -> Descriptor:
    """Return the manifest that fits a platform best; one for no platform in particular when nothing else does.

    Raises:
        errors.NotFound: There is none.
    """
    for fitting in platforms.runnable(wanted):
        for choice in choices:
            if choice.platform == fitting:
                return choice.manifest
    for choice in choices:
        if choice.platform is None:
            return choice.manifest
    raise errors.NotFound(f"no matching manifest for {wanted} in the manifest list entries")
