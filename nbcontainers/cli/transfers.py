"""Layers on their way to or from a registry, as Docker's stream tells of them: what of it is shown, and how.

At a terminal every layer has a bar; where output goes to a file, a line for what has been done. A notebook shows the
same ``Rows`` in its own way.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

import rich.console
import rich.progress

from nbcontainers.cli.face import Face, LayerProgress

Message = dict[str, Any]
_DONE = ("Pull complete", "Pushed", "Layer already exists", "Already exists", "Mounted from")


@dataclass(slots=True)
class Row:
    """One layer."""

    name: str
    status: str = ""
    current: int = 0
    total: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing more is to be done with it."""
        return self.status.startswith(_DONE)

    @property
    def share(self) -> float:
        """How much of what is being done is done, from 0 to 1."""
        return 1.0 if self.done else min(self.current / self.total, 1.0) if self.total else 0.0


@dataclass(slots=True)
class Rows:
    """All layers that a stream tells of, and what it says beside."""

    layers: dict[str, Row] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    error: str = ""

    def take(self, message: Message) -> Row | None:
        """Take one message; return the layer it is about."""
        if "error" in message:
            self.error = str(message["error"])
            return None
        status, name = str(message.get("status", "")), str(message.get("id", ""))
        if not name or "progressDetail" not in message:
            if status:
                self.remarks.append(f"{name}: {status}" if name else status)
            return None
        row = self.layers.setdefault(name, Row(name))
        detail = message["progressDetail"] or {}
        row.status, row.current = status, int(detail.get("current") or 0)
        row.total = int(detail.get("total") or 0) or row.total
        return row


class Lines:
    """Writes a line for every step of a layer, and none for how far it is: for output that goes to a file."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._rows = Rows()
        self._said: dict[str, str] = {}

    def __call__(self, message: Message) -> None:
        """Take one message."""
        before = len(self._rows.remarks)
        row = self._rows.take(message)
        if row is not None and self._said.get(row.name) != row.status:
            self._said[row.name] = row.status
            self._write(f"{row.name}: {row.status}\n".encode())
        for remark in self._rows.remarks[before:]:
            self._write(f"{remark}\n".encode())

    def close(self) -> None:
        """Nothing is left to write."""


class Bars:
    """Shows a bar for every layer at a terminal.

    Args:
        file: The terminal.
    """

    def __init__(self, file: IO[str]) -> None:
        self._rows = Rows()
        self._tasks: dict[str, rich.progress.TaskID] = {}
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}: {task.fields[status]}", markup=False),
            rich.progress.BarColumn(30),
            rich.progress.TextColumn("{task.fields[size]}", markup=False),
            console=rich.console.Console(file=file),
        )
        self._progress.start()

    def __call__(self, message: Message) -> None:
        """Take one message."""
        before = len(self._rows.remarks)
        row = self._rows.take(message)
        for remark in self._rows.remarks[before:]:
            self._progress.console.print(remark, markup=False, highlight=False)
        if row is None:
            return
        if row.name not in self._tasks:
            self._tasks[row.name] = self._progress.add_task(row.name, total=1.0, status="", size="")
        size = f"{megabytes(row.current)} / {megabytes(row.total)}" if row.total and not row.done else ""
        self._progress.update(self._tasks[row.name], completed=row.share, status=row.status, size=size)

    def close(self) -> None:
        """Leave the bars as they are."""
        self._progress.stop()


def megabytes(size_bytes: int) -> str:
    """Return a size for people."""
    return f"{size_bytes / 10**6:.1f} MB" if size_bytes >= 10**5 else f"{size_bytes / 1000:.1f} kB"


def progress(face: Face, *, to_stderr: bool = False) -> LayerProgress:
    """Return what shows layers on their way, as it suits the face."""
    if face.layer_progress is not None:
        return face.layer_progress()
    stream = sys.stderr if to_stderr else sys.stdout
    if face.own_stdin and stream.isatty():
        return Bars(stream)
    return Lines(face.err if to_stderr else face.out)
