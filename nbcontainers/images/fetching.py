"""Layers on their way from registries: downloaded, verified, unpacked, each once, however many want it.

A layer is unpacked while it arrives, into a place of its own: in a thread that reads what the event loop has put into a
spool, so that a slow disk does not hold up a registry. It counts only when its digest is right. Then it is kept on the
shelf (see ``staging``), until somebody puts it into an image; so what was complete outlives a pull that comes to
nothing, and an engine that is killed. All else vanishes with it.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nbcontainers import errors
from nbcontainers.images import staging
from nbcontainers.images.registry import Descriptor, Repository
from nbcontainers.images.spool import Spool
from nbcontainers.images.staging import Staged
from nbcontainers.images.store import Images

DOWNLOADS_AT_ONCE = 3
UNPACKED_AT_ONCE = max(2, min(os.cpu_count() or 2, 4))  # more would only keep the engine's loop from its turn
_BATCH_BYTES = 512 << 10
_REPORT_SECONDS = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerState:
    """How far a layer is.

    Args:
        name: Twelve digits of the digest of its blob.
        status: In Docker's words, such as ``Downloading``.
        current: How many bytes of the blob have been dealt with, where that is known.
        total: Out of how many.
    """

    name: str
    status: str
    current: int | None = None
    total: int | None = None


Tell = Callable[[LayerState], object]


def short(digest: str) -> str:
    """Return the twelve digits by which people know a blob."""
    return digest.removeprefix("sha256:")[:12]


class Fetch:
    """One layer on its way.

    Attributes:
        done: The layer, when it is there.
    """

    def __init__(self, fetches: "Fetches", blob: Descriptor, source: Repository) -> None:
        self._fetches = fetches
        self._images = fetches.images
        self._blob = blob
        self._source = source
        self._watchers: list[Tell] = []
        self._state = self._new_state("Pulling fs layer")
        self._shelf = staging.shelf_name(blob.digest)
        self._images.protect(self._shelf)
        self.done: asyncio.Task[Staged] = asyncio.ensure_future(self._run())

    def watch(self, tell: Tell) -> None:
        """Let somebody know how far it is, from now on."""
        self._watchers.append(tell)
        tell(self._state)

    def leave(self, tell: Tell) -> bool:
        """Let somebody know no longer; say whether nobody is left."""
        self._watchers.remove(tell)
        return not self._watchers

    async def close(self) -> None:
        """Stop, and wait until nothing of it is left."""
        self.done.cancel()
        await ended(self.done)
        self._images.unprotect(self._shelf)

    def _new_state(self, status: str, current: int | None = None) -> LayerState:
        total = None if current is None else self._blob.size
        return LayerState(name=short(self._blob.digest), status=status, current=current, total=total)

    def _tell(self, status: str, current: int | None = None) -> None:
        self._state = self._new_state(status, current)
        for tell in list(self._watchers):
            tell(self._state)

    async def _run(self) -> Staged:
        if there := staging.shelved(self._images, self._blob.digest):
            self._tell("Download complete")
            return there
        if self._fetches.downloads.locked():
            self._tell("Waiting")
        spool = Spool(self._fetches.directory, self._blob.digest)
        unpacking: asyncio.Future[Staged] | None = None
        try:
            async with self._fetches.downloads:
                unpacking = self._fetches.start(lambda: self._unpack(spool))
                await self._download(spool, unpacking)
            self._tell("Download complete")
            while not unpacking.done():
                self._tell("Extracting", min(spool.read_bytes, self._blob.size))
                await asyncio.wait({unpacking}, timeout=_REPORT_SECONDS)
            self._tell("Extracting", self._blob.size)
            return unpacking.result()
        except BaseException as error:
            spool.fail(error)
            raise
        finally:
            if unpacking is not None:
                unpacking.cancel()  # it helps only where it has not begun
                await ended(unpacking)
            spool.close()

    async def _download(self, spool: Spool, unpacking: "asyncio.Future[Staged]") -> None:
        loop, batch, current, told = asyncio.get_running_loop(), list[bytes](), 0, 0.0

        async def flush() -> None:
            await to_its_end(lambda: spool.write(b"".join(batch)))
            batch.clear()
            if unpacking.done():
                unpacking.result()

        batched = 0
        async with contextlib.aclosing(self._source.blob(self._blob)) as chunks:
            async for chunk in chunks:
                batch.append(chunk)
                batched += len(chunk)
                current += len(chunk)
                if batched >= _BATCH_BYTES:
                    await flush()
                    batched = 0
                if loop.time() - told >= _REPORT_SECONDS:
                    told = loop.time()
                    self._tell("Downloading", current)
        await flush()
        self._tell("Verifying Checksum")
        spool.finish()

    def _unpack(self, spool: Spool) -> Staged:
        layer = staging.unpack(self._images, spool, lambda: _drain(spool))
        try:
            staging.shelve(self._images, layer, self._blob.digest)
        except BaseException:
            self._images.snapshots.remove(layer.key)
            raise
        return layer


def _drain(spool: Spool) -> None:
    """Read what comes behind an archive's end; then the digest of all is known to be right."""
    while spool.read():
        continue


class Fetches:
    """All layers of one store that are on their way.

    Args:
        images: The store.
        directory: Where what arrives is kept until it is unpacked, without a name.
    """

    def __init__(self, images: Images, directory: Path) -> None:
        self.images = images
        self.directory = directory
        self.downloads = asyncio.Semaphore(DOWNLOADS_AT_ONCE)
        self._threads = ThreadPoolExecutor(UNPACKED_AT_ONCE, thread_name_prefix="unpack")
        self._fetches: dict[str, Fetch] = {}

    def start(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Do work in a thread, as soon as one is free."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextlib.asynccontextmanager
    async def layer(self, blob: Descriptor, source: Repository, tell: Tell) -> AsyncIterator[Fetch]:
        """Have a layer fetched, unless it is being fetched; when nobody wants it any more, that is stopped."""
        fetch = self._fetches.get(blob.digest)
        if fetch is None or (fetch.done.done() and (fetch.done.cancelled() or fetch.done.exception())):
            fetch = self._fetches[blob.digest] = Fetch(self, blob, source)
        fetch.watch(tell)
        try:
            yield fetch
        finally:
            if fetch.leave(tell):
                if self._fetches.get(blob.digest) is fetch:
                    del self._fetches[blob.digest]
                await fetch.close()

    def close(self) -> None:
        """End the threads; nothing is on its way any more."""
        self._threads.shutdown()


async def to_its_end(work: Callable[[], T]) -> T:
    """Return what a thread makes; when this is cancelled, it waits for the thread all the same."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    finally:
        await ended(working)


async def or_undone(work: Callable[[], T], undo: Callable[[T], object]) -> T:
    """Return what a thread makes; when this is cancelled, it waits for the thread, and what that has made is undone."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await ended(working)
        if not working.cancelled() and working.exception() is None:
            undo(working.result())
        raise


async def ended(working: "asyncio.Future[T]") -> None:
    """Wait until something has ended, whatever comes of it, however often the wait is cancelled."""
    while not working.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({working})
    if not working.cancelled():
        working.exception()


async def arrived(fetch: Fetch, others: list[Fetch]) -> Staged:
    """Return a fetched layer, or fail as soon as one of the others has failed.

    Raises:
        errors.Error: A layer cannot be had, or is not what it should be.
    """
    while not fetch.done.done():
        waiting = {one.done for one in others if not one.done.done()}
        finished, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in finished:
            one.result()
    if fetch.done.cancelled():
        raise errors.RegistryError("the download was stopped")
    return fetch.done.result()
