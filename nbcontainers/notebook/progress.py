"""A build as it goes, in one cell: its stages and steps with their marks and times, and the output of each.

It reads Docker's own messages, so it shows a build by Docker the same way; an nbcontainers engine says in addition
which stage a step belongs to, and how long it truly took. The display is updated in place, at most ten times a second,
and stays in the saved notebook.
"""

import html
import re
import time
from dataclasses import dataclass, field
from typing import Any

from IPython.display import DisplayHandle, display

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_REMARKS = (" ---> ", "Removing intermediate container", "Removed intermediate container")
_SHORTEST_UPDATE_SECONDS = 0.1
_CHARACTERS_SHOWN = 20_000
_LINES_SHOWN = 12


@dataclass(slots=True)
class _Step:
    text: str
    began: float
    stage: str = ""
    seconds: float | None = None
    cached: bool = False
    output: list[str] = field(default_factory=list)


class BuildProgress:
    """Takes the messages of a build and shows them."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._warnings: list[str] = []
        self._total = 0
        self._failed = ""
        self._shown = 0.0
        self._began = time.monotonic()
        self._seconds: float | None = None
        self._handle: DisplayHandle | None = None

    def __call__(self, message: dict[str, Any]) -> None:
        """Take one message."""
        if "error" in message:
            self._failed = str(message["error"])
        elif "stream" in message:
            self._take(str(message["stream"]), message.get("nbcontainers") or {})
        if self._failed or time.monotonic() - self._shown >= _SHORTEST_UPDATE_SECONDS:
            self.show()

    def _take(self, text: str, about: dict[str, Any]) -> None:
        match = _STEP.match(text)
        if match:
            self._end_step()
            self._total = int(match[2])
            self._steps.append(_Step(match[3].strip(), time.monotonic(), str(about.get("stage", ""))))
        elif text.startswith("[Warning] "):
            self._warnings.append(text.removeprefix("[Warning] ").strip())
        elif text.startswith(" ---> Using cache"):
            self._steps[-1].cached = True
        elif text.startswith("Successfully"):
            self._end_step()
        elif self._steps and not text.startswith(_REMARKS):
            self._steps[-1].output.append(_COLOURS.sub("", text))
        if self._steps and "ms" in about:
            self._steps[-1].seconds = float(about["ms"]) / 1000
            self._steps[-1].cached = bool(about.get("cached"))

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

    def __enter__(self) -> "BuildProgress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Show the end of it; of one that failed or was interrupted, the step that it was at is not done."""
        if kind is not None:
            self._failed = self._failed or kind.__name__
        if not self._failed:
            self._end_step()
        self._seconds = time.monotonic() - self._began
        if self._steps:  # a Dockerfile that was refused has none, and says why itself
            self.show()

    def _stages(self) -> list[str]:
        return list(dict.fromkeys(step.stage for step in self._steps if step.stage))

    def __repr__(self) -> str:
        lines, several, stage = [f"⚠ {warning}" for warning in self._warnings], len(self._stages()) > 1, ""
        for step in self._steps:
            if several and step.stage != stage:
                stage = step.stage
                lines.append(f"{stage}:")
            indent = "  " if several and stage else ""
            lines.append(f"{indent}{self._mark(step)} {step.text}{self._time(step)}")
            if self._failed and step.seconds is None:
                lines += [f"{indent}  {line}" for line in "".join(step.output).splitlines()[-_LINES_SHOWN:]]
        return "\n".join([*lines, *self._summary()])

    def _summary(self) -> list[str]:
        if self._seconds is None or self._failed:
            return []
        cached = sum(step.cached for step in self._steps)
        steps = "1 step" if len(self._steps) == 1 else f"{len(self._steps)} steps"
        return [f"{steps} in {self._seconds:.2f} s, {cached} from the cache"]

    def _repr_html_(self) -> str:
        rows = [f"<div>⚠ <small>{html.escape(warning)}</small></div>" for warning in self._warnings]
        several, stage = len(self._stages()) > 1, ""
        for number, step in enumerate(self._steps, 1):
            if several and step.stage != stage:
                stage = step.stage
                rows.append(f"<div style='margin-top:.4em'><b>{html.escape(stage)}</b></div>")
            rows.append(self._row(number, step, indented=several and bool(stage)))
        rows += [f"<div><small style='opacity:.7'>{line}</small></div>" for line in self._summary()]
        return "".join(rows)

    def _row(self, number: int, step: _Step, *, indented: bool) -> str:
        text = html.escape(step.text.splitlines()[0] if step.text else "")
        row = (
            f"<div style='margin-left:{1.2 if indented else 0}em'>{self._mark(step)} "
            f"<small>{number}/{self._total}</small> <code>{text}</code>"
            f"<small style='opacity:.7'>{self._time(step)}</small></div>"
        )
        if not step.output:
            return row
        shown = html.escape("".join(step.output)[-_CHARACTERS_SHOWN:])
        return row + (
            f"<details {'open' if step.seconds is None else ''} style='margin-left:2em'><summary>output</summary>"
            f"<pre style='max-height:{_LINES_SHOWN * 1.4}em;overflow:auto;margin:0'>{shown}</pre></details>"
        )

    def _mark(self, step: _Step) -> str:
        if step.seconds is None:
            return "✗" if self._failed else "▶"
        return "⚡" if step.cached else "✓"

    def _time(self, step: _Step) -> str:
        if step.cached:
            return " cached"
        return "" if step.seconds is None else f" {step.seconds:.2f} s"
