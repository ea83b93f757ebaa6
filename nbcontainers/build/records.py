"""What the build cache has on the disk: one record for each layer that a step made, and for each cache mount.

A record is *shared* when an image has its layer, so that forgetting it frees nothing; it is *in use* when a build or a
container stands on it just now. How often a step was found again, and when last, outlives the engine.

Source: Docker Engine API v1.47, ``BuildCache``; BuildKit, client/diskusage.go.
"""

import contextlib
import os
from dataclasses import dataclass

from nbcontainers.build.cache import Cache
from nbcontainers.build.caches import Caches
from nbcontainers.errors import NotFound
from nbcontainers.images import Images

REGULAR, CACHE_MOUNT = "regular", "exec.cachemount"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One of them; times are nanoseconds since the epoch, ``used_ns`` is 0 for never."""

    id: str
    parent: str
    kind: str
    description: str
    in_use: bool
    shared: bool
    size_bytes: int
    created_ns: int
    used_ns: int
    uses: int


def all_records(cache: Cache, caches: Caches, images: Images) -> list[Record]:
    """Return the records of an engine, the oldest first; it adds up files, so do it in a thread."""
    snapshots = images.snapshots
    shared: set[str] = set()
    in_use: set[str] = set()
    for tops, names in (({image.snapshot for image in images.list()}, shared), (snapshots.parents_in_use(), in_use)):
        for top in tops:
            with contextlib.suppress(NotFound):  # removed since
                names.update(snapshots.chain(top))
    found = [_of_mount(path, used) for path, used in caches.places()]
    for name, made in cache.made_layers().items():
        with contextlib.suppress(OSError, NotFound):  # removed since
            created_ns = os.stat(snapshots.files(name)).st_ctime_ns
            found.append(
                Record(
                    id=name,
                    parent=next(iter(snapshots.chain(name)[1:]), ""),
                    kind=REGULAR,
                    description=made.said,
                    in_use=name in in_use,
                    shared=name in shared,
                    size_bytes=snapshots.usage_bytes(name),
                    created_ns=created_ns,
                    used_ns=made.used_ns,
                    uses=made.uses,
                )
            )
    return sorted(found, key=lambda record: record.created_ns)


def _of_mount(path: str, used: bool) -> Record:
    facts = os.stat(path)
    return Record(
        id=f"{os.path.basename(os.path.dirname(path))}-{os.path.basename(path)}",
        parent="",
        kind=CACHE_MOUNT,
        description="directory of RUN --mount=type=cache",
        in_use=used,
        shared=False,
        size_bytes=Caches.size_bytes(path),
        created_ns=facts.st_ctime_ns,
        used_ns=facts.st_mtime_ns,
        uses=1,
    )
