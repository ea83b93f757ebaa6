"""``pull`` and ``push``, in docker's grammar."""

import click
from docker.utils import parse_repository_tag

from nbcontainers.cli.face import Face
from nbcontainers.cli.pulling import fetch, mark, show
from nbcontainers.cli.tree import image_group, pass_face, tree

platform_option = click.option("--platform", default="", help="Which of several images, such as linux/arm64.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Do not say how far layers are.")
all_tags_option = click.option("-a", "--all-tags", is_flag=True, help="All tags of the repository.")


@tree.command()
@all_tags_option
@quiet_option
@platform_option
@click.argument("name")
@pass_face
def pull(face: Face, name: str, all_tags: bool, quiet: bool, platform: str) -> str:
    """Pull an image from a registry, and return its name in full."""
    if all_tags and mark(name):
        raise click.UsageError("tag can't be used with --all-tags/-a")
    fetch(face, name, platform=platform, all_tags=all_tags, quiet=quiet)
    return _in_full(name, tagged=not all_tags)


@tree.command()
@all_tags_option
@quiet_option
@click.argument("name")
@pass_face
def push(face: Face, name: str, all_tags: bool, quiet: bool) -> str:
    """Push an image to a registry, and return its name in full."""
    if all_tags and mark(name):
        raise click.UsageError("tag can't be used with --all-tags/-a")
    api = face.client.api
    api.reload_config()
    repository, tag = parse_repository_tag(name)
    if not all_tags and not tag:
        tag = "latest"
        if not quiet:
            face.out(b"Using default tag: latest\n")
    show(face, api.push(repository, tag=tag or None, stream=True, decode=True), quiet=quiet)
    return _in_full(name, tagged=not all_tags)


def _in_full(name: str, *, tagged: bool) -> str:
    """Return a name with its registry, and with a tag where one is meant."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    return name if mark(name) or not tagged else f"{name}:latest"


for _command in (pull, push):
    image_group.add_command(_command)
