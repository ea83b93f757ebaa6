"""The build cache: for each step that was run, what it made, found again by what went into it.

A key is the digest of the key before it, the instruction with its variables replaced, and the contents of the files
it copies; times play no part. What is found is a layer (or none) and the digest of its archive. The table is kept in
memory and appended to a file, one line per entry, the last one of a key counts; a line that a crash cut short is left
out. The file is written anew when more than half of it is of no use any more. How often a layer was found again is
written once for each build: an engine that is killed forgets what the build that goes on has found, and nothing else.
"""

import hashlib
import os
import threading
import time
from pathlib import Path

import msgspec

from nbcontainers.linux import files

_FEW_LINES = 1000


class Made(msgspec.Struct, omit_defaults=True):
    """What a step made: a snapshot (or none) and its archive's digest; for an image, its id and its steps' keys.

    The digest is empty as long as it is not known; without a snapshot it is that of a layer which is not here. ``said``
    is the instruction of a step that made a layer; ``uses`` is how often that was found again, and ``used_ns`` when it
    was last: nanoseconds since the epoch, 0 for never. ``same_as`` stands for another key alone, which is to be looked
    up in its place.
    """

    snapshot: str
    diff_id: str
    steps: list[str] = []
    said: str = ""
    uses: int = 0
    used_ns: int = 0
    same_as: str = ""


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

    Attributes:
        describes: Whether it knows of layers that are not here.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table: dict[str, Made] = {}
        self._steps: dict[str, set[str]] = {}
        self._used: dict[str, None] = {}
        self._lines = 0
        self.describes = False
        self._writing = threading.Lock()  # a thread that prunes writes while builds do
        files.forget_replacing(str(path))
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        lines = data.splitlines()
        self._lines = len(lines)
        for line in lines:
            try:
                entry = msgspec.json.decode(line, type=_Line)
            except msgspec.DecodeError:
                continue
            self._keep(entry.key, entry.made)
        if not data.endswith(b"\n") or self._is_long():
            self._write_anew()

    def _is_long(self) -> bool:
        return self._lines > 2 * len(self._table) + _FEW_LINES

    def _write_anew(self) -> None:
        with self._writing:
            entries = list(self._table.items())
            files.replace(str(self._path), b"".join(_line(*entry) for entry in entries))
            self._lines = len(entries)

    def _keep(self, step_key: str, made: Made) -> None:
        self._table[step_key] = made
        self.describes = self.describes or bool(made.diff_id and not made.snapshot)
        if made.steps:
            self._steps[made.snapshot] = set(made.steps)

    def layers(self) -> set[str]:
        """Return the layers that steps have made, there or not."""
        return {made.snapshot for made in self._table.values() if made.snapshot and not made.steps}

    def made_layers(self) -> dict[str, Made]:
        """Return the same layers, each with what is known of the step that made it."""
        return {made.snapshot: made for made in list(self._table.values()) if made.snapshot and not made.steps}

    def use(self, step_key: str) -> None:
        """Note that a step was found again; ``keep_uses`` writes it down."""
        if made := self._table.get(step_key):  # else it has just been pruned
            made.uses, made.used_ns = made.uses + 1, time.time_ns()
            self._used[step_key] = None

    def keep_uses(self) -> None:
        """Write down what was found again since this was done last."""
        used, self._used = self._used, {}
        self._append([(key, self._table[key]) for key in used if key in self._table])
        if self._is_long():
            self._write_anew()

    def forget(self, layers: set[str]) -> None:
        """Forget the steps that made some layers."""
        for step_key, made in list(self._table.items()):
            if made.snapshot in layers and not made.steps:
                self._table.pop(step_key, None)
        self._write_anew()

    def clear(self) -> None:
        """Forget everything."""
        self._table.clear()
        self._steps.clear()
        self._used.clear()
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
        self._append([(step_key, made)])

    def _append(self, entries: list[tuple[str, Made]]) -> None:
        if not entries:
            return
        with self._writing:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, b"".join(_line(*entry) for entry in entries))
            finally:
                os.close(fd)
            self._lines += len(entries)
