"""``help``, ``--help`` and ``-h``: all lead to the same, and the examples are commands that there are."""

import shlex

import click
import pytest

from nbcontainers.cli import invoke
from nbcontainers.cli.face import Face
from nbcontainers.cli.helping import EXAMPLES
from nbcontainers.cli.tree import tree


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert invoke(list(words), Face()) is None
    return capsys.readouterr().out


def test_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    said = _said(capsys, "help")
    assert said == _said(capsys, "--help") == _said(capsys, "-h") == _said(capsys)
    shown = [line.split()[0] for line in said.splitlines() if line.startswith("  ") and not line.startswith("  -")]
    assert [name for name in tree.commands if shown.count(name) != 1] == []


def test_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    said = _said(capsys, "help", "start")
    assert said.startswith("Usage: %container start [OPTIONS] CONTAINERS...\n")
    assert said.endswith("Examples:\n  %container start web db\n  %container start -a web\n")
    assert said == _said(capsys, "start", "--help") == _said(capsys, "start", "-h")
    assert "%container network create shop\n" in _said(capsys, "help", "network", "create")
    assert "%container stop web\n" in _said(capsys, "help", "container", "stop")


@pytest.mark.parametrize("words", [["nosuch"], ["run", "more"], ["network", "nosuch"]])
def test_no_such_command(words: list[str]) -> None:
    with pytest.raises(click.ClickException, match=f"^unknown help topic: {' '.join(words)}$"):
        invoke(["help", *words], Face())


@pytest.mark.parametrize("path", ["run", "create"])
def test_the_short_one_is_the_host_name_where_docker_has_it_so(path: str) -> None:
    assert _parsed([path, "-h", "db.local", "busybox", "ls", "-h"]).params["hostname"] == "db.local"


@pytest.mark.parametrize("words", [["exec", "web", "ls", "-h"], ["top", "web", "-h"]])
def test_the_short_one_behind_a_container_is_the_programs(words: list[str]) -> None:
    assert "-h" in str(_parsed(words).params)


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_are_right(path: str) -> None:
    for example in EXAMPLES[path]:
        assert example.startswith(path)
        _parsed(shlex.split(example))


def _parsed(words: list[str]) -> click.Context:
    """Read a command's words as ``invoke`` does, and do nothing."""
    command: click.Command = tree
    outermost = click.Context(tree, info_name="it", **tree.context_settings)
    while isinstance(command, click.Group):
        command = command.commands[words[0]]
        words = words[1:]
    return command.make_context("it", list(words), parent=outermost)
