"""What is read of manifests, and what is refused."""

import json
from typing import Any

import pytest

from nbcontainers import errors
from nbcontainers.images import manifests
from nbcontainers.images.manifests import Contents
from nbcontainers.images.registry import Manifest, media

DIGEST = f"sha256:{'a' * 64}"
ONE: dict[str, Any] = {"digest": DIGEST, "size": 5}
IMAGE: dict[str, Any] = {
    "schemaVersion": 2,
    "config": {**ONE, "mediaType": media.OCI_CONFIG},
    "layers": [{**ONE, "mediaType": media.OCI_LAYER}],
}
INDEX: dict[str, Any] = {"schemaVersion": 2, "manifests": [ONE]}


def read(document: object, media_type: str = media.OCI_MANIFEST) -> object:
    return manifests.read(Manifest(media_type, DIGEST, json.dumps(document).encode()))


@pytest.mark.parametrize("media_type", [media.OCI_MANIFEST, media.DOCKER_MANIFEST])
def test_an_image(media_type: str) -> None:
    found = read(IMAGE, media_type)
    assert isinstance(found, Contents)
    assert (found.media_type, found.config.digest, [layer.size for layer in found.layers]) == (media_type, DIGEST, [5])


def test_what_it_says_itself_counts_where_the_server_says_nothing_of_use() -> None:
    found = read({**IMAGE, "mediaType": media.DOCKER_MANIFEST}, "application/json")
    assert isinstance(found, Contents)
    assert found.media_type == media.DOCKER_MANIFEST


@pytest.mark.parametrize(
    ("document", "media_type", "text"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, media.DOCKER_MANIFEST, "schema 1"),
        ({}, media.DOCKER_MANIFEST_V1_SIGNED, "schema 1"),
        ({**IMAGE, "mediaType": media.OCI_INDEX}, media.OCI_MANIFEST, "ambiguous"),
        ({**IMAGE, **INDEX}, media.OCI_MANIFEST, "ambiguous"),
        ({**IMAGE, **INDEX}, media.OCI_INDEX, "ambiguous"),
        (IMAGE, "text/html", "neither an index nor the manifest of an image"),
        ([], media.OCI_MANIFEST, "is damaged"),
        ({"config": 5}, media.OCI_MANIFEST, "is damaged"),
        ({"schemaVersion": 2}, media.OCI_MANIFEST, "neither an index nor"),
        ({**IMAGE, "config": {**ONE, "digest": "sha256:../../x"}}, media.OCI_MANIFEST, "no digest of the kind sha256"),
        ({**IMAGE, "config": {**ONE, "digest": "md5:00"}}, media.OCI_MANIFEST, "no digest of the kind sha256"),
        ({**IMAGE, "config": {**ONE, "size": -1}}, media.OCI_MANIFEST, "has '-1' bytes"),
        ({**IMAGE, "layers": IMAGE["layers"] * 1025}, media.OCI_MANIFEST, "has '1025' layers"),
        ({**INDEX, "manifests": [{**ONE, "digest": ""}]}, media.OCI_INDEX, "no digest of the kind sha256"),
    ],
)
def test_what_is_refused(document: object, media_type: str, text: str) -> None:
    with pytest.raises(errors.Error, match=text):
        read(document, media_type)
