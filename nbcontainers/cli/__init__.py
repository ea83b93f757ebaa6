"""The command tree: ``%container …`` in a notebook and ``nbcontainers …`` in a terminal are the same.

A command takes options in docker's grammar and returns a value — a DataFrame, a text, an exit code — which the
notebook shows and assigns, and the terminal prints. What a command writes while it runs goes to the ``Face`` it was
given.

Reading order: ``face``, ``helping``, ``running`` with ``networking`` (run and create), ``executing`` (exec) and
``attaching`` with ``interactive`` and ``aside`` (a container at a terminal, and signals), ``tree`` (the commands that
change something), ``building``, ``listing``, ``updating``, ``copying``, ``archives``, ``transferring`` with ``pulling``
and ``transfers`` (layers on their way), ``registries`` (logins), ``layers``, ``volumes``, ``networks``, ``shaping``,
``capturing``, ``contexts`` and ``system`` (others), ``following`` (``logs -f``), ``formats`` (``--format``),
``refusing``
(docker's options that are not for this engine), ``terminal``, ``printing`` (its tables).

Example:
    >>> invoke(["ps", "-a"], Face(connect()))
"""

from nbcontainers.cli import (  # noqa: F401  each gives the tree its commands
    archives,
    attaching,
    building,
    capturing,
    contexts,
    copying,
    executing,
    layers,
    listing,
    networks,
    refusing,
    registries,
    shaping,
    system,
    transferring,
    updating,
    volumes,
)
from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import invoke, tree

refusing.give(tree)

__all__ = ["Face", "invoke", "main"]


def main() -> None:
    """Run the command that the process's arguments name, and end with its exit code."""
    from nbcontainers.cli.terminal import main as run

    run()
