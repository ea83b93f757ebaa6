"""How one line of a Dockerfile falls into parts: keyword, flags and the rest; words; JSON lists.

Nothing is replaced here, and quotes stay where they are: that is for later, when the variables are known.

Source: Dockerfile reference § Format, § Shell and exec form, § Environment replacement.
"""

import json
import re
from typing import NoReturn

BLANKS = re.compile(r"[\t\v\f\r ]+")


class FormError(ValueError):
    """The line has not the form that its instruction wants; ``at`` is the word to blame, or empty."""

    def __init__(self, message: str, at: str = "") -> None:
        self.at = at
        super().__init__(message)


def split_instruction(line: str, escape: str) -> tuple[str, list[str], str]:
    """Return an instruction's keyword as it is written, its flags with their dashes, and what follows them."""
    keyword, *rest = BLANKS.split(line.strip(), maxsplit=1)
    if not rest:
        return keyword, [], ""
    flags, arguments = _split_flags(rest[0], escape)
    return keyword, flags, arguments.strip()


def _split_flags(text: str, escape: str) -> tuple[list[str], str]:
    """Take words that begin with two dashes from the front; a lone ``--`` ends them."""
    flags: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith("--", at):
            return flags, text[at:]
        word, at = _flag(text, at, escape)
        if word == "--":
            return flags, text[at:]
        flags.append(word)


def _flag(text: str, at: int, escape: str) -> tuple[str, int]:
    """Return one flag, its quotes and escapes resolved, and where it ends."""
    word, quote = "", ""
    while at < len(text):
        character = text[at]
        if not quote and character.isspace():
            break
        if character == quote or (not quote and character in "'\""):
            quote = "" if quote else character
        elif character == escape:
            at += 1
            word += text[at : at + 1]
        else:
            word += character
        at += 1
    return word, at


def split_words(text: str, escape: str) -> list[str]:
    """Split at blanks outside of quotes; quotes and escapes stay in the words."""
    words: list[str] = []
    word: str | None = None
    quote, at = "", 0
    while at < len(text):
        character = text[at]
        at += 1
        if not quote and character.isspace():
            if word is not None:
                words.append(word)
            word = None
            continue
        if character == escape and quote != "'":
            if at == len(text):
                break  # at the end it stands for nothing
            character += text[at]
            at += 1
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        word = (word or "") + character
    return words if word is None else [*words, word]


def json_list(text: str) -> list[str] | None:
    """Return a JSON list of strings, or None for what is no JSON list at all.

    Raises:
        FormError: It is a list, but not of strings alone.
    """
    text = text.strip()
    if not text.startswith("["):
        return None
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return None
    except RecursionError:
        values = [None]
    if not all(isinstance(value, str) for value in values):
        raise FormError("when using JSON array syntax, arrays must be comprised of strings only")
    return list(values)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and the infinities are Python's own
