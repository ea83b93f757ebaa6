"""A build as it goes, in one cell: the steps with their marks and times, and the output of the one that runs.

It reads Docker's own messages, so it shows a build by Docker the same way. The display is updated in place, at most
ten times a second, and stays in the saved notebook.
"""

import html
import re
import time
from dataclasses import dataclass, field
from typing import Any

from IPython.display import DisplayHandle, display

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_SHORTEST_UPDATE_SECONDS = 0.1
_LINES_SHOWN = 12


@dataclass(slots=True)
class _Step:
    text: str
    began: float
    seconds: float | None = None
    cached: bool = False
    output: list[str] = field(default_factory=list)


class BuildProgress:
    """Takes the messages of a build and shows them."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._total = 0
        self._failed = ""
        self._shown = 0.0
        self._handle: DisplayHandle | None = None

    def __call__(self, message: dict[str, Any]) -> None:
        """Take one message."""
        if "error" in message:
            self._failed = str(message["error"])
        elif "stream" in message:
            self._take(str(message["stream"]))
        if self._failed or time.monotonic() - self._shown >= _SHORTEST_UPDATE_SECONDS:
            self.show()

    def _take(self, text: str) -> None:
        match = _STEP.match(text)
        if match:
            self._end_step()
            self._total = int(match[2])
            self._steps.append(_Step(match[3].strip(), time.monotonic()))
        elif text.startswith(" ---> Using cache"):
            self._steps[-1].cached = True
        elif text.startswith("Successfully"):
            self._end_step()
        elif self._steps and not text.startswith((" ---> ", "Removing intermediate container")):
            self._steps[-1].output.append(text)

    def _end_step(self) -> None:
        if self._steps and self._steps[-1].seconds is None:
            self._steps[-1].seconds = time.monotonic() - self._steps[-1].began

    def show(self) -> None:
        """Show how far the build is."""
        self._shown = time.monotonic()
        if self._handle is None:
            self._handle = display(self, display_id=True)
        else:
            self._handle.update(self)

    def close(self) -> None:
        """Show the end of it."""
        if not self._failed:
            self._end_step()
        if self._steps:  # a Dockerfile that was refused has none, and says why itself
            self.show()

    def __repr__(self) -> str:
        return "\n".join(f"{self._mark(step)} {step.text}{self._time(step)}" for step in self._steps)

    def _repr_html_(self) -> str:
        rows = []
        for number, step in enumerate(self._steps, 1):
            text = html.escape(step.text.splitlines()[0] if step.text else "")
            line = f"<div>{self._mark(step)} <small>{number}/{self._total}</small> <code>{text}</code>"
            rows.append(f"{line}<small style='color:#888'>{self._time(step)}</small></div>")
            if step.output:
                shown = html.escape("".join(step.output)[-20000:])
                last = step.seconds is None
                rows.append(
                    f"<details {'open' if last else ''} style='margin-left:2em'><summary>output</summary>"
                    f"<pre style='max-height:{_LINES_SHOWN * 1.4}em;overflow:auto;margin:0'>{shown}</pre></details>"
                )
        return "".join(rows)

    def _mark(self, step: _Step) -> str:
        if step.seconds is None:
            return "✗" if self._failed else "▶"
        return "⚡" if step.cached else "✓"

    def _time(self, step: _Step) -> str:
        if step.cached:
            return " cached"
        return "" if step.seconds is None else f" {step.seconds:.2f} s"
