"""Completion in ``%container`` and ``%%dockerfile``: commands, options, their values, names of the engine's objects.

What is offered here stands alone: IPython's own proposals (Python's names, files) come where nothing is offered.
"""

import re
import shlex
from typing import TYPE_CHECKING, Any

import click
from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from nbcontainers.cli.tree import tree
from nbcontainers.notebook.magics import dockerfile_command

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbcontainers.notebook.magics import ContainerMagics

_IDENTIFIER = "nbcontainers"
_LINE = re.compile(r"(?:[^%'\"#]*=)?\s*%%?container\s+(?P<rest>.*)")
_SUBSTITUTION = re.compile(r".*\$\((?:%?container\s+)?(?P<rest>[^)]*)")
_INSTRUCTIONS = (
    *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "ONBUILD", "RUN"),
    *("SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
)
_OF_ARGUMENTS = {
    "container": "container",
    "containers": "container",
    "image": "image",
    "images": "image",
    "other": "image",
}
_OF_COMMANDS = {"rmi": "image", "push": "image", "tag": "image", "images": "image"}
_OF_OPTIONS = {"--network": "network", "--net": "network", "-v": "volume", "--volume": "volume"}
_OF_OPTIONS |= {"--volumes-from": "container", "--link": "container", "--cidfile": ""}
_NEW_NAMES = frozenset(("create", "pull", "rename"))


def register(ipython: "InteractiveShell", magics: "ContainerMagics") -> None:
    """Offer completions for the magics; once, also when the extension is loaded again."""

    def offer(context: CompletionContext) -> SimpleMatcherResult:
        lines = context.full_text.split("\n")[: context.cursor_line]
        offered, fragment = complete([*lines, context.text_until_cursor], magics)
        completions = [SimpleCompletion(text=text, type="container") for text in offered]
        return {"completions": completions, "matched_fragment": fragment, "suppress": bool(offered)}

    made: Any = context_matcher(identifier=_IDENTIFIER)(offer)
    completer: Any = ipython.Completer
    others = [one for one in completer.custom_matchers if getattr(one, "matcher_identifier", "") != _IDENTIFIER]
    completer.custom_matchers = [*others, made]


def complete(lines: list[str], magics: "ContainerMagics") -> tuple[list[str], str]:
    """Return what may stand at the end of a cell's text, and the piece of it that is there already.

    Args:
        lines: The cell's lines, the last up to the cursor.
        magics: Where the engine is found.
    """
    line = lines[-1]
    if lines[0].startswith("%%dockerfile"):
        if len(lines) > 1:
            return _in_dockerfile(line, magics)
        return _after(dockerfile_command, (), line.removeprefix("%%dockerfile"), magics)
    found = _LINE.fullmatch(line)
    if found is None or (len(lines) > 1 and lines[0].startswith("%%")):
        return [], ""
    inner = _SUBSTITUTION.fullmatch(found["rest"])
    return _after(tree, (), (inner or found)["rest"], magics)


def _in_dockerfile(line: str, magics: "ContainerMagics") -> tuple[list[str], str]:
    """Complete an instruction's name, or the image after ``FROM`` and ``COPY --from=``."""
    fragment = re.split(r"[\s=]", line)[-1]
    if fragment == line:
        known = [name if fragment.isupper() or not fragment else name.lower() for name in _INSTRUCTIONS]
        return _beginning(known, fragment) if fragment else ([], "")
    if re.fullmatch(r"\s*FROM(\s+--\S+)*\s+\S*|\s*COPY\s+--from=\S*", line, re.IGNORECASE):
        return _beginning([*_names("image", magics), "scratch"], fragment)
    return [], fragment


def _after(
    command: click.Command, path: tuple[str, ...], text: str, magics: "ContainerMagics"
) -> tuple[list[str], str]:
    """Complete the last word of a command's."""
    try:
        words = shlex.split(text)
    except ValueError:
        return [], ""
    fragment = "" if not words or text[-1:].isspace() else words.pop()
    if fragment and not text.endswith(fragment):
        return [], ""  # it is quoted
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        path += (words[0],)
        command = command.commands[words.pop(0)]
    if isinstance(command, click.Group):
        return _beginning([] if words else [*command.commands, "--help"], fragment)
    given, option = _read(command, words)
    if option is not None:
        return _beginning(_values(option, magics), fragment)
    if fragment.startswith("-"):
        is_over = not command.allow_interspersed_args and bool(given)  # what follows an image is the container's
        options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
        known = [name for one in options for name in one.opts]
        return _beginning([] if is_over else [*known, "--help"], fragment)
    return _beginning([name for name in _arguments(command, path, given, magics) if name not in given], fragment)


def _read(command: click.Command, words: list[str]) -> tuple[list[str], click.Option | None]:
    """Return the arguments among a command's words, and the option whose value is to come."""
    options = {name: one for one in command.params if isinstance(one, click.Option) for name in one.opts}
    given: list[str] = []
    awaiting: click.Option | None = None
    for word in words:
        if awaiting is not None:
            awaiting = None
        elif word.startswith("-") and not (given and not command.allow_interspersed_args):
            awaiting = _awaiting(options, word)
        else:
            given.append(word)
    return given, awaiting


def _awaiting(options: dict[str, click.Option], word: str) -> click.Option | None:
    """Return the option that takes the next word, after ``--name`` or the last of ``-itv``."""
    option = options.get(word if word.startswith("--") else "-" + word[-1])
    return option if option is not None and not option.is_flag and not option.count else None


def _values(option: click.Option, magics: "ContainerMagics") -> list[str]:
    if isinstance(option.type, click.Choice):
        return list(map(str, option.type.choices))
    kinds = [_OF_OPTIONS[name] for name in option.opts if name in _OF_OPTIONS]
    return [*_names(kinds[0], magics), *(("bridge", "host", "none") if kinds[0] == "network" else ())] if kinds else []


def _arguments(command: click.Command, path: tuple[str, ...], given: list[str], magics: "ContainerMagics") -> list[str]:
    """Return the names that may be the next argument."""
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    if not arguments or (len(given) >= len(arguments) and arguments[-1].nargs != -1):
        return []
    name = str(arguments[min(len(given), len(arguments) - 1)].name)
    if path == ("context", "use"):
        return ["default", "docker"]
    if name in _OF_ARGUMENTS:
        return _names(_OF_ARGUMENTS[name], magics)
    group = path[0] if len(path) > 1 else _OF_COMMANDS.get(path[-1] if path else "", "")
    if name in ("name", "names", "source") and path[-1:] and path[-1] not in _NEW_NAMES:
        if path == ("inspect",):
            return [one for kind in ("container", "image", "network", "volume") for one in _names(kind, magics)]
        is_wanted = name != "source" or path[-1] == "tag"
        return _names(group, magics) if is_wanted else []
    return []


def _names(kind: str, magics: "ContainerMagics") -> list[str]:
    """Return the names of the engine's objects of one kind; none where the engine does not answer."""
    try:
        api: Any = magics.face.client.api
        if kind == "container":
            return [name.lstrip("/") for container in api.containers(all=True) for name in container["Names"]]
        if kind == "image":
            return [tag.removesuffix(":latest") for image in api.images() for tag in image["RepoTags"] or []]
        if kind == "network":
            return [network["Name"] for network in api.networks()]
        return [volume["Name"] for volume in api.volumes()["Volumes"] or []] if kind == "volume" else []
    except Exception:
        return []


def _beginning(offered: list[str], fragment: str) -> tuple[list[str], str]:
    return sorted({word for word in offered if word.startswith(fragment)}), fragment
