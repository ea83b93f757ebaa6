"""DNS messages in a few words: ``A? web`` and ``A web: 172.18.0.2``.

Source: RFC 1035 § 4 (messages, and names that point to earlier ones).
"""

import struct
from socket import AF_INET, AF_INET6, inet_ntop

_HEAD = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS"}
_CODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_ANSWER, _CODE, _POINTER = 0x8000, 0xF, 0xC0
_MOST_LABELS = 128
_NAMED = ("NS", "CNAME", "PTR")


def describe(message: bytes) -> str:
    """Return what a message asks or answers; empty for what is no such message."""
    try:
        _, flags, questions, answers, _, _ = _HEAD.unpack_from(message)
        if questions != 1:
            return ""
        name, position = _name(message, _HEAD.size)
        kind = _kind(struct.unpack_from("!H", message, position)[0])
        if not flags & _ANSWER:
            return f"{kind}? {name}"
        if code := flags & _CODE:
            return f"{kind} {name}: {_CODES.get(code, f'error {code}')}"
        return f"{kind} {name}: {', '.join(_answers(message, position + 4, answers)) or 'nothing'}"
    except (struct.error, IndexError, ValueError):
        return ""


def _kind(number: int) -> str:
    return _TYPES.get(number, f"TYPE{number}")


def _answers(message: bytes, position: int, count: int) -> list[str]:
    found = []
    for _ in range(count):
        _, position = _name(message, position)
        number, _, _, length = _RECORD.unpack_from(message, position)
        position += _RECORD.size
        kind, data = _kind(number), message[position : position + length]
        if kind in ("A", "AAAA"):
            found.append(inet_ntop(AF_INET if kind == "A" else AF_INET6, data))
        else:
            found.append(_name(message, position)[0] if kind in _NAMED else kind)
        position += length
    return found


def _name(message: bytes, position: int) -> tuple[str, int]:
    """Return the name that begins at a place, and where it ends there."""
    labels: list[str] = []
    end = 0
    for _ in range(_MOST_LABELS):
        length = message[position]
        if length >= _POINTER:
            end = end or position + 2
            position = struct.unpack_from("!H", message, position)[0] & 0x3FFF
        elif length:
            labels.append(message[position + 1 : position + 1 + length].decode("ascii", "replace"))
            position += 1 + length
        else:
            return ".".join(labels) or ".", end or position + 1
    raise ValueError("a name without an end")
