"""What the layers of images hold: ``image layers``, ``image diff`` and ``image explore``; docker has none of them."""

from typing import Any

import click

from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import image_group, pass_face
from nbcontainers.client import comparing
from nbcontainers.client.image import Image


@image_group.command("layers")
@click.option("--files", "files", is_flag=True, help="What each of them adds, changes and removes, path by path.")
@click.argument("image")
@pass_face
def layers(face: Face, image: str, files: bool) -> Any:
    """List an image's layers, the lowest first, with what they waste."""
    found = Image(face.client, image)
    return found.files() if files else found.layers()


@image_group.command("diff")
@click.argument("image")
@click.argument("other")
@pass_face
def diff(face: Face, image: str, other: str) -> Any:
    """Tell what to do to IMAGE's files to have those of OTHER. Times do not count."""
    one, another = (face.client.api.inspect_image(name)["Id"] for name in (image, other))
    return comparing.diff(face.client, one, another)


@image_group.command("explore")
@click.argument("image")
@pass_face
def explore(face: Face, image: str) -> Any:
    """Look through an image's layers: what each adds, changes, removes and wastes."""
    return Image(face.client, image).explore()
