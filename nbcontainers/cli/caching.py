"""``--cache-from`` and ``--cache-to``: what buildx's grammar means for an engine beside us.

The engine reads and checks it all; here a folder becomes an absolute path, for the engine does not know where we are,
and the name of an image that the engine does not have is looked for in its registry.
"""

import csv
import io
import json
import os

import click
import docker.errors

from nbcontainers.cli.face import Face
from nbcontainers.client import extension

CACHE_TO_ARG = "NBCONTAINERS_CACHE_TO"
_BESIDE_US = "http+docker://localhost"
_FOLDERS = ("src", "dest")


def sources(face: Face, texts: tuple[str, ...]) -> list[str]:
    """Return what an engine is to take steps from.

    Raises:
        click.UsageError: It is Docker's, or on another machine than the folder.
    """
    return [_place(face, "--cache-from", text) if "=" in text else _image(face, text) for text in texts]


def targets(face: Face, texts: tuple[str, ...]) -> str:
    """Return where an engine is to export steps to, as the build argument of that name has it.

    Raises:
        click.UsageError: It is Docker's, or on another machine than the folder.
    """
    return json.dumps([_place(face, "--cache-to", text) for text in texts])


def _image(face: Face, name: str) -> str:
    """Return an image's name, or its registry where it is not here and the engine can ask that."""
    try:
        face.client.api.inspect_image(name)
    except docker.errors.ImageNotFound:
        return f"type=registry,ref={name}" if extension.is_ours(face.client) else name
    return name


def _place(face: Face, option: str, text: str) -> str:
    if not extension.is_ours(face.client):
        raise click.UsageError(f"{option} '{text}' needs an nbcontainers engine: Docker's classic builder has no such")
    parts = [part.partition("=") for part in next(csv.reader([text]), [])]
    for number, (name, equals, value) in enumerate(parts):
        if name.strip().lower() in _FOLDERS and value:
            if face.client.api.base_url != _BESIDE_US:
                raise click.UsageError(
                    f"{option} '{text}': the engine is on another machine, which does not see this folder: "
                    "use type=registry"
                )
            parts[number] = name, equals, os.path.abspath(os.path.expanduser(value))
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow("".join(part) for part in parts)
    return line.getvalue()
