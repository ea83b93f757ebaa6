"""Permissions as ``--chmod`` takes them: octal, or symbolic as in ``chmod(1)``: ``u=rwX,go=rX``, ``a+x``.

Source: Dockerfile reference § COPY --chmod; POSIX.1-2017, chmod.
"""

import re
import stat
from collections.abc import Callable

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_HIGHEST = 0o7777

Change = Callable[[int], int]


def parse(text: str) -> Change:
    """Return what a mode makes of the mode that a file has (``st_mode``).

    Raises:
        ValueError: It is neither octal nor symbolic.
    """
    if text.isdecimal():
        if not re.fullmatch("[0-7]+", text) or int(text, 8) > _HIGHEST:
            raise ValueError(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")
        octal = int(text, 8)
        return lambda _: octal
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    if not text or not all(clauses):
        raise ValueError(f"invalid chmod parameter: '{text}': such as 755 or u=rwX,go=rX is wanted")
    changes = [
        (match[1] or "a", operator, what)
        for match in clauses
        if match is not None
        for operator, what in _ACTION.findall(match[2])
    ]

    def change(mode: int) -> int:
        for who, operator, what in changes:
            mode = _changed(mode, who.replace("a", "ugo"), operator, what)
        return stat.S_IMODE(mode)

    return change


def _changed(mode: int, who: str, operator: str, what: str) -> int:
    bits = mask = 0
    for one in set(who):
        shift = _SHIFTS[one]
        mask |= 7 << shift
        if what and what in "ugo":
            bits |= (mode >> _SHIFTS[what] & 7) << shift
            continue
        for letter in what:
            bits |= _BITS.get(letter, 0) << shift
        if "X" in what and (stat.S_ISDIR(mode) or mode & 0o111):
            bits |= 1 << shift
        if "s" in what and one in "ug":
            bits |= stat.S_ISUID if one == "u" else stat.S_ISGID
    if "t" in what:
        bits |= stat.S_ISVTX
    if operator == "+":
        return mode | bits
    return mode & ~bits if operator == "-" else (mode & ~mask) | bits
