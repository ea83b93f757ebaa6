"""Go's text templates, as docker's ``--format`` takes them: ``{{.Names}}: {{json .Labels}}``.

A template is read once into a tree of nodes (``parse``), and executed for each value (``Template.render``). Read are
texts, fields, variables, pipelines, ``if``, ``with``, ``range``, comments and trim markers; the functions are Go's
own for texts and comparisons, and docker's.

Source: Go standard library, text/template; Docker documentation, "Format command and log output".
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nbcontainers.errors import InvalidArgument
from nbcontainers.templates.functions import FUNCTIONS, go_text, truth

_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:\\.|[^"\\])*") | (?P<raw>`[^`]*`) | (?P<number>-?\d+(?:\.\d+)?) |
    (?P<field>(?:\$\w*)?(?:\.\w+)+) | (?P<variable>\$\w*) | (?P<dot>\.) |
    (?P<word>\w+) | (?P<sign>:=|=|\(|\)|\||,)
    )""",
    re.VERBOSE,
)
_CONSTANTS = {"true": True, "false": False, "nil": None}
_ENDS = ("end", "else")
_TOO_DEEP = "template parsing error: it is nested too deeply"
Scope = dict[str, Any]
Expression = Callable[[Any, Scope], Any]


class TemplateError(InvalidArgument):
    """A template cannot be read, or does not fit what it is given."""


@dataclass(slots=True)
class _Text:
    text: str

    def render(self, dot: Any, scope: Scope) -> str:
        return self.text


@dataclass(slots=True)
class _Output:
    value: Expression
    variable: str = ""

    def render(self, dot: Any, scope: Scope) -> str:
        value = self.value(dot, scope)
        if self.variable:
            scope[self.variable] = value
            return ""
        return go_text(value)


@dataclass(slots=True)
class _Block:
    """``if``, ``with`` or ``range`` with its two bodies."""

    keyword: str
    value: Expression
    variables: list[str] = field(default_factory=list)
    body: "list[Node]" = field(default_factory=list)
    otherwise: "list[Node]" = field(default_factory=list)

    def render(self, dot: Any, scope: Scope) -> str:
        value = self.value(dot, scope)
        if not truth(value):
            return _render(self.otherwise, dot, scope)
        if self.keyword != "range":
            inner = {**scope, **({self.variables[-1]: value} if self.variables else {})}
            return _render(self.body, value if self.keyword == "with" else dot, inner)
        return "".join(self._rounds(value, scope))

    def _rounds(self, value: Any, scope: Scope) -> Iterator[str]:
        if isinstance(value, dict):
            pairs: list[tuple[Any, Any]] = sorted(value.items())
        elif isinstance(value, list):
            pairs = list(enumerate(value))
        else:
            raise TemplateError(f"template: range can't iterate over {go_text(value)}")
        for pair in pairs:
            names = dict(zip(reversed(self.variables), reversed(pair), strict=False))
            yield _render(self.body, pair[1], {**scope, **names})


Node = _Text | _Output | _Block


def _render(nodes: list[Node], dot: Any, scope: Scope) -> str:
    return "".join(node.render(dot, scope) for node in nodes)


class Template:
    """A template that was read.

    Args:
        nodes: Its parts.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes

    def render(self, value: Any) -> str:
        """Return the template's text for a value: dictionaries, lists, texts, numbers, as JSON has them.

        Raises:
            TemplateError: A field that is asked for is not there.
        """
        try:
            return _render(self._nodes, value, {"$": value})
        except RecursionError:
            raise TemplateError(_TOO_DEEP) from None


def parse(source: str) -> Template:
    """Read a template.

    Raises:
        TemplateError: With what cannot be read.
    """
    try:
        nodes, end = _nodes(_items(source))
    except RecursionError:
        raise TemplateError(_TOO_DEEP) from None
    if end:
        raise TemplateError(f"template parsing error: unexpected {{{{{end}}}}}")
    return Template(nodes)


def _items(source: str) -> Iterator[tuple[str, str]]:
    """Yield texts and actions in turn, trimmed where an action asks for it."""
    position, trim = 0, False
    for found in _ACTION.finditer(source):
        text = source[position : found.start()]
        text = text.lstrip() if trim else text
        yield "text", text.rstrip() if found[1] else text
        if not _COMMENT.fullmatch(found[2]):
            yield "action", found[2].strip()
        position, trim = found.end(), bool(found[3])
    rest = source[position:]
    if "{{" in rest:
        raise TemplateError(f"template parsing error: unclosed action in '{source}'")
    yield "text", rest.lstrip() if trim else rest


def _nodes(items: Iterator[tuple[str, str]]) -> tuple[list[Node], str]:
    """Read nodes up to an ``end`` or ``else``, and return them with what ended them."""
    nodes: list[Node] = []
    for kind, text in items:
        if kind == "text":
            if text:
                nodes.append(_Text(text))
            continue
        keyword, _, rest = text.partition(" ")
        if keyword in _ENDS:
            return nodes, text
        if keyword in ("if", "with", "range"):
            nodes.append(_block(keyword, rest, items))
        else:
            variables, value = _declaration(text)
            nodes.append(_Output(value, variables[0] if variables else ""))
    return nodes, ""


def _block(keyword: str, text: str, items: Iterator[tuple[str, str]]) -> _Block:
    variables, value = _declaration(text)
    block = _Block(keyword, value, variables)
    block.body, end = _nodes(items)
    if end.startswith("else "):
        again, _, rest = end.removeprefix("else ").strip().partition(" ")
        block.otherwise = [_block(again, rest, items)]
        return block
    if end == "else":
        block.otherwise, end = _nodes(items)
    if end != "end":
        raise TemplateError(f"template parsing error: {{{{{keyword} {text}}}}} has no {{{{end}}}}")
    return block


def _declaration(text: str) -> tuple[list[str], Expression]:
    tokens = _tokens(text)
    signs = [token for _, token in tokens]
    variables: list[str] = []
    for sign in (":=", "="):
        if sign in signs:
            at = signs.index(sign)
            variables = [token for kind, token in tokens[:at] if kind == "variable"]
            tokens = tokens[at + 1 :]
    reader = _Reader(tokens, text)
    value = reader.pipeline()
    reader.expect_end()
    return variables, value


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise TemplateError(f"template parsing error: unexpected '{text[position:]}' in '{{{{{text}}}}}'")
        tokens.append((str(found.lastgroup), found[0].strip()))
        position = found.end()
    return tokens


class _Reader:
    """Reads one action's tokens into an expression."""

    def __init__(self, tokens: list[tuple[str, str]], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._at = 0

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise self._error(self._peek()[1])

    def _error(self, what: str) -> TemplateError:
        return TemplateError(f"template parsing error: unexpected '{what}' in '{{{{{self._text}}}}}'")

    def pipeline(self) -> Expression:
        value = self._command(None)
        while self._peek()[1] == "|":
            self._at += 1
            value = self._command(value)
        return value

    def _command(self, piped: Expression | None) -> Expression:
        """Read a function with its arguments, or a single operand."""
        kind, word = self._peek()
        if kind == "word" and word not in _CONSTANTS:
            function = FUNCTIONS.get(word)
            if function is None:
                raise TemplateError(f'template parsing error: function "{word}" not defined')
            self._at += 1
            return _call(word, function, self._arguments() + ([piped] if piped else []))
        if piped is not None:
            raise self._error(word)
        value = self._operand()
        arguments = self._arguments()
        return _method(value, word, arguments) if arguments else value

    def _arguments(self) -> list[Expression]:
        arguments = []
        while self._peek()[1] not in ("", "|", ")"):
            arguments.append(self._operand())
        return arguments

    def _operand(self) -> Expression:
        kind, token = self._peek()
        self._at += 1
        if kind == "field":
            root, *names = token.split(".")
            return _fields(_variable(root) if root else _dot, names)
        if kind == "word" and token in FUNCTIONS:
            return _call(token, FUNCTIONS[token], [])
        if token == "(":
            return self._parenthesis()
        literal = _literal(kind, token)
        if literal is None:
            raise self._error(token)
        return literal

    def _parenthesis(self) -> Expression:
        inner = self.pipeline()
        if self._peek()[1] != ")":
            raise self._error(self._peek()[1] or "end")
        self._at += 1
        if self._peek()[0] != "field":
            return inner
        names = self._peek()[1].split(".")[1:]
        self._at += 1
        return _fields(inner, names)


def _literal(kind: str, token: str) -> Expression | None:
    match kind:
        case "string":
            return _constant(_unquoted(token))
        case "raw":
            return _constant(token[1:-1])
        case "number":
            return _constant(float(token) if "." in token else int(token))
        case "dot":
            return _dot
        case "variable":
            return _variable(token)
        case _:
            return _constant(_CONSTANTS[token]) if token in _CONSTANTS else None


def _unquoted(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        raise TemplateError(f"template parsing error: invalid syntax in {token}") from None


def _dot(dot: Any, scope: Scope) -> Any:
    return dot


def _constant(value: Any) -> Expression:
    return lambda dot, scope: value


def _variable(name: str) -> Expression:
    def look_up(dot: Any, scope: Scope) -> Any:
        if name not in scope:
            raise TemplateError(f'template parsing error: undefined variable "{name}"')
        return scope[name]

    return look_up


def _fields(base: Expression, names: list[str]) -> Expression:
    def look_up(dot: Any, scope: Scope) -> Any:
        value = base(dot, scope)
        for name in names:
            if not isinstance(value, dict):
                raise TemplateError(f"template: can't evaluate field {name} in '{go_text(value)}'")
            if name not in value:
                raise TemplateError(
                    f'template: map has no entry for key "{name}"; there are: {", ".join(map(str, value)) or "none"}'
                )
            value = value[name]
        return value

    return look_up


def _call(name: str, function: Callable[..., Any], arguments: list[Expression]) -> Expression:
    def call(dot: Any, scope: Scope) -> Any:
        values = [argument(dot, scope) for argument in arguments]
        try:
            return function(*values)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            raise TemplateError(f"template: error calling {name}: {error}") from error

    return call


def _method(value: Expression, name: str, arguments: list[Expression]) -> Expression:
    """Call what a field holds, such as docker's ``.Label "name"``."""

    def call(dot: Any, scope: Scope) -> Any:
        method = value(dot, scope)
        if not callable(method):
            raise TemplateError(f"template: {name} has arguments but cannot be called")
        return method(*(argument(dot, scope) for argument in arguments))

    return call
