"""Detach keys: the sequence with which a user at a terminal leaves a container running.

Source: docker attach, § Override the detach sequence.
"""

from nbcontainers import errors

DEFAULT_KEYS = "ctrl-p,ctrl-q"
_CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    r"""Return the bytes of a sequence such as ``ctrl-p,ctrl-q`` or ``a,ctrl-\``.

    Raises:
        errors.InvalidArgument: A key is none.
    """
    keys = bytearray()
    for key in text.split(","):
        control = key[5:].lower() if key.startswith("ctrl-") else ""
        if len(key) == 1 and key.isascii():
            keys += key.encode()
        elif len(control) == 1 and "a" <= control <= "z":
            keys.append(ord(control) - ord("a") + 1)
        elif control in _CONTROL:
            keys.append(_CONTROL[control])
        else:
            raise errors.InvalidArgument(f"invalid detach keys '{text}': a letter or ctrl-LETTER, joined by commas")
    return bytes(keys)


class DetachKeys:
    """Looks for the sequence in what a user types; what may be its beginning is held back.

    Args:
        keys: From ``parse_keys``.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Take bytes in; return those that belong to the container, and whether the user wants to leave."""
        text = self._held + data
        place = text.find(self._keys)
        if place >= 0:
            self._held = b""
            return text[:place], True
        held = next((n for n in range(len(self._keys) - 1, 0, -1) if text.endswith(self._keys[:n])), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held], False
