"""How an image came about, step by step."""

from dataclasses import dataclass

from nbcontainers import errors
from nbcontainers.images.config import parse_timestamp
from nbcontainers.images.store import Image, Images


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One step of an image's making, as ``docker history`` shows it."""

    id: str
    created_ns: int
    created_by: str
    tags: list[str]
    size_bytes: int
    comment: str


def history(images: Images, name: str) -> list[HistoryRow]:
    """Return how an image came about, the newest step first.

    Raises:
        errors.NoSuchImage: There is none.
    """
    image = images.get(name)
    known = _ancestors(images, image)
    chain = iter(images.snapshots.chain(image.snapshot))
    rows = []
    for number, entry in enumerate(reversed(image.config.history)):
        size = 0
        if not entry.empty_layer and (layer := next(chain, None)):
            size = images.snapshots.usage_bytes(layer)
        rows.append(
            HistoryRow(
                id=known[number].id if number in known else "<missing>",
                created_ns=parse_timestamp(entry.created),
                created_by=entry.created_by,
                tags=known[number].repo_tags if number in known else [],
                size_bytes=size,
                comment=entry.comment,
            )
        )
    return rows


def _ancestors(images: Images, image: Image) -> dict[int, Image]:
    """Return an image and those it was built on, by how many steps of its history came after them."""
    steps, found = len(image.config.history), {0: image}
    while image.parent:
        try:
            image = images.get(image.parent)
        except errors.NoSuchImage:
            break
        found.setdefault(steps - len(image.config.history), image)
    return found
