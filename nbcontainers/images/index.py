"""The index of the image store: a small file, always replaced whole."""

from pathlib import Path

import msgspec

from nbcontainers import errors


class Entry(msgspec.Struct):
    """What the store knows of an image beside its configuration."""

    snapshot: str | None
    parent: str
    size_bytes: int
    created_ns: int
    tagged_ns: int = 0


class Index(msgspec.Struct):
    """All images by their ids, and the image of each reference, a tag or a digest."""

    images: dict[str, Entry] = {}
    references: dict[str, str] = {}

    def names(self, image_id: str) -> list[str]:
        """Return an image's references, sorted."""
        return sorted(reference for reference, target in self.references.items() if target == image_id)


def read(path: Path) -> Index:
    """Return the index in a file, an empty one when there is no file.

    Raises:
        errors.Unavailable: It is damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Index)
    except FileNotFoundError:
        return Index()
    except msgspec.DecodeError as error:
        raise errors.Unavailable(
            "the image store", f"'{path}' is damaged: {error}", "restore it, or remove it to lose all images"
        ) from error
