"""Two images compared: what to do to the one's files to have the other's. Times do not count."""

from collections.abc import Iterator

import pandas as pd
from docker import DockerClient

from nbcontainers.client import extension, stacking
from nbcontainers.client.contents import DIRECTORY, FILE, OPAQUE, Entry, from_archive
from nbcontainers.client.stacking import ADDED, CHANGED, REMOVED
from nbcontainers.client.tables import Table

_CHANGES = pd.CategoricalDtype([ADDED, CHANGED, REMOVED])


def diff(client: DockerClient, first: str, second: str) -> Table:
    """Return in what the files of two images differ.

    An engine of ours compares them itself; of any other both images are saved, and their files' digests compared, but
    for their extended attributes.

    Returns:
        Columns path, change (category: added, changed, removed), differs (text: kind, content, target, device, mode,
        owner, attributes), before_bytes and after_bytes (missing where the path is not there).

    Raises:
        docker.errors.APIError: The engine refuses, or has no such image.
    """
    if extension.is_ours(client):
        columns = extension.get_json(client, f"/images/{first}/diff", other=second)
    else:
        one, other = (stacking.stack(from_archive(client, name, digests=True)).seen for name in (first, second))
        names = ("path", "change", "differs", "before", "after")
        rows = sorted(_differences(one, other))
        columns = {name: [row[number] for row in rows] for number, name in enumerate(names)}
    return Table(
        pd.DataFrame(
            {
                "path": pd.Series(columns["path"], dtype="object"),
                "change": pd.Categorical(columns["change"], dtype=_CHANGES),
                "differs": pd.Series(columns["differs"], dtype="object"),
                "before_bytes": pd.Series(columns["before"], dtype="Int64"),
                "after_bytes": pd.Series(columns["after"], dtype="Int64"),
            }
        )
    )


def _differences(
    one: dict[str, Entry], other: dict[str, Entry]
) -> Iterator[tuple[str, str, str, int | None, int | None]]:
    for path in one.keys() | other.keys():
        before, after = one.get(path), other.get(path)
        if before is None:
            yield f"/{path}", ADDED, "", None, after.size if after else None
        elif after is None:
            yield f"/{path}", REMOVED, "", before.size, None
        elif differs := ", ".join(_ways(before, after)):
            yield f"/{path}", CHANGED, differs, before.size, after.size


def _ways(before: Entry, after: Entry) -> Iterator[str]:
    """Yield in what the same path differs."""
    if _kind(before) != _kind(after):
        yield "kind"
        return
    if _kind(before) == FILE and (before.size, before.digest) != (after.size, after.digest):
        yield "content"
    if before.target != after.target:
        yield "target"
    if before.mode != after.mode:
        yield "mode"
    if (before.uid, before.gid) != (after.uid, after.gid):
        yield "owner"


def _kind(entry: Entry) -> str:
    return DIRECTORY if entry.kind == OPAQUE else entry.kind
