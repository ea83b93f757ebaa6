"""Removing what nobody uses: stopped containers, images without a container, volumes without one.

Source: Docker Engine API, ``POST /containers/prune``, ``/images/prune``, ``/volumes/prune``; moby, daemon/prune.go.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from nbcontainers import errors
from nbcontainers.engine.model import Container
from nbcontainers.images import Image, Removals, staging
from nbcontainers.volumes import Volume

if TYPE_CHECKING:
    from nbcontainers.engine.engine import Engine

_IN_USE = ("running", "paused", "restarting", "removing")


class Pruning:
    """Removes what an engine has and nobody uses, and tells how many bytes that was.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    async def containers(self, chosen: Callable[[Container], bool]) -> tuple[list[str], int]:
        """Remove the containers that do not run.

        Args:
            chosen: Says which of them.

        Returns:
            The ids of those that were removed, and their bytes.
        """
        gone, freed = [], 0
        for container in self._engine.containers():
            if container.state.status in _IN_USE or not chosen(container):
                continue
            size = (await self._engine.sizes.of(container)).rw_bytes
            with contextlib.suppress(errors.Conflict, errors.NotFound):  # started or removed meanwhile
                await self._engine.remove(container.id)
                gone.append(container.id)
                freed += size
        self._tell("container", freed)
        return gone, freed

    async def images(self, chosen: Callable[[Image], bool], *, dangling: bool) -> tuple[Removals, int]:
        """Remove the images that no container was made of, and what was left of pulls that came to nothing.

        Args:
            chosen: Says which of them.
            dangling: Only those without a name.

        Returns:
            What was done, as in ``Engine.remove_image``, and the bytes of the layers that went.
        """
        engine = self._engine
        before = await asyncio.to_thread(engine.usage.layers)
        done: Removals = []
        for image in engine.images.list():
            used = any(container.image_id == image.id for container in engine.containers())
            if used or (dangling and image.repo_tags) or not chosen(image):
                continue
            # By its names: it goes with the last image that was built on it.
            for name in [*image.repo_tags, *image.repo_digests] or [image.id]:
                with contextlib.suppress(errors.Conflict, errors.NotFound):  # the host's, or in use since
                    done += await engine.tagging.remove(name)
        await asyncio.to_thread(engine.images.sweep, only=staging.on_shelf(engine.images))
        freed = max(before - await asyncio.to_thread(engine.usage.layers), 0)
        self._tell("image", freed)
        return done, freed

    async def volumes(self, chosen: Callable[[Volume], bool], *, anonymous: bool) -> tuple[list[str], int]:
        """Remove the volumes that no container has; those made with options of the driver stay, as in Docker.

        Args:
            chosen: Says which of them.
            anonymous: Only those that were made without a name.

        Returns:
            The names of those that were removed, and their bytes.
        """
        engine = self._engine
        gone, freed = [], 0
        for volume in engine.volumes.list():
            if anonymous and not engine.specification.is_anonymous(volume.name):
                continue
            if volume.driver_opts or self._is_mounted(volume) or not chosen(volume):
                continue
            size = await asyncio.to_thread(engine.usage.volume, volume)
            if self._is_mounted(volume):  # by a container that was made meanwhile
                continue
            with contextlib.suppress(errors.NotFound):
                await asyncio.to_thread(engine.volumes.remove, volume.name)
                engine.telling.tell_volume(volume.name, "destroy")
                gone.append(volume.name)
                freed += size
        self._tell("volume", freed)
        return gone, freed

    def _is_mounted(self, volume: Volume) -> bool:
        return any(
            mount.kind == "volume" and mount.name == volume.name
            for container in self._engine.containers()
            for mount in container.mounts
        )

    def _tell(self, kind: str, freed: int) -> None:
        self._engine.events.emit(kind, "prune", "", {"reclaimed": str(freed)})
