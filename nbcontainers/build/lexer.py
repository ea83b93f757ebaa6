"""From a Dockerfile's text to logical lines: continuations joined, comments and blank lines left out.

Source: Dockerfile reference § Format, § Parser directives.
"""

import re
from dataclasses import dataclass

from nbcontainers.errors import DockerfileError

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_ESCAPES = ("\\", "`")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalLine:
    """One instruction's text, and the line it begins at, from 1, with its source there."""

    text: str
    line: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexed:
    """A Dockerfile's logical lines and its escape character."""

    lines: list[LogicalLine]
    escape: str


def lex(text: str) -> Lexed:
    """Split a Dockerfile into logical lines.

    Raises:
        DockerfileError: A directive is wrong, or an instruction has no end.
    """
    physical = text.removeprefix("\ufeff").splitlines()
    escape, first = _directives(physical)
    lines: list[LogicalLine] = []
    begun = 0
    parts: list[str] = []
    for number, line in enumerate(physical[first:], first + 1):
        stripped = line.strip()
        if stripped.startswith("#") or (not stripped and not parts):
            continue
        if not parts:
            begun = number
        content = line.rstrip()
        if content.endswith(escape):
            parts.append(content[:-1])
            continue
        if not stripped:
            continue  # a blank line within an instruction; deprecated by Docker, and still taken
        parts.append(content)
        lines.append(_joined(parts, begun, physical))
        parts = []
    if parts:
        lines.append(_joined(parts, begun, physical))
    if not lines:
        raise DockerfileError("file with no instructions", 1)
    return Lexed(lines=lines, escape=escape)


def _joined(parts: list[str], begun: int, physical: list[str]) -> LogicalLine:
    return LogicalLine(text="".join(parts).strip(), line=begun, source=physical[begun - 1])


def _directives(physical: list[str]) -> tuple[str, int]:
    """Read the directives at the top; returns the escape character and the number of lines they take."""
    escape, seen = "\\", set()
    for number, line in enumerate(physical):
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None or match[1].lower() not in ("escape", "syntax", "check"):
            return escape, number
        name, value = match[1].lower(), match[2]
        if name in seen:
            raise DockerfileError(f"only one {name} parser directive can be used", number + 1, source=line)
        seen.add(name)
        if name == "escape":
            if value not in _ESCAPES:
                raise DockerfileError(f"invalid escape token '{value}' does not match ` or \\", number + 1, source=line)
            escape = value
    return escape, len(physical)
