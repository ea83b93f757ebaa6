"""Layers laid over each other: what each adds, changes and removes, and what of it later ones make useless.

A layer hides a path of those below it by having something at that path, by a whiteout, or by a directory above it that
is opaque or no directory any more. A file that is hidden by a later layer is *wasted*: it is stored and sent, and no
container sees it. A directory that a layer has only because something in it has changed is no change.

Source: OCI image-spec, layer.md § Applying Changesets.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from nbcontainers.client.contents import DIRECTORY, HARD_LINK, OPAQUE, WHITEOUT, Contents, Entry

ADDED, CHANGED, REMOVED = "added", "changed", "removed"
_ON_THE_WAY = ""


@dataclass(slots=True)
class Row:
    """One path that a layer adds, changes or removes.

    Args:
        layer: Which one, from 1; 0 for what is no layer.
        entry: What the layer has there; a whiteout, or nothing of its own, where it is removed.
        change: Which of the three.
        before: Bytes that were to be seen there before, with all below a directory.
        hidden_by: The later layer that hides it, 0 for none.
        wasted: Bytes that are stored for nothing.
    """

    layer: int
    entry: Entry
    change: str
    before: int = 0
    hidden_by: int = 0
    wasted: int = 0


@dataclass(slots=True)
class _Node:
    """A path as it is to be seen with the layers so far."""

    row: Row | None = None
    inner: "dict[str, _Node]" = field(default_factory=dict)

    def rows(self) -> Iterator[Row]:
        """Yield what is to be seen here and below."""
        pending = [self]
        while pending:
            node = pending.pop()
            if node.row is not None:
                yield node.row
            pending += node.inner.values()

    def size(self) -> int:
        return sum(row.entry.size for row in self.rows())


class Stack(NamedTuple):
    """What came of it: the rows of all layers, and what is to be seen in the end, by path."""

    rows: list[Row]
    seen: dict[str, Entry]


def stack(contents: Contents) -> Stack:
    """Lay the layers of an image over each other, the lowest first."""
    root, rows = _Node(), list[Row]()
    for entry in contents.base:
        _place(root, Row(0, entry, ADDED))
    for number, layer in enumerate(contents.layers, 1):
        rows += _Layer(root, number).apply(layer.entries)
    _waste(rows)
    return Stack(rows, _seen(root, rows))


class _Layer:
    """One layer on its way onto those below it."""

    def __init__(self, root: _Node, number: int) -> None:
        self._root = root
        self._number = number
        self._gone: dict[str, int] = {}

    def apply(self, entries: list[Entry]) -> list[Row]:
        """Change what is to be seen; return what has changed."""
        # What is hidden is what lower layers have, wherever in the archive it is said.
        for entry in entries:
            if entry.kind == WHITEOUT:
                self._hide(entry.path)
            elif entry.kind == OPAQUE and (node := _find(self._root, entry.path)) is not None:
                for name in list(node.inner):
                    self._hide(f"{entry.path}/{name}".lstrip("/"))
        own = [entry for entry in entries if entry.kind != WHITEOUT and entry.path]
        placed = [row for entry in own if (row := self._put(entry)).change]
        return [*placed, *self._removed({entry.path for entry in own})]

    def _hide(self, path: str) -> None:
        """Take a path out of sight, with all below it, and note how large each was."""
        parent, _, name = path.rpartition("/")
        above = _find(self._root, parent)
        node = above.inner.pop(name, None) if above is not None else None
        pending = [(path, node)] if node is not None else []
        while pending:
            path, one = pending.pop()
            if one.row is not None:
                one.row.hidden_by = self._number
            self._gone[path] = one.size() if one.inner else (one.row.entry.size if one.row else 0)
            pending += [(f"{path}/{name}", inner) for name, inner in one.inner.items()]

    def _put(self, entry: Entry) -> Row:
        node = _find(self._root, entry.path)
        below = node.row if node is not None else None
        if below is not None and below.layer != self._number:
            is_directory = entry.kind in (DIRECTORY, OPAQUE)
            if is_directory and below.entry.kind in (DIRECTORY, OPAQUE):
                same = (entry.mode, entry.uid, entry.gid) == (below.entry.mode, below.entry.uid, below.entry.gid)
                row = Row(self._number, entry, _ON_THE_WAY if same and entry.kind == DIRECTORY else CHANGED)
                below.hidden_by = self._number if row.change else 0
                _place(self._root, row)
                return row
            self._hide(entry.path)
        if entry.path in self._gone:
            row = Row(self._number, entry, CHANGED, before=self._gone[entry.path])
        else:
            row = Row(self._number, entry, ADDED)
        _place(self._root, row)
        return row

    def _removed(self, placed: set[str]) -> Iterator[Row]:
        """Yield what has gone and did not come back: of a directory that has gone whole, the directory alone."""
        whole: set[str] = set()
        for path in sorted(self._gone):
            if path in placed:
                continue
            parent = path.rpartition("/")[0]
            if parent in whole or (parent in self._gone and parent not in placed):
                whole.add(path)
                continue
            whole.add(path)
            yield Row(self._number, Entry(path, WHITEOUT), REMOVED, before=self._gone[path])


def _find(root: _Node, path: str) -> _Node | None:
    node: _Node | None = root
    for name in path.split("/") if path else ():
        node = node.inner.get(name) if node is not None else None
    return node


def _place(root: _Node, row: Row) -> None:
    node = root
    for name in row.entry.path.split("/") if row.entry.path else ():
        node = node.inner.setdefault(name, _Node())
    node.row = row


def _waste(rows: list[Row]) -> None:
    """Count what is stored for nothing: of a file with several names only when all of them are hidden."""
    names: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        if row.change != REMOVED:
            first = row.entry.target if row.entry.kind == HARD_LINK else row.entry.path
            names.setdefault((row.layer, first), []).append(row)
    for group in names.values():
        if all(row.hidden_by for row in group):
            for row in group:
                row.wasted = row.entry.size


def _seen(root: _Node, rows: list[Row]) -> dict[str, Entry]:
    """Return what is to be seen in the end; every name of a file has that file's size and digest."""
    found = {row.entry.path: row for row in root.rows() if row.layer}
    by_layer = {(row.layer, row.entry.path): row.entry for row in rows}
    seen = {}
    for path, row in sorted(found.items()):
        entry = row.entry
        if entry.kind == HARD_LINK and (first := by_layer.get((row.layer, entry.target))) is not None:
            entry = entry._replace(kind=first.kind, size=first.size, digest=first.digest, target="")
        seen[path] = entry
    return seen
