"""Containers and images as archives, and containers as images.

``diff``, ``commit``, ``export``, ``import``, ``save`` and ``load``, in docker's grammar.
"""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import docker.errors

from nbcontainers.cli.copying import CHUNK_BYTES, chunks_of
from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import container_group, image_group, pass_face, tree
from nbcontainers.client import tables

output_option = click.option("-o", "--output", default="", help="File to write; by default standard output.")
change_option = click.option("-c", "--change", "changes", multiple=True, help="A Dockerfile instruction.")


@tree.command()
@click.argument("container")
@pass_face
def diff(face: Face, container: str) -> Any:
    """Tell what a container has changed in its files."""
    return tables.changes(face.client, container)


@tree.command()
@output_option
@click.argument("container")
@pass_face
def export(face: Face, container: str, output: str) -> None:
    """Write a container's files as an archive."""
    write_out(face, face.client.api.export(container, chunk_size=CHUNK_BYTES), output)


@tree.command("import")
@change_option
@click.option("-m", "--message", default="", help="A remark for the image's history.")
@click.option("--platform", default="", help="What the image is for, such as linux.")
@click.argument("source")
@click.argument("reference", required=False)
@pass_face
def import_image(
    face: Face, source: str, reference: str | None, changes: tuple[str, ...], message: str, platform: str
) -> str:
    """Make an image of an archive of files: a file, a URL, or - for standard input."""
    api = face.client.api
    repository, tag = _parts(reference or "")
    is_url = source.startswith(("http://", "https://"))
    params = {"fromSrc": source if is_url else "-", "repo": repository, "tag": tag, "changes": changes}
    params |= {name: value for name, value in (("message", message), ("platform", platform)) if value}
    with contextlib.nullcontext(None) if is_url else opened(face, "" if source == "-" else source) as data:
        answer = api._post(api._url("/images/create"), params=params, data=data, timeout=None)
    api._raise_for_status(answer)
    image = ""
    for event in api._stream_helper(answer, decode=True):
        _refuse_error(event)
        image = str(event.get("status", image))
    return image


@tree.command()
@click.option("-a", "--author", default="", help="Who has made it.")
@click.option("-m", "--message", default="", help="A remark for the image's history.")
@click.option("-p", "--pause/--no-pause", default=True, help="Freeze the container meanwhile.")
@change_option
@click.argument("container")
@click.argument("reference", required=False)
@pass_face
def commit(  # noqa: PLR0913  docker's options
    face: Face,
    *,
    container: str,
    reference: str | None,
    author: str,
    message: str,
    pause: bool,
    changes: tuple[str, ...],
) -> str:
    """Make an image of a container, and return its id."""
    repository, tag = _parts(reference or "")
    made = face.client.api.commit(
        container,
        repository=repository or None,
        tag=tag or None,
        message=message or None,
        author=author or None,
        pause=pause,
        changes=list(changes) or None,
    )
    return str(made["Id"])


@tree.command()
@output_option
@click.argument("images", nargs=-1, required=True)
@pass_face
def save(face: Face, images: tuple[str, ...], output: str) -> None:
    """Write images as one archive."""
    api = face.client.api
    answer = api._get(api._url("/images/get"), params={"names": images}, stream=True, timeout=None)
    write_out(face, api._stream_raw_result(answer, CHUNK_BYTES, False), output)


@tree.command()
@click.option("-i", "--input", "source", default="", help="File to read; by default standard input.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say how far layers are.")
@pass_face
def load(face: Face, source: str, quiet: bool) -> str:
    """Take in the images of an archive, and return their names."""
    lines = []
    with opened(face, source) as data:
        for event in face.client.api.load_image(data, quiet=quiet or None):
            _refuse_error(event)
            if text := str(event.get("stream", "")).strip():
                lines.append(text)
    return "\n".join(lines)


def _parts(reference: str) -> tuple[str, str]:
    """Split a reference into repository and tag, of which the second may be empty."""
    repository, colon, tag = reference.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (reference, "")


@contextlib.contextmanager
def opened(face: Face, source: str) -> Iterator[bytes | Iterable[bytes]]:
    """Open a file, or what the command has as its standard input."""
    if source:
        try:
            file = open(source, "rb")  # noqa: SIM115  closed below
        except OSError as error:
            raise click.UsageError(f"cannot read '{source}': {(error.strerror or '').lower()}") from error
        with file:
            yield chunks_of(file)
    elif face.stdin is not None:
        yield face.stdin
    elif sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("requested load from stdin, but stdin is empty: give a file")
    else:
        yield chunks_of(sys.stdin.buffer)


def write_out(face: Face, chunks: Iterable[bytes], output: str) -> None:
    """Write to a file that has its name only when it is whole, or to standard output."""
    if not output:
        write = face.binary()
        for chunk in chunks:
            write(chunk)
        return
    path = Path(output)
    if path.is_dir():
        raise click.UsageError(f"invalid output path: '{output}' is a directory")
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _refuse_error(event: dict[str, Any]) -> None:
    if "error" in event:
        raise docker.errors.ImageLoadError(event["error"])


for _command in (diff, export, commit):
    container_group.add_command(_command)
for _command in (import_image, save, load):
    image_group.add_command(_command)
