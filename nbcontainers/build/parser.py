"""From logical lines to nodes: keyword, flags and arguments, each instruction's in the form that it has.

A node says nothing about whether its instruction, flags or arguments make sense: ``instructions`` does. What has no
form at all is refused here: a name without a value, a JSON list of something else than strings.

Source: Dockerfile reference § Format, and each instruction's section.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from nbcontainers.build.heredocs import Heredoc
from nbcontainers.build.lexer import LogicalLine, lex
from nbcontainers.build.splitting import BLANKS, FormError, json_list, split_instruction, split_words
from nbcontainers.errors import DockerfileError

_NO_VALUE = "must have two arguments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One instruction as it is written.

    Args:
        keyword: As written; ``name`` has it in upper case.
        flags: The words with two dashes, those included.
        arguments: What follows: a text, words, ``name, value, separator`` for assignments, or a JSON list's strings.
        is_json: It was a JSON list (the exec form).
        trigger: The instruction that ONBUILD keeps for later.
        place: Where it stands.
    """

    keyword: str
    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    is_json: bool
    trigger: "Node | None"
    place: LogicalLine

    @property
    def name(self) -> str:
        """The instruction's name."""
        return self.keyword.upper()

    @property
    def heredocs(self) -> tuple[Heredoc, ...]:
        """The here-documents that follow it."""
        return self.place.heredocs

    def error(self, message: str, at: str = "") -> DockerfileError:
        """Return an error at this instruction, or at the first place of ``at`` in it."""
        return self.place.error(message, at)

    def __str__(self) -> str:
        """Return it as a line of a Dockerfile, with its keyword in upper case and one blank behind it."""
        _, _, rest = self.place.text.strip().partition(self.keyword)
        return f"{self.name} {rest.strip()}".strip()

    def dump(self) -> str:
        """Return it as a list in brackets, flags first: to compare and to look at."""
        parts = [self.keyword.lower(), *([f"[{' '.join(map(_quoted, self.flags))}]"] if self.flags else [])]
        parts += [self.trigger.dump()] if self.trigger is not None else [_quoted(one) for one in self.arguments]
        return f"({' '.join(parts)})"


def _quoted(text: str) -> str:
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    """Write a character as BuildKit's dumps of the same tree have it: Go, package strconv § Quote."""
    code = ord(character)
    if character in _ESCAPED:
        return _ESCAPED[character]
    if character.isprintable():
        return character
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:  # the latter: a byte that is no UTF-8
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


_ESCAPED = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A parsed Dockerfile: its nodes, its escape character and its directives."""

    nodes: list[Node]
    escape: str
    directives: dict[str, str]

    def dump(self) -> str:
        """Return all nodes, one a line."""
        return "\n".join(node.dump() for node in self.nodes)


def parse(text: str) -> Tree:
    """Parse a Dockerfile.

    Raises:
        DockerfileError: With line and column of what is wrong.
    """
    lexed = lex(text)
    nodes = [parse_line(line, lexed.escape) for line in lexed.lines]
    return Tree(nodes=nodes, escape=lexed.escape, directives=lexed.directives)


def parse_line(line: LogicalLine, escape: str = "\\") -> Node:
    """Parse one logical line.

    Raises:
        DockerfileError: It has not the form that its instruction wants.
    """
    keyword, flags, rest = split_instruction(line.text, escape)
    name = keyword.upper()
    node = Node(keyword=keyword, flags=tuple(flags), arguments=(), is_json=False, trigger=None, place=line)
    if name == "ONBUILD":
        inner = parse_line(replace(line, text=rest), escape) if rest else None
        return replace(node, arguments=(rest,) if rest else (), trigger=inner)
    form = _FORMS.get(name)
    if form is None:
        return node
    try:
        arguments, is_json = form(rest, escape)
    except FormError as error:
        said = f"{name} {error}" if str(error) == _NO_VALUE else f"{name}: {error}"
        raise node.error(said, error.at or rest.split()[0]) from error
    return replace(node, arguments=tuple(arguments), is_json=is_json)


_Form = Callable[[str, str], tuple[list[str], bool]]


def _text(rest: str, escape: str) -> tuple[list[str], bool]:
    return ([rest] if rest else []), False


def _plain_words(rest: str, escape: str) -> tuple[list[str], bool]:
    return (BLANKS.split(rest) if rest else []), False


def _quoted_words(rest: str, escape: str) -> tuple[list[str], bool]:
    return split_words(rest, escape), False


def _text_or_json(rest: str, escape: str) -> tuple[list[str], bool]:
    words = json_list(rest)
    return (words, True) if words is not None else _text(rest, escape)


def _words_or_json(rest: str, escape: str) -> tuple[list[str], bool]:
    words = json_list(rest)
    return (words, True) if words is not None else _plain_words(rest, escape)


def _health(rest: str, escape: str) -> tuple[list[str], bool]:
    kind, *command = rest.split(maxsplit=1) or [""]
    words, is_json = _text_or_json(command[0] if command else "", escape)
    return ([kind, *words] if kind else []), is_json


def _assignments(rest: str, escape: str) -> tuple[list[str], bool]:
    """Read ``name=value …``, or the old form ``name value``: then the separator is empty."""
    words = split_words(rest, escape)
    if not words:
        return [], False
    if "=" not in words[0]:
        name, *value = BLANKS.split(rest, maxsplit=1)
        if not value:
            raise FormError(_NO_VALUE)
        return [name, value[0], ""], False
    arguments: list[str] = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise FormError(f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value', word)
        arguments += [name, text, "="]
    return arguments, False


_FORMS: dict[str, _Form] = {
    "ADD": _words_or_json,
    "ARG": _quoted_words,
    "CMD": _text_or_json,
    "COPY": _words_or_json,
    "ENTRYPOINT": _text_or_json,
    "ENV": _assignments,
    "EXPOSE": _plain_words,
    "FROM": _plain_words,
    "HEALTHCHECK": _health,
    "LABEL": _assignments,
    "MAINTAINER": _text,
    "RUN": _text_or_json,
    "SHELL": _text_or_json,
    "STOPSIGNAL": _text,
    "USER": _text,
    "VOLUME": _words_or_json,
    "WORKDIR": _text,
}
