"""Restoring a volume from an archive: it has all of it afterwards, or is as it was.

The archive is unpacked beside the volume, and the two directories change places in one system call. What the volume had
and the archive has not comes along as hard links, so that merging copies nothing. Containers that have the volume are
kept from being started while the places change; one that runs would go on with the files of before, so it is an error.
Into a file system of a volume's own the files are copied and then moved, see ``volume_merging``.

Source: renameat2(2) § RENAME_EXCHANGE; openat2(2) § RESOLVE_IN_ROOT.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Protocol

from nbcontainers import errors
from nbcontainers.engine import volume_merging
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.model import Container
from nbcontainers.images.compression import Readable, decompressed
from nbcontainers.images.sources import Source
from nbcontainers.images.unpacking import Rules, Unpacker
from nbcontainers.linux import files
from nbcontainers.volumes import Draft, Volume, Volumes


class Opener(Protocol):
    """Opens a volume's root, see ``VolumeFiles.opened``."""

    def __call__(self, name: str, *, to_write: bool = False) -> contextlib.AbstractAsyncContextManager[int]:
        """Yield a descriptor of it."""


class VolumeImports:
    """Gives volumes of one engine other files.

    Args:
        volumes: The volumes.
        lifecycle: Of the containers that may have them.
        opened: Opens a volume.
    """

    def __init__(self, volumes: Volumes, lifecycle: Lifecycle, opened: Opener) -> None:
        self._volumes = volumes
        self._lifecycle = lifecycle
        self._opened = opened
        self._changing = asyncio.Lock()  # who holds several containers waits for nobody who does

    @contextlib.asynccontextmanager
    async def drafted(self) -> AsyncIterator[Draft]:
        """Yield a directory to unpack into; what is left in it, or was exchanged for it, is removed."""
        drafted = self._volumes.drafted()
        draft = await asyncio.to_thread(drafted.__enter__)
        try:
            yield draft
        finally:
            await asyncio.to_thread(drafted.__exit__, None, None, None)

    async def take_over(self, name: str, draft: Draft, implied: list[str], *, replace: bool) -> bool:
        """Let a draft be a volume's files.

        Args:
            name: The volume; made when it is not there.
            draft: What ``unpack`` has filled.
            implied: The directories that the archive had something in, but not themselves.
            replace: What the volume has, and the archive has not, goes.

        Returns:
            Whether the volume was made.

        Raises:
            errors.Conflict: A container that has the volume runs; or it is in memory, and none does.
            errors.InvalidArgument: It is no name for a volume.
            errors.Internal: It has a file system of its own, which cannot be mounted.
            errors.Unsupported: Its size is limited.
        """
        done: set[str] = set()
        async with self._changing, contextlib.AsyncExitStack() as held:
            created = not self._is_there(name)
            volume = await asyncio.to_thread(self._volumes.create, name, labels={}, driver_opts={})
            if volume.size_bytes:
                raise errors.Unsupported(
                    f"cannot import into the volume '{name}': its size is limited to {volume.driver_opts['size']}, and "
                    f"both what it has and the archive would count: unpack the archive in a container that has it"
                )
            if volume.has_own_file_system:
                await self._merge(volume, draft, implied, held, replace=replace)
                return created
            await self._hold(name, held, done)
            await asyncio.to_thread(_complete, str(volume.mountpoint), draft, implied, replace=replace)
            await self._hold(name, held, done)
            self._volumes.take_over(name, draft)  # on the loop: no container begins to start meanwhile
        return created

    async def _merge(
        self, volume: Volume, draft: Draft, implied: list[str], held: contextlib.AsyncExitStack, *, replace: bool
    ) -> None:
        """Add a draft to a volume with a file system of its own; one in memory has to be there, so a container runs.

        Raises:
            errors.Conflict: A container that has the volume runs; or it is in memory, and none does.
        """
        if not volume.is_in_memory:
            await self._hold(volume.name, held, set())
        async with self._opened(volume.name, to_write=True) as root_fd:
            with files.opened(root_fd, ".") as fd:  # a mount's root is open for paths alone
                await asyncio.to_thread(volume_merging.merge, draft.fd, fd, implied, replace=replace)

    def _is_there(self, name: str) -> bool:
        with contextlib.suppress(errors.NotFound):
            return bool(self._volumes.get(name))
        return False

    async def _hold(self, name: str, held: contextlib.AsyncExitStack, done: set[str]) -> None:
        """Keep the containers that have a volume from being started.

        Raises:
            errors.Conflict: One of them runs.
        """
        while users := [container for container in self._users(name) if container.id not in done]:
            for container in users:
                self._refuse_running(name, container)
                done.add(container.id)
                with contextlib.suppress(errors.NoSuchContainer):  # removed since
                    await held.enter_async_context(self._lifecycle.held(container))
                    self._refuse_running(name, container)

    def _users(self, name: str) -> list[Container]:
        return [
            container
            for container in self._lifecycle.register.by_id.values()
            if any(mount.kind == "volume" and mount.name == name for mount in container.mounts)
        ]

    def _refuse_running(self, name: str, container: Container) -> None:
        if container in self._lifecycle.live:
            raise errors.Conflict(
                f"cannot import into the volume '{name}': container '{container.name}' uses it and runs: stop it first"
            )


def unpack(draft: Draft, stream: Readable) -> list[str]:
    """Unpack an archive, compressed or not, into a draft.

    Returns:
        The directories that the archive has something in, but not themselves.

    Raises:
        errors.InvalidArgument: It is no archive, is cut short, or has a name that leads out of the volume.
    """
    with Unpacker(draft.fd, Rules(whiteouts=False)) as unpacker:
        unpacker.unpack(Source(decompressed(stream)))
    return unpacker.implied if unpacker.has_root else [".", *unpacker.implied]


def _complete(volume: str, draft: Draft, implied: list[str], *, replace: bool) -> None:
    """Add to a draft what the volume has and it has not, and bring all of it to the disk.

    What the archive said nothing about keeps the owner and mode that it has in the volume.
    """
    volume_fd = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for path in implied:
            with contextlib.suppress(OSError):  # the volume has none
                with files.opened(volume_fd, path) as source_fd, files.opened(draft.fd, path) as target_fd:
                    files.copy_attributes(source_fd, target_fd)
        if not replace:
            files.link_missing(volume_fd, draft.fd)
        files.syncfs(draft.fd)
    finally:
        os.close(volume_fd)
