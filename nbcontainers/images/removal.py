"""What goes with an image's name, and what keeps an image: the rules of ``docker rmi``.

Nothing here touches the disk: from the index as it is follows the index as it shall be, or a refusal.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nbcontainers import errors
from nbcontainers.images.index import Entry, Index
from nbcontainers.images.references import is_digest, repository

Names = list[str]
InUse = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be removed.

    Attributes:
        name: What the user calls it.
        reference: ``name`` in full; empty where it stands for the image and all of its references.
        force: Remove several references, or the image of a stopped container.
        prune: Remove images that this one was built on as well, where they have no name.
    """

    name: str
    reference: str
    force: bool
    prune: bool


@dataclass(frozen=True, slots=True)
class Users:
    """Who has an image: containers' ids by an image's id, all of them and those that run."""

    in_use: InUse
    running: InUse


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be: the new index, the references that go, the images that go with them."""

    index: Index
    untagged: Names
    deleted: Names


def plan(index: Index, image_id: str, wish: Wish, users: Users) -> Removal:
    """Say what remains of an index when a reference, or an image with all of its references, is removed.

    The digests of a repository go with the last tag that the image has there; with its last reference the image goes.

    Args:
        index: It stays as it is.
        image_id: The image.
        wish: Which of its names, and how.
        users: The containers.

    Raises:
        errors.Conflict: It is in use, or has several references.
    """
    names, using = index.names(image_id), users.in_use(image_id)
    hard = _hard_conflict(index, image_id, users.running(image_id))
    if wish.reference and using and not wish.force and _are_one(names):
        raise errors.Conflict(
            f'conflict: unable to remove repository reference "{wish.name}" (must force) - '
            f"container {using[0][:12]} is using its referenced image {_short(image_id)}"
        )
    if not wish.reference:
        _refuse(image_id, hard, "cannot be forced")
        if not wish.force:
            _refuse(image_id, _soft_conflict(names, using), "must be forced")
    going = _going(wish.reference, names) if wish.reference else names
    remaining = Index(dict(index.images), {key: target for key, target in index.references.items() if key not in going})
    deleted = []
    if set(going) == set(names) and not hard:
        deleted = _delete(image_id, remaining.images, remaining.references, users.in_use, prune=wish.prune)
    return Removal(remaining, going, deleted)


def _hard_conflict(index: Index, image_id: str, running: Names) -> str:
    """Say why an image must stay, whoever forces, or nothing."""
    if any(entry.parent == image_id for entry in index.images.values()):
        return "image has dependent child images"
    return f"image is being used by running container {running[0][:12]}" if running else ""


def _are_one(names: Names) -> bool:
    """Say whether an image has one name: a tag at most, and digests of its repository only."""
    tags = [name for name in names if not is_digest(name)]
    return len(tags) < 2 and len({repository(name) for name in names}) < 2


def _going(reference: str, names: Names) -> Names:
    """Return the names that an image loses with one of them: with a repository's last tag, its digests as well."""
    of_repository = [name for name in names if repository(name) == repository(reference) and name != reference]
    if is_digest(reference) or not all(is_digest(name) for name in of_repository):
        return [reference]
    return [reference, *of_repository]


def _soft_conflict(names: Names, users: Names) -> str:
    """Say why an image ought to stay, or nothing."""
    if not _are_one(names):
        return "image is referenced in multiple repositories"
    return f"image is being used by stopped container {users[0][:12]}" if users else ""


def _refuse(image_id: str, reason: str, how: str) -> None:
    if reason:
        raise errors.Conflict(f"conflict: unable to delete {_short(image_id)} ({how}) - {reason}")


def _delete(
    image_id: str, images: dict[str, Entry], references: dict[str, str], in_use: InUse, *, prune: bool
) -> Names:
    """Take an image out of an index, then its parents, as far as nothing else needs them; return what has gone."""
    deleted = [image_id]
    image_id = images.pop(image_id).parent
    while prune and image_id in images:
        needed = image_id in references.values() or in_use(image_id)
        if needed or any(entry.parent == image_id for entry in images.values()):
            break
        deleted.append(image_id)
        image_id = images.pop(image_id).parent
    return deleted


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
