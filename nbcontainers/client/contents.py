"""What the layers of an image hold: asked of an nbcontainers engine, or read from what any other server saves.

An engine of ours tells all entries in one answer. Docker and Podman tell nothing of the kind, so there the image is
saved and the heads of its archive are read; nothing is kept on the disk.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from docker import DockerClient

from nbcontainers.client import extension, saved

DIRECTORY, OPAQUE, FILE, LINK, HARD_LINK, WHITEOUT = "d", "o", "f", "l", "h", "w"


class Entry(NamedTuple):
    """One name in a layer.

    Args:
        path: Relative to the root.
        kind: ``d`` directory, ``o`` directory that hides what lies below it, ``f`` file, ``l`` symbolic link, ``h``
            another name of a file before, ``w`` whiteout, ``c b p s`` devices, pipe and socket.
        size: Bytes.
        mode: Permissions, with the bits for set-id and sticky.
        uid: Owner.
        gid: Group.
        mtime_ns: When it was written to, nanoseconds since the epoch.
        target: Where a link leads; the first name of a hard link.
        digest: Of a file's content, where that was read.
    """

    path: str
    kind: str
    size: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    target: str = ""
    digest: str = ""


@dataclass(slots=True, kw_only=True)
class Layer:
    """One layer: the digest of its archive, the step that has made it (its time as RFC 3339), and its entries."""

    digest: str
    created: str
    created_by: str
    entries: list[Entry] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Contents:
    """All layers of an image, the lowest first; ``base`` is what they hide of a file system that is no layer."""

    id: str
    layers: list[Layer]
    base: list[Entry]


def contents(client: DockerClient, name: str) -> Contents:
    """Return what the layers of an image hold.

    Raises:
        docker.errors.APIError: The engine refuses, or has no such image.
    """
    if not extension.is_ours(client):
        return from_archive(client, name, digests=False)
    found = extension.get_json(client, f"/images/{name}/layers")
    layers = [
        Layer(
            digest=row["digest"],
            created=row["created"],
            created_by=row["created_by"] or row["comment"],
            entries=_entries(row["entries"]),
        )
        for row in found["layers"]
    ]
    return Contents(id=found["id"], layers=layers, base=_entries(found["base"]))


def _entries(columns: dict[str, list[Any]]) -> list[Entry]:
    fields = Entry._fields[: len(columns)]
    return list(map(Entry, *(columns[name] for name in fields)))


def from_archive(client: DockerClient, name: str, *, digests: bool) -> Contents:
    """Save an image, and return what its archive says, with the digests of all files where they are asked for."""
    image = client.api.inspect_image(name)
    archive = saved.read(client.api.get_image(image["Id"]), digests=digests)
    config = archive.config
    diff_ids = config["rootfs"]["diff_ids"] or []
    steps = [step for step in config.get("history") or [] if not step.get("empty_layer")]
    steps = [{}] * (len(diff_ids) - len(steps)) + steps[max(len(steps) - len(diff_ids), 0) :]
    layers = [
        Layer(
            digest=digest,
            created=step.get("created") or "",
            created_by=step.get("created_by") or step.get("comment") or "",
            entries=_of_members(members),
        )
        for digest, step, members in zip(diff_ids, steps, archive.layers, strict=True)
    ]
    return Contents(id=image["Id"], layers=layers, base=[])


def _of_members(members: list[saved.Member]) -> list[Entry]:
    """Return the entries that the members of a layer's archive stand for; the last one of a path counts."""
    found: dict[str, Entry] = {}
    opaque = set()
    for member in members:
        parent, _, name = member.path.rpartition("/")
        if name == saved.OPAQUE_MARKER:
            opaque.add(parent)
        elif name.startswith(saved.WHITEOUT_PREFIX):
            path = f"{parent}/{name.removeprefix(saved.WHITEOUT_PREFIX)}".lstrip("/")
            found.setdefault(path, Entry(path, WHITEOUT))
        elif member.path:
            found[member.path] = Entry(*member)
    for path in opaque:
        found[path] = found.get(path, Entry(path, OPAQUE, mode=0o755))._replace(kind=OPAQUE)
    return list(found.values())
