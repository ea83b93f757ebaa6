"""``context``: which engine is spoken to, in docker's words for it."""

import os
from typing import Any

import click

from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import pass_face, tree
from nbcontainers.client import tables
from nbcontainers.client.connect import DOCKER, DOCKERS_SOCKET, address, own_address
from nbcontainers.errors import Unavailable

DEFAULT = "default"


@tree.group()
def context() -> None:
    """Choose the engine to speak to."""


@context.command()
@click.argument("name")
@pass_face
def use(face: Face, name: str) -> str:
    """Speak to another engine, docker, default (this user's own) or a url, and return its address."""
    face.use(own_address() if name == DEFAULT else name)
    return _known(face)[_current(face)]


@context.command()
@pass_face
def show(face: Face) -> str:
    """Return which engine is spoken to: default, docker, or its address."""
    return _current(face)


@context.command("ls")
@pass_face
def list_(face: Face) -> Any:
    """List the engines that can be spoken to by name, and the one that is spoken to."""
    current = _current(face)
    rows: list[dict[str, object]] = [
        {"name": name, "address": where, "current": name == current} for name, where in _known(face).items()
    ]
    return tables.table(rows, {"name": "object", "address": "object", "current": "bool"})


def _known(face: Face) -> dict[str, str]:
    """Return the addresses of the engines that have names, and of the one that is spoken to."""
    known = {**_default(), DOCKER: os.environ.get("DOCKER_HOST") or DOCKERS_SOCKET}
    current = _current(face)
    known.setdefault(current, current)
    return known


def _default() -> dict[str, str]:
    """Return this user's own engine, on systems that can have one."""
    try:
        return {DEFAULT: own_address()}
    except Unavailable:
        return {}


def _current(face: Face) -> str:
    where = address(face.url)
    return DEFAULT if where in _default().values() else where
