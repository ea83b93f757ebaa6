"""The images that a build stands on or copies from, as far as they are not here: they are pulled before anything runs.

That is also before the stages are sorted for good: what a base image wants to have run first (ONBUILD) is known only
when it is there.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from nbcontainers import errors
from nbcontainers.build.events import BuildEvent, BuildOptions, Pulling
from nbcontainers.build.graph import SCRATCH, Graph
from nbcontainers.images import Images
from nbcontainers.images.pulling import PullEvent
from nbcontainers.images.references import HOST, is_digest, normalize, repository

Pull = Callable[[str, BuildOptions, Callable[[PullEvent], object]], Awaitable[object]]


def wanting(graph: Graph, images: Images, seen: set[str], *, always: bool) -> list[str]:
    """Return the images that the wanted stages name and that are to be pulled.

    Args:
        graph: The stages.
        images: Those that are here.
        seen: What was looked at before, and need not be again; it is added to.
        always: Whether images that are here are pulled anew.
    """
    found: dict[str, None] = {}
    for stage in graph.stages:
        if stage.parent is None and stage.base != SCRATCH:
            found[stage.base] = None
        found.update((source.image, None) for source in stage.sources.values() if source.image not in ("", SCRATCH))
    new = [name for name in found if name not in seen]
    seen.update(new)
    return [name for name in new if _is_wanting(images, name, always=always)]


def _is_wanting(images: Images, name: str, *, always: bool) -> bool:
    """Say whether an image is to be pulled: never one that is here and named by its id or digest."""
    try:
        full = normalize(name)
        if repository(full) == HOST:
            return False
        image = images.get(name)
        return always and full in image.repo_tags and not is_digest(full)
    except errors.NotFound:
        return not name.startswith("sha256:")
    except errors.InvalidArgument:
        return False  # it will be said where it is used


async def pulled(name: str, pull: Pull, options: BuildOptions) -> AsyncGenerator[BuildEvent, None]:
    """Pull an image, and tell how far it is."""
    events: asyncio.Queue[PullEvent | None] = asyncio.Queue()
    pulling = asyncio.ensure_future(pull(name, options, events.put_nowait))
    pulling.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield Pulling(event=event)
        await pulling
    finally:
        pulling.cancel()
        await asyncio.gather(pulling, return_exceptions=True)
