"""Here-documents: lines that follow an instruction and belong to it, up to the line that their mark names.

Source: Dockerfile reference § Here-Documents.
"""

import re
from dataclasses import dataclass

from nbcontainers.build.expansion import ExpansionError, Style, split
from nbcontainers.build.splitting import FormError, json_list, split_instruction

_MARK = re.compile(r"(\d*)<<(-?)\s*([^<]*)")
_TABS = re.compile(r"^\t+", re.MULTILINE)
_TAKERS = ("ADD", "COPY", "RUN")
_AS_WRITTEN = Style(raw_quotes=True, raw_escapes=True, keep_unset=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """One here-document.

    Args:
        name: The mark, and the line that ends it.
        expands: Its variables are to be replaced: no part of the mark was quoted.
        chomps: Tabs at the beginning of its lines do not count (``<<-``).
        fd: The number before ``<<``, 0 for none.
        content: Its lines, as they stand in the file.
    """

    name: str
    expands: bool
    chomps: bool
    fd: int = 0
    content: str = ""

    @property
    def text(self) -> str:
        """The content as it is meant."""
        return _TABS.sub("", self.content) if self.chomps else self.content


def mark(word: str) -> Heredoc | None:
    """Return the here-document that a word such as ``<<-"EOF"`` announces, still empty, or None.

    Raises:
        ExpansionError: Its quotes do not fit.
    """
    match = _MARK.fullmatch(word)
    if match is None or not match[3]:
        return None
    plain = split(match[3], {}, style=Style(keep_unset=True))
    raw = split(match[3], {}, style=Style(raw_quotes=True, keep_unset=True))
    if len(plain) != 1 or len(raw) != 1:
        return None
    quoted = _quotes(raw[0]) != _quotes(plain[0])
    return Heredoc(name=plain[0], expands=not quoted, chomps=match[2] == "-", fd=int(match[1] or 0))


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')


def announced(line: str, escape: str) -> list[Heredoc]:
    """Return the here-documents that an instruction announces, in the order in which they follow.

    Raises:
        ExpansionError: The quotes of a mark do not fit.
    """
    if "<<" not in line or not _may_have_some(line, escape):
        return []
    try:
        words = split(line, {}, style=_AS_WRITTEN)
    except ExpansionError:
        return []
    return [found for word in words if (found := mark(word)) is not None]


def _may_have_some(line: str, escape: str) -> bool:
    keyword, _, rest = split_instruction(line, escape)
    if keyword.upper() == "ONBUILD":
        keyword, _, rest = split_instruction(rest, escape)
    try:
        return keyword.upper() in _TAKERS and json_list(rest) is None
    except FormError:
        return False
