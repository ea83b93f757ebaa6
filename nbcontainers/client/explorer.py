"""The layers of an image to look through: what each adds, changes, removes and wastes, as a tree with sizes.

In a notebook it is HTML that stands for itself: folded trees, which any page can show, and a script that sorts and
filters them. JupyterLab runs no script, and keeps no style, of a notebook that it does not trust: there the trees are
all the same to be read, the largest first. So it is no widget: a saved notebook shows it without a kernel, and so does
a page that it was converted to.

Large images have more paths than a page should have: the largest are shown, and what is left out is counted.
"""

import heapq
import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files as resources
from typing import TYPE_CHECKING

from nbcontainers.client.stacking import ADDED, CHANGED, REMOVED, Row
from nbcontainers.client.units import human_bytes

if TYPE_CHECKING:
    from nbcontainers.client.image import Image

_PATHS_SHOWN, _FEWEST_OF_A_LAYER, _DEEPEST = 900, 50, 60
_PATHS_PRINTED, _WASTE_SHOWN = 5, 20
_STEP_CHARACTERS = 110
_MARKS = {ADDED: "+", CHANGED: "~", REMOVED: "−", "": " "}
_TOOLS = """
<div class="nbc-tools" hidden>
<input type="search" data-tool="text" placeholder="find a path" aria-label="find a path">
<label><input type="checkbox" data-kind="added" checked> added</label>
<label><input type="checkbox" data-kind="changed" checked> changed</label>
<label><input type="checkbox" data-kind="removed" checked> removed</label>
<label><input type="checkbox" data-tool="wasted"> only wasted</label>
<label>paths by <select data-tool="paths">
<option>size</option><option>name</option><option>wasted</option></select></label>
<label>layers by <select data-tool="layers"><option>layer</option><option>size</option><option>wasted</option>
<option>changes</option></select></label>
<button data-tool="unfold">unfold</button><button data-tool="fold">fold</button>
</div>"""


@dataclass(slots=True)
class _Node:
    """A path in a layer, with the sums of all below it; ``row`` is missing where the layer only passes through."""

    name: str
    depth: int = 0
    row: Row | None = None
    inner: "dict[str, _Node]" = field(default_factory=dict)
    size: int = 0
    gone: int = 0
    wasted: int = 0
    paths: int = 0
    shown: bool = False

    @property
    def weight(self) -> tuple[int, int]:
        return max(self.size, self.gone), self.paths


class Explorer:
    """An image's layers, to be shown in a notebook or printed.

    Args:
        image: Whose.
    """

    def __init__(self, image: "Image") -> None:
        self._image = image
        by_layer = image.rows_by_layer()
        self._steps = [layer.created_by for layer in image.contents.layers]
        self._rows = [by_layer.get(number, []) for number in range(1, len(self._steps) + 1)]
        self._size = sum(row.entry.size for rows in self._rows for row in rows)
        self._waste = sorted((row for rows in self._rows for row in rows if row.wasted), key=lambda row: -row.wasted)
        self._wasted = sum(row.wasted for row in self._waste)

    def __str__(self) -> str:
        lines = [f"{self._name()}  {self._summary()}"]
        for number, (step, rows) in enumerate(zip(self._steps, self._rows, strict=True), 1):
            wasted = sum(row.wasted for row in rows)
            waste = f"  wasted {human_bytes(wasted)}" if wasted else ""
            size = human_bytes(sum(row.entry.size for row in rows))
            lines += ["", f"layer {number}  {size}  {_counts(rows)}{waste}  {_short(step)}"]
            largest = heapq.nlargest(_PATHS_PRINTED, rows, key=lambda row: max(row.entry.size, row.before))
            lines += [f"{_bytes(row):>12} {_MARKS[row.change]} /{row.entry.path}{_fate(row)}" for row in largest]
            if len(rows) > len(largest):
                lines.append(f"{'':>12}   {len(rows) - len(largest)} more")
        return "\n".join(lines)

    __repr__ = __str__

    def _name(self) -> str:
        return ", ".join(self._image.tags) or "<none>"

    def _summary(self) -> str:
        summary = f"{human_bytes(self._size)} in {self._image.layer_count}"
        if not self._size:
            return summary
        if not self._wasted:
            return f"{summary}, nothing of it wasted"
        return f"{summary}, {human_bytes(self._wasted)} of it wasted ({100 * self._wasted / self._size:.0f}%)"

    def _repr_html_(self) -> str:
        here = resources("nbcontainers.client")
        style, script = (here.joinpath(f"explorer.{kind}").read_text() for kind in ("css", "js"))
        layers = "".join(map(self._layer, range(1, len(self._steps) + 1)))
        return (
            f"<div class='nbc-explorer'><style>{style}</style>"
            f"<div class='nbc-head'><b>{html.escape(self._name())}</b> <code>{self._image.id[7:19]}</code> "
            f"{self._summary()}</div>{self._bar()}{_TOOLS}<div class='nbc-layers'>{layers}</div>{self._waste_table()}"
            f"<script>{script}</script></div>"
        )

    def _bar(self) -> str:
        """Draw the layers side by side, as wide as they are large, with their waste in red."""
        if not self._size:
            return ""
        parts = []
        for number, rows in enumerate(self._rows, 1):
            size, wasted = sum(row.entry.size for row in rows), sum(row.wasted for row in rows)
            share = 100 * wasted / size if size else 0
            title = f"layer {number}: {human_bytes(size)}, {human_bytes(wasted)} wasted"
            parts.append(
                f"<span style='flex:{size / self._size:.4f}' title='{title}'><i style='width:{share:.1f}%'></i></span>"
            )
        return f"<div class='nbc-bar'>{''.join(parts)}</div>"

    def _layer(self, number: int) -> str:
        rows, step = self._rows[number - 1], self._steps[number - 1]
        root = _tree(rows)
        _choose(root, max(_PATHS_SHOWN // len(self._rows), _FEWEST_OF_A_LAYER))
        waste = f" <b>wasted {human_bytes(root.wasted)}</b>" if root.wasted else ""
        return (
            f"<details class='nbc-layer' data-layer='{number}' data-size='{root.size}' data-wasted='{root.wasted}' "
            f"data-changes='{len(rows)}'><summary title='{html.escape(step)}'><b>{number}</b> "
            f"<span class='nbc-size'>{human_bytes(root.size)}</span> {_counts(rows)}{waste} "
            f"<code>{html.escape(_short(step))}</code></summary>{_inner(root)}</details>"
        )

    def _waste_table(self) -> str:
        if not self._waste:
            return ""
        rows = "".join(
            f"<tr><td>{human_bytes(row.wasted)}</td><td>{row.layer}</td><td>{row.hidden_by}</td>"
            f"<td style='text-align:left'><code>/{html.escape(row.entry.path)}</code></td></tr>"
            for row in self._waste[:_WASTE_SHOWN]
        )
        more = len(self._waste) - _WASTE_SHOWN
        rest = f"<tr><td colspan='4'>and {more} more</td></tr>" if more > 0 else ""
        return (
            f"<details><summary>wasted: {len(self._waste)} files, {human_bytes(self._wasted)}, "
            f"the largest first</summary><table><tr><th>bytes</th><th>in layer</th><th>hidden by layer</th>"
            f"<th style='text-align:left'>path</th></tr>{rows}{rest}</table></details>"
        )


def _short(step: str) -> str:
    line = " ".join(step.removeprefix("/bin/sh -c ").removeprefix("#(nop) ").split())
    return line if len(line) <= _STEP_CHARACTERS else f"{line[: _STEP_CHARACTERS - 1]}…"


def _counts(rows: list[Row]) -> str:
    changes = [row.change for row in rows]
    return " ".join(f"{_MARKS[change]}{changes.count(change)}" for change in (ADDED, CHANGED, REMOVED))


def _bytes(row: Row) -> str:
    return human_bytes(-row.before if row.change == REMOVED else row.entry.size)


def _fate(row: Row) -> str:
    return f"  (hidden by layer {row.hidden_by})" if row.wasted else ""


def _tree(rows: list[Row]) -> _Node:
    """Return a layer's paths as a tree with sums."""
    root = _Node("/")
    for row in rows:
        line, node = [root], root
        for name in row.entry.path.split("/"):
            node = node.inner.setdefault(name, _Node(name, node.depth + 1))
            line.append(node)
        node.row = row
        for one in line:
            one.size += row.entry.size
            one.gone += row.before if row.change == REMOVED else 0
            one.wasted += row.wasted
            one.paths += 1
    return root


def _choose(root: _Node, count: int) -> None:
    """Mark the largest paths to be shown, none without the directories it is in."""
    order, heap = 0, list[tuple[int, int, int, _Node]]()

    def push(nodes: Iterator[_Node]) -> None:
        nonlocal order
        for node in nodes:
            order += 1
            heapq.heappush(heap, (-node.weight[0], -node.weight[1], order, node))

    push(iter(root.inner.values()))
    while heap and count:
        node = heapq.heappop(heap)[-1]
        node.shown = True
        count -= 1
        if node.depth < _DEEPEST:
            push(iter(node.inner.values()))


def _inner(node: _Node) -> str:
    """Return what is below a path, the largest first, and how much of it is not shown."""
    shown = sorted((one for one in node.inner.values() if one.shown), key=lambda one: one.weight, reverse=True)
    hidden = [one for one in node.inner.values() if not one.shown]
    parts = [_entry(one) for one in shown]
    if hidden:
        size, paths = sum(one.size for one in hidden), sum(one.paths for one in hidden)
        parts.append(f"<div class='nbc-more'>and {paths} more, {human_bytes(size)}</div>")
    if not parts:
        parts = ["<div class='nbc-more'>nothing</div>"]
    return f"<div class='nbc-tree'>{''.join(parts)}</div>"


def _entry(node: _Node) -> str:
    row = node.row
    change = row.change if row is not None else ""
    size = human_bytes(node.size if node.size or not node.gone else -node.gone)
    target = f" → {html.escape(row.entry.target)}" if row is not None and row.entry.target else ""
    waste = f" <small>wasted {human_bytes(node.wasted)}{_by(row)}</small>" if node.wasted else ""
    name = html.escape(node.name) + ("/" if node.inner or (row is not None and row.entry.kind in "do") else "")
    text = (
        f"<span class='nbc-mark'>{_MARKS[change]}</span> <span class='nbc-size'>{size}</span> "
        f"<code class='{'nbc-wasted' if node.wasted else ''}'>{name}</code>{target}{waste}"
    )
    data = (
        f"class='nbc-{change or 'way'}' data-name='{html.escape(node.name)}' "
        f"data-size='{max(node.size, node.gone)}' data-wasted='{node.wasted}' data-change='{change}'"
    )
    if node.inner:
        return f"<details {data}><summary>{text}</summary>{_inner(node)}</details>"
    return f"<div {data}>{text}</div>"


def _by(row: Row | None) -> str:
    return f", hidden by layer {row.hidden_by}" if row is not None and row.wasted else ""
