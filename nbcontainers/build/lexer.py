"""From a Dockerfile's text to logical lines: continuations joined, comments left out, here-documents attached.

Source: Dockerfile reference § Format, § Parser directives, § Here-Documents.
"""

import re
from dataclasses import dataclass

from nbcontainers.build.expansion import ExpansionError
from nbcontainers.build.heredocs import Heredoc, announced
from nbcontainers.errors import DockerfileError

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_KNOWN_DIRECTIVES = ("syntax", "escape", "check")
_ESCAPES = ("\\", "`")
_LONGEST_LINE_BYTES = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalLine:
    """One instruction's text.

    Args:
        text: Its lines, joined.
        line: The number of the first one, from 1.
        source: All its lines as they stand in the file, those of its here-documents as well.
        comments: The comments right above it, without their ``#``.
        heredocs: What follows it.
        gap_ends: The number of the line after an empty one among its lines, which Docker deprecates, or 0.
    """

    text: str
    line: int
    source: tuple[str, ...]
    comments: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    gap_ends: int = 0

    def error(self, message: str, at: str = "") -> DockerfileError:
        """Return an error at the first place of ``at`` in these lines, or at their beginning."""
        for number, line in enumerate(self.source if at else ()):
            if (found := line.find(at)) >= 0:
                return DockerfileError(message, self.line + number, found + 1, line)
        first = self.source[0]
        return DockerfileError(message, self.line, len(first) - len(first.lstrip()) + 1, first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexed:
    """A Dockerfile's logical lines, its escape character, and what its directives say."""

    lines: list[LogicalLine]
    escape: str
    directives: dict[str, str]


def lex(text: str) -> Lexed:
    """Split a Dockerfile into logical lines.

    Raises:
        DockerfileError: A directive is wrong, a line is too long, a here-document has no end, or there is no
            instruction.
    """
    physical = text.removeprefix("\ufeff").split("\n")
    _check_lengths(physical)
    directives, first = _directives(physical)
    lexer = _Lexer(physical if physical[-1] else physical[:-1], first, directives.get("escape", "\\"))
    lines = lexer.lines()
    if not lines:
        raise DockerfileError("file with no instructions", max(1, len(physical) - 1))
    return Lexed(lines=lines, escape=lexer.escape, directives=directives)


def _check_lengths(physical: list[str]) -> None:
    """Refuse a line that BuildKit would not read either."""
    for number, line in enumerate(physical, 1):
        if len(line) > _LONGEST_LINE_BYTES // 4 and len(line.encode("utf-8", "surrogateescape")) > _LONGEST_LINE_BYTES:
            raise DockerfileError(f"dockerfile line greater than max allowed size of {_LONGEST_LINE_BYTES}", number)


def _directives(physical: list[str]) -> tuple[dict[str, str], int]:
    """Read the directives at the top; returns them, and the number of lines they take."""
    found: dict[str, str] = {}
    for number, line in enumerate(physical):
        match = _DIRECTIVE.fullmatch(line.strip())
        name = match[1].lower() if match else ""
        if match is None or name not in _KNOWN_DIRECTIVES:
            return found, number
        if name in found:
            raise DockerfileError(f"only one {name} parser directive can be used", number + 1, source=line)
        found[name] = match[2]
        if name == "escape" and match[2] not in _ESCAPES:
            message = f"invalid escape token '{match[2]}' does not match ` or \\"
            raise DockerfileError(message, number + 1, line.find(match[2]) + 1, line)
    return found, len(physical)


class _Lexer:
    """Walks through the physical lines."""

    def __init__(self, physical: list[str], first: int, escape: str) -> None:
        self._physical = physical
        self._at = first
        self.escape = escape
        # The escape character ends a line only when it is not escaped itself.
        self._continues = re.compile(rf"(^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*$")

    def lines(self) -> list[LogicalLine]:
        """Return all logical lines."""
        found: list[LogicalLine] = []
        comments: list[str] = []
        while self._at < len(self._physical):
            line = self._physical[self._at].strip()
            if line.startswith("#"):
                comment = line[1:].strip()
                comments = [*comments, comment] if comment else []
                self._at += 1
            elif not line:
                comments = []
                self._at += 1
            elif (logical := self._logical_line(tuple(comments))) is not None:
                found.append(logical)
                comments = []
        return found

    def _logical_line(self, comments: tuple[str, ...]) -> LogicalLine | None:
        begin = self._at
        text, gap_ends = self._joined()
        if not text.strip():
            return None
        line = LogicalLine(text=text, line=begin + 1, source=tuple(self._physical[begin : self._at]))
        try:
            wanted = announced(text, self.escape)
        except ExpansionError as error:
            raise line.error(str(error), "<<") from error
        heredocs = tuple(self._heredoc(line, heredoc) for heredoc in wanted)
        return LogicalLine(
            text=text,
            line=line.line,
            source=tuple(self._physical[begin : self._at]),
            comments=comments,
            heredocs=heredocs,
            gap_ends=gap_ends,
        )

    def _joined(self) -> tuple[str, int]:
        """Take one instruction's lines; returns them, and the number of the last one if an empty one is among them."""
        content, ends = self._take(self._physical[self._at].lstrip())
        has_gap = False
        while not ends and self._at < len(self._physical):
            line = self._physical[self._at]
            if line.lstrip().startswith("#"):
                self._at += 1
            elif not line.strip():
                self._at += 1
                has_gap = True
            else:
                more, ends = self._take(line)
                content += more
        return content, self._at if has_gap else 0

    def _take(self, line: str) -> tuple[str, bool]:
        """Take one line; returns it without its continuation character, and whether the instruction ends there."""
        self._at += 1
        line = line.rstrip("\r\n")
        content = self._continues.sub(r"\1", line)
        return content, content == line

    def _heredoc(self, line: LogicalLine, heredoc: Heredoc) -> Heredoc:
        content: list[str] = []
        while self._at < len(self._physical):
            text = self._physical[self._at]
            self._at += 1
            bare = text.rstrip("\r\n")
            if (bare.lstrip("\t") if heredoc.chomps else bare) == heredoc.name:
                return Heredoc(
                    name=heredoc.name,
                    expands=heredoc.expands,
                    chomps=heredoc.chomps,
                    fd=heredoc.fd,
                    content="".join(content),
                )
            content.append(f"{text}\n")
        raise line.error(f"unterminated heredoc: there is no line '{heredoc.name}'", "<<")
