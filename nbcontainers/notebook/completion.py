"""Completion in ``%container``: commands, their options, and the names of containers and images."""

import shlex
from typing import TYPE_CHECKING, Any

import click

from nbcontainers.cli.tree import tree

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbcontainers.notebook.magics import ContainerMagics

_OF_IMAGES = frozenset(("run", "create", "rmi", "history", "tag"))
_OF_NOTHING = frozenset(("ps", "images", "build", "info", "version", "doctor", "context", "serve"))


def register(ipython: "InteractiveShell", magics: "ContainerMagics") -> None:
    """Offer completions for the magics."""
    ipython.set_hook("complete_command", lambda _, event: complete(event.line, magics), str_key="%container")
    ipython.set_hook("complete_command", lambda _, event: complete(event.line, magics), str_key="%%container")


def complete(line: str, magics: "ContainerMagics") -> list[str]:
    """Return what may stand at the end of a line, ``%container run --me`` for example."""
    try:
        words = shlex.split(line)[1:]
    except ValueError:
        return []
    current = "" if line.endswith(" ") or not words else words.pop()
    command: click.Command = tree
    for word in words:
        if isinstance(command, click.Group) and word in command.commands:
            command = command.commands[word]
    if isinstance(command, click.Group):
        offered = list(command.commands)
    elif current.startswith("-"):
        offered = [option for parameter in command.params for option in parameter.opts if option.startswith("-")]
    else:
        offered = _names(command.name or "", magics)
    return sorted(word for word in offered if word.startswith(current))


def _names(command: str, magics: "ContainerMagics") -> list[str]:
    """Return the names of the engine's objects that a command takes; none where the engine does not answer."""
    if command in _OF_NOTHING:
        return []
    api: Any = magics.face.client.api
    try:
        if command in _OF_IMAGES:
            return [tag.removesuffix(":latest") for image in api.images() for tag in image["RepoTags"] or []]
        return [name.lstrip("/") for container in api.containers(all=True) for name in container["Names"]]
    except Exception:
        return []
