"""Layers on their way, in a cell: a row each, with a bar, updated in place at most ten times a second.

What stays in the saved notebook is one line, and the rows folded away.
"""

import html
import time
from typing import Any

from IPython.display import DisplayHandle, display

from nbcontainers.cli.transfers import Row, Rows, megabytes

_SHORTEST_UPDATE_SECONDS = 0.1
_ROWS_SHOWN = 40


class TransferProgress:
    """Takes the messages of a pull or a push and shows them."""

    def __init__(self) -> None:
        self._rows = Rows()
        self._began = time.monotonic()
        self._shown = 0.0
        self._seconds: float | None = None
        self._handle: DisplayHandle | None = None

    def __call__(self, message: dict[str, Any]) -> None:
        """Take one message."""
        self._rows.take(message)
        if time.monotonic() - self._shown >= _SHORTEST_UPDATE_SECONDS:
            self._show()

    def close(self) -> None:
        """Show the end of it."""
        self._seconds = time.monotonic() - self._began
        self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        if self._handle is None:
            self._handle = display(self, display_id=True)
        else:
            self._handle.update(self)

    def _summary(self) -> str:
        rows = self._rows.layers.values()
        size = sum(row.total for row in rows)
        mark = "▶" if self._seconds is None else "✗" if self._rows.error else "✓"
        seconds = time.monotonic() - self._began if self._seconds is None else self._seconds
        told = f", {megabytes(size)}" if size else ""
        return f"{mark} {sum(row.done for row in rows)} of {len(rows)} layers{told} in {seconds:.1f} s"

    def _remarks(self) -> list[str]:
        """Return what was said beside; at the end, what it has come to."""
        return self._rows.remarks[-2:] if self._seconds is not None else self._rows.remarks[:1]

    def __repr__(self) -> str:
        return "\n".join([self._summary(), *self._remarks()])

    def _repr_html_(self) -> str:
        rows = list(self._rows.layers.values())
        shown = "".join(_row(row) for row in rows[:_ROWS_SHOWN])
        if len(rows) > _ROWS_SHOWN:
            shown += f"<div><small>… and {len(rows) - _ROWS_SHOWN} more</small></div>"
        remarks = "".join(f"<div><small>{html.escape(remark)}</small></div>" for remark in self._remarks())
        is_open = " open" if self._seconds is None else ""
        return f"<details{is_open}><summary>{html.escape(self._summary())}</summary>{shown}</details>{remarks}"


def _row(row: Row) -> str:
    bar, size = "", ""
    if not row.done and row.total:
        bar = f" <progress value='{row.share:.3f}' style='width:12em'></progress>"
        size = f" <small>{megabytes(row.current)} / {megabytes(row.total)}</small>"
    mark = "✓" if row.done else "▶"
    return f"<div>{mark} <code>{html.escape(row.name)}</code> {html.escape(row.status)}{bar}{size}</div>"
