"""The build cache: for each step that was run, what it made, found again by what went into it.

A key is the digest of the key before it, the instruction with its variables replaced, and the contents of the files
it copies; times play no part. What is found is a layer (or none) and the digest of its archive. The table is kept in
memory and appended to a file, one line per entry; a line that a crash cut short is left out. When an engine starts, the
file is written anew if more than half of it is of no use any more.
"""

import hashlib
import os
import time
from pathlib import Path

import msgspec

from nbcontainers.linux import files

_FEW_LINES = 1000


class Made(msgspec.Struct, omit_defaults=True):
    """What a step made: a snapshot (or none) and its archive's digest; for an image, its id and its steps' keys.

    The digest is empty as long as it is not known; ``said`` is the instruction of a step that made a layer.
    """

    snapshot: str
    diff_id: str
    steps: list[str] = []
    said: str = ""


class _Line(msgspec.Struct):
    key: str
    made: Made


def _line(step_key: str, made: Made) -> bytes:
    return msgspec.json.encode(_Line(step_key, made)) + b"\n"


def key(before: str, *parts: str) -> str:
    """Return the key of a step that follows ``before``."""
    return hashlib.sha256("\0".join((before, *parts)).encode("utf-8", "surrogateescape")).hexdigest()


class Cache:
    """The table of one engine.

    Args:
        path: The file that it is kept in.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table: dict[str, Made] = {}
        self._steps: dict[str, set[str]] = {}
        self._uses: dict[str, tuple[int, int]] = {}
        files.forget_replacing(str(path))
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        lines = data.splitlines()
        for line in lines:
            try:
                entry = msgspec.json.decode(line, type=_Line)
            except msgspec.DecodeError:
                continue
            self._keep(entry.key, entry.made)
        if not data.endswith(b"\n") or len(lines) > 2 * len(self._table) + _FEW_LINES:
            files.replace(str(path), b"".join(_line(*entry) for entry in self._table.items()))

    def _keep(self, step_key: str, made: Made) -> None:
        self._table[step_key] = made
        if made.steps:
            self._steps[made.snapshot] = set(made.steps)

    def layers(self) -> set[str]:
        """Return the layers that steps have made, there or not."""
        return {made.snapshot for made in self._table.values() if made.snapshot and not made.steps}

    def made_layers(self) -> dict[str, str]:
        """Return the same layers, each with the instruction that made it."""
        return {made.snapshot: made.said for made in list(self._table.values()) if made.snapshot and not made.steps}

    def use(self, layer: str) -> None:
        """Note that a step's layer was found again."""
        self._uses[layer] = (self._uses.get(layer, (0, 0))[0] + 1, time.time_ns())

    def uses_of(self, layer: str) -> tuple[int, int]:
        """Return how often that was so, and when it was last: nanoseconds since the epoch, 0 for never."""
        return self._uses.get(layer, (0, 0))

    def forget(self, layers: set[str]) -> None:
        """Forget the steps that made some layers."""
        for step_key, made in list(self._table.items()):  # a build may put something in meanwhile
            if made.snapshot in layers and not made.steps:
                self._table.pop(step_key, None)
        for layer in layers:
            self._uses.pop(layer, None)
        files.replace(str(self._path), b"".join(_line(*entry) for entry in list(self._table.items())))

    def clear(self) -> None:
        """Forget everything."""
        self._table.clear()
        self._steps.clear()
        self._uses.clear()
        self._path.unlink(missing_ok=True)

    def steps_of(self, image_id: str) -> set[str]:
        """Return the keys of the steps that made an image; none for one that was not built here."""
        return self._steps.get(image_id, set())

    def get(self, step_key: str) -> Made | None:
        """Return what a step made when it was run with the same things before."""
        return self._table.get(step_key)

    def put(self, step_key: str, made: Made) -> None:
        """Remember what a step made."""
        self._keep(step_key, made)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, _line(step_key, made))
        finally:
            os.close(fd)
