"""Plots of what containers use, with their limits drawn in."""

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LIMIT_STYLE = {"color": "#c0392b", "linestyle": "--", "linewidth": 1}


def _seconds(history: pd.DataFrame) -> pd.Index:
    """Return the time since the first sample, in seconds."""
    elapsed: pd.Index = pd.Index((history.index - history.index[0]).total_seconds())
    return elapsed


def memory(history: pd.DataFrame, ax: "Axes | None" = None) -> "Axes":
    """Draw memory use in megabytes, and its limit.

    Args:
        history: From ``%container stats NAME``.
        ax: Where to draw; a new figure by default.
    """
    axes = _axes(ax)
    axes.plot(_seconds(history), history["memory_bytes"] / 1e6, color="#2c7fb8")
    _limit(axes, float(history["memory_limit_bytes"].max()) / 1e6, "limit")
    return _label(axes, "memory", "MB")


def cpu(history: pd.DataFrame, limit_cpus: float | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw processor use in percent of one processor, and the limit if it is given."""
    axes = _axes(ax)
    axes.plot(_seconds(history), history["cpu_percent"], color="#d95f0e")
    _limit(axes, (limit_cpus or 0) * 100, f"{limit_cpus} CPU")
    return _label(axes, "processor", "% of one CPU")


def pids(history: pd.DataFrame, ax: "Axes | None" = None) -> "Axes":
    """Draw the number of processes, and its limit."""
    axes = _axes(ax)
    axes.step(_seconds(history), history["pids"], where="post", color="#31a354")
    _limit(axes, float(history["pids_limit"].max()), "limit")
    return _label(axes, "processes", "number")


def overview(history: pd.DataFrame, limit_cpus: float | None = None) -> "Figure":
    """Draw processor, memory and processes side by side."""
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
    cpu(history, limit_cpus, left)
    memory(history, middle)
    pids(history, right)
    return figure


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6, 2.6), layout="constrained")[1]


def _limit(axes: "Axes", value: float, label: str) -> None:
    if value > 0:
        axes.axhline(value, label=label, **_LIMIT_STYLE)  # type: ignore[arg-type]
        axes.legend(loc="best", frameon=False)


def _label(axes: "Axes", title: str, unit: str) -> "Axes":
    axes.set(title=title, xlabel="seconds", ylabel=unit)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    return axes
