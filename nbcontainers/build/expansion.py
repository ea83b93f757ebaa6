"""Variables in instructions: ``$name``, ``${name}``, ``${name:-word}``, ``${name:+word}``, and quotes.

Source: Dockerfile reference § Environment replacement.
"""

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ExpansionError(ValueError):
    """A variable's braces are not closed, or hold what is not known."""


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Replace variables, keeping quotes as they stand.

    Args:
        text: What to look at.
        variables: Their values; one that is not there is empty.
        escape: Takes the meaning of the character after it.

    Raises:
        ExpansionError: See there.
    """
    return "".join(_pieces(text, variables, escape, keep_quotes=True))


def split(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Split at blanks outside of quotes, replace variables, and remove the quotes.

    Raises:
        ExpansionError: See there.
    """
    words: list[str] = []
    current: list[str] | None = None
    quote, position = "", 0
    while position < len(text):
        character = text[position]
        if character.isspace() and not quote:
            if current is not None:
                words.append("".join(_pieces("".join(current), variables, escape, keep_quotes=False)))
            current, position = None, position + 1
            continue
        current = current or []
        if character == escape and quote != "'" and position + 1 < len(text):
            current.append(text[position : position + 2])
            position += 2
            continue
        if character in "\"'" and quote in ("", character):
            quote = "" if quote else character
        current.append(character)
        position += 1
    if quote:
        raise ExpansionError(f"unexpected end of statement while looking for matching {quote}")
    if current is not None:
        words.append("".join(_pieces("".join(current), variables, escape, keep_quotes=False)))
    return words


def _pieces(text: str, variables: Mapping[str, str], escape: str, *, keep_quotes: bool) -> list[str]:
    pieces: list[str] = []
    quote, position = "", 0
    while position < len(text):
        character = text[position]
        if character == escape and quote != "'" and position + 1 < len(text):
            following = text[position + 1]
            plain = following in ('"', "$", escape) or not quote
            pieces.append(following if (plain and not keep_quotes) or following == "$" else character + following)
            position += 2
        elif character in "\"'" and quote in ("", character):
            quote = "" if quote else character
            pieces.append(character if keep_quotes else "")
            position += 1
        elif character == "$" and quote != "'":
            value, position = _variable(text, position + 1, variables, escape)
            pieces.append(value)
        else:
            pieces.append(character)
            position += 1
    return pieces


def _variable(text: str, position: int, variables: Mapping[str, str], escape: str) -> tuple[str, int]:
    """Return the value of the variable that begins after a dollar sign, and the position after it."""
    if position < len(text) and text[position] == "{":
        return _braced(text, position + 1, variables, escape)
    match = _NAME.match(text, position)
    if match is None:
        return "$", position
    return variables.get(match[0], ""), match.end()


def _braced(text: str, position: int, variables: Mapping[str, str], escape: str) -> tuple[str, int]:
    match = _NAME.match(text, position)
    if match is None:
        raise ExpansionError(f"bad substitution: '{text[position - 2 :]}'")
    end = _closing(text, match.end(), escape)
    modifier = text[match.end() : end]
    value = variables.get(match[0])
    if not modifier:
        return value or "", end + 1
    colon = modifier.startswith(":")
    operator, word = modifier[colon : colon + 1], expand(modifier[colon + 1 :], variables, escape)
    present = bool(value) if colon else value is not None
    if operator == "-":
        return (value or "") if present else word, end + 1
    if operator == "+":
        return word if present else "", end + 1
    if operator == "?":
        if not present:
            raise ExpansionError(f"{match[0]}: {word or 'not set'}")
        return value or "", end + 1
    raise ExpansionError(f"unsupported modifier ({modifier[:2]}) in substitution of '{match[0]}'")


def _closing(text: str, position: int, escape: str) -> int:
    """Return the position of the brace that closes the one before ``position``."""
    depth = 1
    while position < len(text):
        if text[position] == escape:
            position += 2
            continue
        depth += text.startswith("${", position)
        depth -= text[position] == "}"
        if depth == 0:
            return position
        position += 1
    raise ExpansionError("syntax error: missing '}'")
