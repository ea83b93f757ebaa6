r"""Ignore patterns: which files of a context a build does not see.

A pattern is matched against a path and against each directory above it; the last pattern that fits decides, and one
with ``!`` lets files back in.

    *      any characters but /        ?  one of them          [a-z] [^a-z]  one of a set, or none of it
    **     any number of directories, also none                \x  the character x itself

Source: Dockerfile reference § .dockerignore file; moby/patternmatcher, which defines the odd cases; Go, package
path/filepath § Match, for which patterns are malformed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from posixpath import normpath

from nbcontainers.errors import InvalidArgument


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One pattern: what it matches, as an expression, and whether it lets files back in."""

    text: str
    regex: "re.Pattern[str]"
    is_exception: bool


class Matcher:
    """Says whether a path is ignored.

    Args:
        patterns: As in the lines of a .dockerignore file, comments and empty ones left out.

    Raises:
        InvalidArgument: A pattern is malformed.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        stripped = [pattern.strip() for pattern in patterns]
        self.patterns = [_pattern(_clean(pattern)) for pattern in stripped if pattern]

    @property
    def has_exceptions(self) -> bool:
        """Say whether something in an ignored directory may be let back in."""
        return any(pattern.is_exception for pattern in self.patterns)

    @property
    def hides_all(self) -> bool:
        """Say whether a pattern fits whatever there is."""
        return any(pattern.text in ("*", "**", "**/*") for pattern in self.patterns if not pattern.is_exception)

    def matches(self, path: str) -> bool:
        """Say whether a path, relative and with slashes, is ignored, by itself or by a directory above it."""
        return self.ignored_below(path, self._above(path))[0]

    def _above(self, path: str) -> tuple[bool, ...]:
        fits = (False,) * len(self.patterns)
        parts = path.split("/")
        for depth in range(1, len(parts)):
            fits = self.ignored_below("/".join(parts[:depth]), fits)[1]
        return fits

    def ignored_below(self, path: str, above: tuple[bool, ...] = ()) -> tuple[bool, tuple[bool, ...]]:
        """Say whether a path is ignored, when it is known which patterns fit the directory that it is in.

        Args:
            path: Relative to the context.
            above: What this function has returned for the directory; nothing for the context itself.

        Returns:
            Whether it is ignored, and which patterns fit.
        """
        ignored = False
        fits: list[bool] = []
        for number, pattern in enumerate(self.patterns):
            fit = (bool(above) and above[number]) or pattern.regex.match(path) is not None
            fits.append(fit)
            if fit:
                ignored = not pattern.is_exception
        return ignored, tuple(fits)


def read(text: str) -> list[str]:
    """Return the patterns in the text of a .dockerignore file."""
    patterns = []
    for line in text.removeprefix("\ufeff").splitlines():
        pattern = line.strip()
        if line.startswith("#") or not pattern:
            continue
        exception = "!" if pattern.startswith("!") else ""
        pattern = pattern.removeprefix("!").strip()
        if pattern:
            pattern = _clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
        patterns.append(exception + pattern)
    return patterns


def _clean(path: str) -> str:
    """Return the shortest path that means the same; two slashes at the beginning are one."""
    cleaned = normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _pattern(text: str) -> Pattern:
    is_exception = text.startswith("!")
    text = text.removeprefix("!")
    if not text:
        raise InvalidArgument('illegal exclusion pattern: "!"')
    check_syntax(text)
    try:
        return Pattern(text=text, regex=translate(text), is_exception=is_exception)
    except re.error as error:  # a range in a set that ends before it begins
        raise InvalidArgument(f"syntax error in pattern '{text}': {error.msg}") from error


def check_syntax(pattern: str) -> None:
    """Refuse a pattern whose brackets or escapes have no end.

    Raises:
        InvalidArgument: It is malformed.
    """
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
            if at == len(pattern):
                raise InvalidArgument(f"syntax error in pattern '{pattern}': a character is to follow the '\\'")
        elif pattern[at] == "[":
            at = _end_of_set(pattern, at + 1)
        at += 1


def _end_of_set(pattern: str, at: int) -> int:
    """Return where a set that begins before ``at`` ends."""
    if pattern.startswith("^", at):
        at += 1
    first = True
    while at < len(pattern) and (first or pattern[at] != "]"):
        at = _end_of_member(pattern, at)
        if pattern.startswith("-", at):
            at = _end_of_member(pattern, at + 1)
        first = False
    if at >= len(pattern):
        raise InvalidArgument(f"syntax error in pattern '{pattern}': a ']' is missing")
    return at


def _end_of_member(pattern: str, at: int) -> int:
    if at < len(pattern) and pattern[at] == "\\":
        at += 1
    elif at < len(pattern) and pattern[at] in "-]":
        raise InvalidArgument(f"syntax error in pattern '{pattern}': a set cannot hold a bare '{pattern[at]}'")
    if at >= len(pattern):
        raise InvalidArgument(f"syntax error in pattern '{pattern}': a ']' is missing")
    return at + 1


_TOKEN = re.compile(r"\*\*/?|\*|\?|\\.|\[\^?(?:\\.|[^\]\\])(?:\\.|[^\]\\])*\]|.", re.DOTALL)


def translate(pattern: str) -> "re.Pattern[str]":
    """Return an expression for what a pattern matches, one that is not malformed."""
    regex = ""
    tokens = _TOKEN.findall(pattern)
    for number, token in enumerate(tokens):
        if token.startswith("**"):
            last = number == len(tokens) - 1
            # "**name" is any path that ends so; with another special character in it, only a whole name.
            free = number == 0 and token == "**" and not any(len(other) > 1 or other in "*?" for other in tokens[1:])
            regex += ".*" if last or free else "(?:.*/)?"
        elif token == "*":
            regex += "[^/]*"
        elif token == "?":
            regex += "[^/]"
        elif token.startswith("["):
            regex += _set(token)
        else:
            regex += re.escape(token[1:] if token.startswith("\\") else token)
    return re.compile(rf"{regex}\Z", re.DOTALL)


def _set(token: str) -> str:
    """Translate a set; Python gives a few more characters a meaning in it."""
    inner = token[1:-1]
    negated = inner.startswith("^")
    inner = inner[1:] if negated else inner
    parts = re.findall(r"\\.|.", inner, re.DOTALL)
    members = "".join("-" if part == "-" else re.escape(part[-1]) for part in parts)
    return f"[{'^' if negated else ''}{members}]"
