"""Variables and quotes in instructions, as a POSIX shell reads a word, with what Dockerfiles leave out of it.

A word is read once, from left to right: quotes group, the escape character takes a character's meaning, ``$`` begins
a variable. Two results come of it: the text with everything replaced, and the words that it falls into at blanks
outside of quotes; blanks that a variable's value brings along split as well, as in a shell.

    ${a}      its value                     ${a:-w} ${a-w}  w when it is unset (with the colon: or empty)
    ${a:+w} ${a+w}  w when it is set        ${a:?m} ${a?m}  an error with the message m when it is unset
    ${a#p} ${a##p}  without the shortest or longest prefix that fits the pattern p; % and %% are for suffixes
    ${a/p/w} ${a//p/w}  the first, or every, match of p replaced by w

Source: Dockerfile reference § Environment replacement; POSIX.1-2017, Shell Command Language § 2.6.2, § 2.13.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_SPECIAL = frozenset("@*#?-$!0")
_END = ""


class ExpansionError(ValueError):
    """A quote or brace is not closed, a modifier is not known, or ``${name:?message}`` has found nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How much of a word's own form is kept.

    Args:
        raw_quotes: Leave the quotes where they are.
        raw_escapes: Leave the escape characters where they are.
        keep_unset: Leave a variable that is not set as it is written.
        ignore_quotes: Quotes are characters like any other.
    """

    raw_quotes: bool = False
    raw_escapes: bool = False
    keep_unset: bool = False
    ignore_quotes: bool = False


PLAIN = Style()


@dataclass(slots=True)
class Expansion:
    """What a word became: its text, the words it fell into, and the variables that were not set."""

    text: str = ""
    words: list[str] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)


def expand(text: str, variables: Mapping[str, str], escape: str = "\\", style: Style = PLAIN) -> str:
    """Return a text with its variables replaced and, in the plain style, its quotes and escapes taken away.

    Raises:
        ExpansionError: See there.
    """
    return process(text, variables, escape, style).text


def split(text: str, variables: Mapping[str, str], escape: str = "\\", style: Style = PLAIN) -> list[str]:
    """Return the words that a text falls into, its variables replaced before.

    Raises:
        ExpansionError: See there.
    """
    return process(text, variables, escape, style).words


def process(text: str, variables: Mapping[str, str], escape: str = "\\", style: Style = PLAIN) -> Expansion:
    """Return all that there is to say about a text.

    Raises:
        ExpansionError: See there.
    """
    reader = _Reader(text, variables, escape, style)
    pieces = reader.read_until(_END, raw_escapes=style.raw_escapes)
    return Expansion(pieces.text(), pieces.words(), reader.unset)


class _Pieces:
    """The parts of a text, each with whether the blanks in it split words."""

    def __init__(self) -> None:
        self._pieces: list[tuple[str, bool]] = []

    def add(self, text: str, *, splits: bool) -> None:
        self._pieces.append((text, splits))

    def text(self) -> str:
        return "".join(text for text, _ in self._pieces)

    def words(self) -> list[str]:
        words, current = [], ""
        for text, splits in self._pieces:
            if not splits:
                current += text
                continue
            for character in text:
                if not character.isspace():
                    current += character
                elif current:
                    words.append(current)
                    current = ""
        return [*words, current] if current else words


class _Reader:
    """Reads one text, from left to right."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str, style: Style) -> None:
        self._text = text
        self._at = 0
        self._variables = variables
        self._escape = escape
        self._style = style
        self.unset: list[str] = []

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        self._at += len(character)
        return character

    def read_until(self, stop: str, *, raw_escapes: bool) -> _Pieces:
        """Read up to a character outside of quotes, which is taken as well, or to the end."""
        pieces = _Pieces()
        while character := self._peek():
            if stop and character == stop:
                self._next()
                return pieces
            if character in "'\"" and not self._style.ignore_quotes:
                pieces.add(self._quoted(character, raw_escapes=raw_escapes), splits=False)
            elif character == "$":
                pieces.add(self._variable(), splits=True)
            elif character == "<":
                pieces.add(self._redirection(), splits=False)
            elif character == self._escape:
                pieces.add(self._escaped(raw_escapes=raw_escapes), splits=False)
            else:
                pieces.add(self._next(), splits=True)
        if stop:
            raise ExpansionError(f"unexpected end of statement while looking for matching {stop}")
        return pieces

    def _escaped(self, *, raw_escapes: bool) -> str:
        """Take an escape character with the one after it; at the end of the text it stands for nothing."""
        escape = self._next()
        return (escape if raw_escapes else "") + self._next()

    def _redirection(self) -> str:
        """Take ``<<`` with the blanks after it, so that a here-document's mark stays one word."""
        taken = self._next()
        if self._peek() != "<":
            return taken
        taken += self._next()
        while (blank := self._peek()) and blank in " \t\r":
            taken += self._next()
        return taken

    def _quoted(self, quote: str, *, raw_escapes: bool) -> str:
        kept = self._next() if self._style.raw_quotes else self._next()[:0]
        name = "single" if quote == "'" else "double"
        taken = ""
        while character := self._peek():
            if character == quote:
                self._next()
                return kept + taken + kept
            if quote == '"' and character == "$":
                taken += self._variable()
            elif quote == '"' and character == self._escape:
                taken += self._escaped_in_quotes(raw_escapes=raw_escapes)
            else:
                taken += self._next()
        raise ExpansionError(f"unexpected end of statement while looking for matching {name}-quote")

    def _escaped_in_quotes(self, *, raw_escapes: bool) -> str:
        """In double quotes only a quote, a dollar sign and the escape character itself can be escaped."""
        escape = self._next()
        following = self._peek()
        if not following:
            return escape if raw_escapes else ""
        if following in ('"', "$", self._escape):
            return (escape if raw_escapes else "") + self._next()
        return escape + (escape if raw_escapes else "")

    def _variable(self) -> str:
        self._next()
        if self._peek() != "{":
            name = self._name()
            value = self._value(name) if name else "$"
            return f"${name}" if value is None and self._style.keep_unset else value or ""
        self._next()
        if not self._peek():
            raise ExpansionError("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise ExpansionError("syntax error: bad substitution")
        name = self._name()
        operator = self._next()
        if operator == "}":
            value = self._value(name)
            return f"${{{name}}}" if value is None and self._style.keep_unset else value or ""
        if operator == "/":
            return self._replaced(name)
        colon = ""
        if operator == ":":
            colon, operator = ":", self._next()
        if not operator or operator not in ("-+?" if colon else "-+?#%"):
            raise ExpansionError(f"unsupported modifier ({colon}{operator}) in substitution")
        return self._modified(name, colon, operator)

    def _name(self) -> str:
        """Take a variable's name: a word, a number, or one of the shell's special parameters."""
        first = self._peek()
        if first.isdecimal():
            begin = self._at
            while self._peek().isdecimal():
                self._next()
            return self._text[begin : self._at]
        if first and first in _SPECIAL:
            return self._next()
        begin = self._at
        while (character := self._peek()).isalpha() or character.isdecimal() or character == "_":
            self._next()
        return self._text[begin : self._at]

    def _value(self, name: str) -> str | None:
        value = self._variables.get(name)
        if value is None:
            self.unset.append(name)
        return value

    def _operand(self, stop: str, *, raw_escapes: bool) -> str:
        try:
            return self.read_until(stop, raw_escapes=raw_escapes).text()
        except ExpansionError:
            if not self._peek():
                raise ExpansionError(f"syntax error: missing '{stop}'") from None
            raise

    def _modified(self, name: str, colon: str, operator: str) -> str:
        word = self._operand("}", raw_escapes=operator in "#%")
        value = self._value(name)
        if value is None and self._style.keep_unset:
            return f"${{{name}{colon}{operator}{word}}}"
        missing = value is None or (bool(colon) and not value)
        if operator == "-":
            return word if missing else value or ""
        if operator == "+":
            return "" if missing else word
        if operator == "?":
            if missing:
                default = f"is not allowed to be {'unset' if value is None else 'empty'}"
                raise ExpansionError(f"{name}: {word or default}")
            return value or ""
        longest = word.startswith(operator)
        return _trimmed(value or "", word[longest:], suffix=operator == "%", longest=longest)

    def _replaced(self, name: str) -> str:
        everywhere = self._peek() == "/"
        if everywhere:
            self._next()
        pattern = self._operand("/", raw_escapes=True)
        replacement = self._operand("}", raw_escapes=True)
        value = self._value(name)
        if value is None and self._style.keep_unset:
            return f"${{{name}{'//' if everywhere else '/'}{pattern}/{replacement}}}"
        return _substituted(value or "", _regex(pattern), replacement, everywhere=everywhere)


def _regex(pattern: str) -> "re.Pattern[str]":
    """Translate a shell pattern: ``*``, ``?``, and escapes of these; the longest match.

    Raises:
        ExpansionError: Something else is escaped.
    """
    regex, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character in "*?":
            regex += ".*" if character == "*" else "."
        elif character != "\\":
            regex += re.escape(character)
        elif pattern[at : at + 1] not in ("}", "/"):  # there the escape is the braces', not the pattern's
            escaped = pattern[at : at + 1]
            at += 1
            if escaped not in ("*", "?", "\\"):
                raise ExpansionError(f"invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")
            regex += re.escape(escaped)
    return re.compile(regex)


def _trimmed(value: str, pattern: str, *, suffix: bool, longest: bool) -> str:
    regex = _regex(pattern)
    cuts = range(len(value) + 1)
    for cut in cuts if suffix == longest else reversed(cuts):
        if regex.fullmatch(value[cut:] if suffix else value[:cut]):
            return value[:cut] if suffix else value[cut:]
    return value


def _substituted(value: str, regex: "re.Pattern[str]", replacement: str, *, everywhere: bool) -> str:
    result, end = "", 0
    for match in regex.finditer(value):
        if match.start() == match.end() == end and match.start() > 0 and result:
            continue  # nothing, right after a match: it has no place of its own
        result += value[end : match.start()] + replacement
        end = match.end()
        if not everywhere:
            break
    return result + value[end:]
