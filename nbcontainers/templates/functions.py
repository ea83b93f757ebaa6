"""What templates can call, and how Go prints what they yield.

Source: Go standard library, text/template § Functions, fmt § Printing; Docker documentation, "Format command and log
output".
"""

import json as _json
import re
from collections.abc import Callable
from typing import Any

WIDEST = 10**6  # what Go's fmt pads to at most
_VERB = re.compile(r"%([-+0 #]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")


def go_text(value: Any) -> str:
    """Return a value as Go's ``%v`` prints it."""
    match value:
        case None:
            return "<no value>"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case dict():
            return f"map[{' '.join(f'{key}:{_nested(value[key])}' for key in sorted(value))}]"
        case list() | tuple():
            return f"[{' '.join(_nested(item) for item in value)}]"
        case _:
            return str(value)


def _nested(value: Any) -> str:
    return "<nil>" if value is None else go_text(value)


def truth(value: Any) -> bool:
    """Say whether ``if`` takes a value for true: what is not empty and not zero."""
    return bool(value)


def to_json(value: Any) -> str:
    """Return a value as Go's encoder writes it: no spaces."""
    return _json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Leave out what is a method: a row's ``Label`` is no field of its JSON."""
    return {key: item for key, item in value.items() if not callable(item)} if isinstance(value, dict) else value


def _printf(pattern: str, *values: Any) -> str:
    remaining = list(values)

    def verb(found: re.Match[str]) -> str:
        flags, width, precision, letter = found.groups()
        _check_widths(int(width or 0), int(precision or 0))
        if letter == "%":
            return "%"
        if not remaining:
            return f"%!{letter}(MISSING)"
        value = remaining.pop(0)
        if letter in "dxXoeEfgGc" and not isinstance(value, str):
            text = str(f"%{flags}{width or ''}{'.' + precision if precision else ''}{letter}" % value)
        elif letter == "q":
            text = _json.dumps(go_text(value), ensure_ascii=False)
        else:
            text = go_text(value)[: int(precision) if precision else None]
        room = int(width or 0)
        return text.ljust(room) if "-" in flags else text.rjust(room)

    return _VERB.sub(verb, pattern)


def _check_widths(*widths: int) -> None:
    if max(widths) > WIDEST:
        raise ValueError(f"{max(widths)} is wider than {WIDEST}")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key, "") if isinstance(value, dict) else value[key]
    return value


def _slice(value: Any, begin: int = 0, end: int | None = None) -> Any:
    return value[begin:end]


def _equal(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _print(*values: Any) -> str:
    return "".join(map(go_text, values))


def _pad(text: str, before: int, after: int) -> str:
    _check_widths(before, after)
    return " " * before + text + " " * after if text else text


def _lower(text: str) -> str:
    return text.lower()


def _upper(text: str) -> str:
    return text.upper()


def _title(text: str) -> str:
    return text.title()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "eq": _equal,
    "ge": lambda first, second: first >= second,
    "gt": lambda first, second: first > second,
    "index": _index,
    "join": lambda items, separator: separator.join(map(go_text, items)),
    "json": to_json,
    "le": lambda first, second: first <= second,
    "len": len,
    "lower": _lower,
    "lt": lambda first, second: first < second,
    "ne": lambda first, second: first != second,
    "not": lambda value: not truth(value),
    "or": _or,
    "pad": _pad,
    "print": _print,
    "printf": _printf,
    "println": lambda *values: " ".join(map(go_text, values)) + "\n",
    "slice": _slice,
    "split": lambda text, separator: text.split(separator),
    "title": _title,
    "truncate": lambda text, length: text[:length],
    "upper": _upper,
}
