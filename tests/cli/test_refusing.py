"""Docker's grammar, whole: every option of its command line is ours, refused by its name, or what is done anyway."""

import re
import subprocess

import click
import pytest

from nbcontainers.cli import invoke
from nbcontainers.cli.face import Face
from nbcontainers.cli.refusing import AS_IT_IS, REFUSED
from nbcontainers.cli.tree import tree

_OPTION = re.compile(r"^ +(?:(-\w), )? *(--[\w-]+)", re.MULTILINE)
# No commands of docker's, or of its plugins, which need not be there.
_OURS = frozenset(("capture", "doctor", "help", "serve", "shape", "build", "builder"))


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += _commands(command, (*path, name)) if name in ("network", "volume", "system") else []
        elif name not in _OURS:
            found.append(((*path, name), command))
    return found


@pytest.mark.peer
def test_every_option_of_docker_is_known() -> None:
    unknown, seen = {}, 0
    for path, command in _commands(tree):
        help_text = subprocess.run(["docker", *path, "--help"], capture_output=True, text=True, check=False).stdout
        if f"docker {' '.join(path)}" not in help_text:
            continue  # it has no such command
        theirs = {name for names in _OPTION.findall(help_text) for name in names if name} - {"--help"}
        ours = {name for one in command.params if isinstance(one, click.Option) for name in one.opts}
        seen += len(theirs)
        if theirs - ours:
            unknown[path] = theirs - ours
    assert unknown == {}
    assert seen > 200


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["run", "--gpus", "all", "busybox"], "--gpus is not supported: this engine sets no GPUs up"),
        (["create", "-a", "stdout", "busybox"], "--attach is not supported: all output is shown"),
        (["network", "create", "--ingress", "shop"], "--ingress is not supported: it belongs to a swarm"),
        (["build", "--squash", "."], "--squash is not supported: layers stay apart"),
    ],
)
def test_refusals_name_the_option_and_the_reason(words: list[str], reason: str) -> None:
    with pytest.raises(click.UsageError, match=f"^{reason}"):
        invoke(words, Face(url="unix:///nowhere/engine.sock"))


def test_they_are_not_shown() -> None:
    options = {name.removesuffix("/").split(",")[0] for refused in REFUSED.values() for name in refused}
    outermost = click.Context(tree, info_name="it", **tree.context_settings)
    for path in {*REFUSED, *AS_IT_IS}:
        command: click.Command = tree
        for word in path.split():
            assert isinstance(command, click.Group)
            command = command.commands[word]
        shown = command.get_help(click.Context(command, info_name=path, parent=outermost))
        hidden = [one for one in command.params if isinstance(one, click.Option) and one.hidden]
        assert hidden
        assert not [one for one in hidden if f"{one.opts[0]} " in shown and one.opts[0] in options]
