"""How many bytes of disk a container has: what it has written itself, and what it stands on.

What a container has written changes only while it runs, or when somebody copies into it; so it is counted once for one
that has stopped, and remembered.
"""

import asyncio
from dataclasses import dataclass

from nbcontainers import errors
from nbcontainers.engine.model import Container
from nbcontainers.images import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Docker's ``SizeRw`` and ``SizeRootFs``, bytes: what the container has written, and that with its image."""

    rw_bytes: int
    root_fs_bytes: int


class ContainerSizes:
    """Counts, and remembers for containers that do not run."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._known: dict[str, tuple[int, int]] = {}

    async def of(self, container: Container) -> Sizes:
        """Return a container's sizes."""
        moment = container.state.finished_at_ns if container.state.status in ("exited", "dead") else 0
        known_moment, size = self._known.get(container.id, (0, 0))
        if not moment or known_moment != moment:
            size = await asyncio.to_thread(self._images.snapshots.active_bytes, container.id)
            if moment:
                self._known[container.id] = (moment, size)
        try:
            below = self._images.get(container.image_id).size_bytes
        except errors.NotFound:
            below = 0  # the image was removed by force
        return Sizes(rw_bytes=size, root_fs_bytes=size + below)

    def forget(self, container: Container) -> None:
        """Count anew the next time: something was copied into the container, or it is no more."""
        self._known.pop(container.id, None)
