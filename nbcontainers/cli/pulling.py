"""Pulling for a command that needs an image, and for the command that does nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click
import docker.errors
from docker.utils import parse_repository_tag

from nbcontainers.cli import transfers
from nbcontainers.cli.face import Face

_POLICIES = ("always", "missing", "never")
pull_option = click.option(
    "--pull", "pull_policy", type=click.Choice(_POLICIES), default="missing", help="When to pull the image."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An image that a container is to be made of: when it is pulled, for which platform, and whether that is shown."""

    image: str
    policy: str
    platform: str
    quiet: bool = False

    @property
    def tagged(self) -> str:
        """Its name with the tag that is meant."""
        return self.image if mark(self.image) else f"{self.image}:latest"

    def is_missing(self, error: docker.errors.APIError) -> bool:
        """Say whether an error means that the image is to be pulled."""
        return self.policy == "missing" and "no such image" in str(error.explanation).lower()


def provide(face: Face, wish: Wish) -> None:
    """Pull an image; what is told of it goes where remarks go, for standard output is the container's."""
    fetch(face, wish.image, platform=wish.platform, quiet=wish.quiet, to_stderr=True)


def fetch(
    face: Face, name: str, *, platform: str, all_tags: bool = False, quiet: bool = False, to_stderr: bool = False
) -> None:
    """Pull an image, and show how far it is.

    Raises:
        docker.errors.APIError: The registry does not have it, or not for us.
        click.ClickException: It fails on the way.
    """
    api = face.client.api
    api.reload_config()  # somebody may have logged in since
    repository, tag = parse_repository_tag(name)
    if not (all_tags or tag or quiet or to_stderr):
        face.out(b"Using default tag: latest\n")
    stream = api.pull(
        repository, tag=tag or None, stream=True, decode=True, platform=platform or None, all_tags=all_tags
    )
    show(face, stream, quiet=quiet, to_stderr=to_stderr)


def show(face: Face, stream: Iterable[dict[str, Any]], *, quiet: bool, to_stderr: bool = False) -> None:
    """Show what a stream tells, to its end.

    Raises:
        click.ClickException: It tells of an error.
    """
    progress = None if quiet else transfers.progress(face, to_stderr=to_stderr)
    try:
        for message in stream:
            if progress is not None:
                progress(message)
            if "error" in message:
                raise click.ClickException(str(message["error"]))
    finally:
        if progress is not None:
            progress.close()


def mark(name: str) -> str:
    """Return a name's tag or digest, empty for none."""
    return str(parse_repository_tag(name)[1] or "")
