"""An image made of what a container has written: its upper directory, copied, as one layer more.

Source: Docker Engine API v1.47, ``POST /commit``.
"""

import os
from dataclasses import dataclass

from nbcontainers import errors
from nbcontainers.images import layers
from nbcontainers.images.config import ContainerDefaults, HistoryEntry, ImageConfig, RootFS, architecture, timestamp
from nbcontainers.images.store import Image, Images
from nbcontainers.linux import files
from nbcontainers.linux.overlay import OPAQUE_XATTR


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What an image is to be made of.

    Args:
        key: The active snapshot that was written to.
        base: The image that it stands on; None when that has gone.
        leave_out: Relative paths that are not to be in the image.
        defaults: What containers of the image will get.
        command: What was run, for the image's history.
        author: Who has made it.
        comment: A remark.
    """

    key: str
    base: Image | None
    leave_out: frozenset[str]
    defaults: ContainerDefaults
    command: str
    author: str
    comment: str


def write(images: Images, writing: Writing) -> Image:
    """Make an image; the snapshot stays as it is.

    Nothing is packed: the files are copied to a new layer, by reference where the file system can, with their
    whiteouts and opaque directories.

    Raises:
        errors.Conflict: The image that the container was made from is no more.
        errors.Unavailable: The disk is full.
    """
    snapshots, name = images.snapshots, os.urandom(16).hex()
    below = snapshots.parent(writing.key)
    base = _base(writing, below)
    images.protect(name)  # from the moment that it is a layer: another thread may be sweeping
    try:
        digest = _copy(images, writing, name, below)
        config = _config(writing, base, digest)
        size = base.size_bytes if base else 0
        return images.add(
            config,
            parent=base.id if base else "",
            snapshot=name if digest else below,
            size_bytes=size + (snapshots.usage_bytes(name) if digest else 0),
        )
    except BaseException as error:
        if snapshots.has(name):
            snapshots.remove_layer(name)
            snapshots.empty_trash()
        if isinstance(error, OSError):
            raise errors.Unavailable("disk space", str(error), "free some space") from error
        raise
    finally:
        images.unprotect(name)


def _base(writing: Writing, below: str | None) -> Image | None:
    if writing.base is None and below is not None:
        raise errors.Conflict(
            "the image that the container was made from was removed: its layers have no names any more"
        )
    return writing.base


def _copy(images: Images, writing: Writing, name: str, below: str | None) -> str:
    """Copy what was written to a layer of its own, and return its digest; nothing when nothing was written."""
    snapshots, key = images.snapshots, f"commit-{name}"
    snapshots.prepare(key, below)
    try:
        upper = snapshots.upper(key)
        with _Directories(str(snapshots.upper(writing.key)), str(upper)) as (source_fd, target_fd):
            files.copy_tree(source_fd, target_fd, leave_out=writing.leave_out, keep=(OPAQUE_XATTR,))
        if not any(os.scandir(upper)):
            snapshots.remove(key)
            return ""
        digest = layers.diff_id(upper)
        snapshots.commit(name, key)
    except BaseException:
        snapshots.remove(key)
        raise
    return digest


class _Directories:
    """Two open directories."""

    def __init__(self, source: str, target: str) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._fds = os.open(source, flags), os.open(target, flags)

    def __enter__(self) -> tuple[int, int]:
        return self._fds

    def __exit__(self, *_: object) -> None:
        for fd in self._fds:
            os.close(fd)


def _config(writing: Writing, base: Image | None, digest: str) -> ImageConfig:
    now = timestamp()
    step = HistoryEntry(
        created=now,
        created_by=writing.command,
        comment=writing.comment,
        author=writing.author,
        empty_layer=not digest,
    )
    return ImageConfig(
        created=now,
        author=writing.author,
        architecture=(base.config.architecture if base else "") or architecture(),
        os=base.config.os if base else "linux",
        config=writing.defaults,
        rootfs=RootFS(diff_ids=[*(base.config.rootfs.diff_ids if base else []), *([digest] if digest else [])]),
        history=[*(base.config.history if base else []), step],
    )
