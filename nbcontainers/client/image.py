"""One image, and what is in its layers, as DataFrames."""

import stat
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd
from docker import DockerClient

from nbcontainers.client import comparing, stacking
from nbcontainers.client.connect import connect
from nbcontainers.client.contents import Contents, contents
from nbcontainers.client.stacking import ADDED, CHANGED, REMOVED, Row, Stack
from nbcontainers.client.tables import Table, table
from nbcontainers.client.units import human_bytes

if TYPE_CHECKING:
    from nbcontainers.client.explorer import Explorer

KINDS = {
    "d": "directory",
    "o": "directory",
    "f": "file",
    "l": "link",
    "h": "hard link",
    "c": "character device",
    "b": "block device",
    "p": "pipe",
    "s": "socket",
    "w": "",
}
_CHANGES = pd.CategoricalDtype([ADDED, CHANGED, REMOVED])


class Image:
    """An image that the engine has.

    What its layers hold is asked for once, when it is first wanted: an image never changes.

    Attributes:
        id: ``sha256:…``.
        tags: Its references.
        size_bytes: Of all its layers.
        config: What containers of it get, with docker's names.

    Args:
        client: The engine.
        name: A reference or an id.

    Raises:
        docker.errors.ImageNotFound: There is none.
    """

    def __init__(self, client: DockerClient, name: str) -> None:
        document: dict[str, Any] = client.api.inspect_image(name)
        self._client = client
        self.id: str = document["Id"]
        self.tags: list[str] = document["RepoTags"] or []
        self.size_bytes: int = document["Size"]
        self.config: dict[str, Any] = document["Config"] or {}
        self.diff_ids: list[str] = document["RootFS"].get("Layers") or []

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        name = ", ".join(self.tags) or "<none>"
        return f"{name}  {self.id[7:19]}  {human_bytes(self.size_bytes)}  {self.layer_count}"

    @property
    def layer_count(self) -> str:
        """How many layers it has, in words."""
        return f"{len(self.diff_ids)} layer{'' if len(self.diff_ids) == 1 else 's'}"

    @cached_property
    def contents(self) -> Contents:
        """What the layers hold, as the engine tells it."""
        return contents(self._client, self.id)

    @cached_property
    def stack(self) -> Stack:
        """The layers laid over each other."""
        return stacking.stack(self.contents)

    def layers(self) -> Table:
        """Return the layers, the lowest first.

        Returns:
            Index layer (from 1). Columns digest (text), size_bytes, files (how many, without directories), added,
            changed, removed (numbers of paths), wasted_bytes (of files that later layers overwrite or delete),
            created_by (the step), created (UTC timestamp).
        """
        rows: list[dict[str, object]] = []
        by_layer = self.rows_by_layer()
        for number, layer in enumerate(self.contents.layers, 1):
            own = by_layer.get(number, [])
            counts = {change: sum(row.change == change for row in own) for change in (ADDED, CHANGED, REMOVED)}
            rows.append(
                {
                    "layer": number,
                    "digest": layer.digest,
                    "size_bytes": sum(row.entry.size for row in own),
                    "files": sum(row.entry.kind not in "dow" for row in own),
                    **counts,
                    "wasted_bytes": sum(row.wasted for row in own),
                    "created_by": layer.created_by,
                    "created": pd.Timestamp(layer.created) if layer.created else None,
                }
            )
        numbers = dict.fromkeys(("size_bytes", "files", ADDED, CHANGED, REMOVED, "wasted_bytes"), "int64")
        types = {"layer": "int64", "digest": "object", **numbers, "created_by": "object", "created": "time"}
        return Table(table(rows, types).set_index("layer"))

    def rows_by_layer(self) -> dict[int, list[Row]]:
        """Return what each layer has, by its number."""
        found: dict[int, list[Row]] = {}
        for row in self.stack.rows:
            found.setdefault(row.layer, []).append(row)
        return found

    def files(self) -> Table:
        """Return what the layers add, change and remove, one row for each path of each layer.

        Returns:
            Columns layer (from 1), path, change (category: added, changed, removed), kind (text: file, directory,
            link, …), size_bytes, before_bytes (what was there before), hidden_by (the later layer that overwrites or
            deletes it; missing for none), wasted_bytes, mode (text), uid, gid, modified (UTC timestamp), target (text).
        """
        rows = self.stack.rows
        frame = pd.DataFrame(
            {
                "layer": pd.Series([row.layer for row in rows], dtype="int64"),
                "path": pd.Series([f"/{row.entry.path}" for row in rows], dtype="object"),
                "change": pd.Categorical([row.change for row in rows], dtype=_CHANGES),
                "kind": pd.Series([KINDS[row.entry.kind] for row in rows], dtype="object"),
                "size_bytes": pd.Series([row.entry.size for row in rows], dtype="int64"),
                "before_bytes": pd.Series([row.before for row in rows], dtype="int64"),
                "hidden_by": pd.Series([row.hidden_by or None for row in rows], dtype="Int64"),
                "wasted_bytes": pd.Series([row.wasted for row in rows], dtype="int64"),
                "mode": pd.Series([_mode(row) for row in rows], dtype="object"),
                "uid": pd.Series([row.entry.uid for row in rows], dtype="int64"),
                "gid": pd.Series([row.entry.gid for row in rows], dtype="int64"),
                "modified": pd.to_datetime([row.entry.mtime_ns for row in rows], unit="ns", utc=True),
                "target": pd.Series([row.entry.target for row in rows], dtype="object"),
            }
        )
        frame.loc[frame["change"] == REMOVED, "modified"] = pd.NaT
        return Table(frame)

    def diff(self, other: "Image | str") -> Table:
        """Return what to do to this image's files to have another one's; see ``comparing.diff``."""
        return comparing.diff(self._client, self.id, str(other))

    def explore(self) -> "Explorer":
        """Return the layers with all they add, change, remove and waste, to look through in a notebook."""
        from nbcontainers.client.explorer import Explorer

        return Explorer(self)


def _mode(row: Row) -> str:
    """Return permissions as ``ls -l`` writes them, without the kind in front."""
    return "" if row.change == REMOVED else stat.filemode(row.entry.mode)[1:]


def image(name: str, client: DockerClient | None = None) -> Image:
    """Return an image of an engine, by default of the one that ``connect`` finds.

    Raises:
        docker.errors.ImageNotFound: There is none.
        Unavailable: No engine answers, or none can be started.
    """
    return Image(client if client is not None else connect(), name)
