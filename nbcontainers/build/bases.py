"""The images that a build stands on or copies from, as far as they are not here: they are pulled before anything runs.

That is also before the stages are sorted for good: what a base image wants to have run first (ONBUILD) is known only
when it is there.

A name stands for one image of each platform that stages are for. A tag can be of one only, so it is noted which image
is meant where: a later pull for another platform takes the tag away.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

from nbcontainers import errors
from nbcontainers.build.events import BuildEvent, BuildOptions, Pulling
from nbcontainers.build.graph import SCRATCH, Graph
from nbcontainers.build.platforms import Platform
from nbcontainers.images import Image, Images
from nbcontainers.images.platforms import normal, runnable
from nbcontainers.images.progress import working
from nbcontainers.images.pulling import PullEvent
from nbcontainers.images.references import HOST, is_digest, normalize, repository

Pull = Callable[[str, Platform, BuildOptions, Callable[[PullEvent], object]], Awaitable[object]]
Base = tuple[str, Platform]


class Bases:
    """The images of one build.

    Args:
        images: Those that are here.
        options: What was asked for.
    """

    def __init__(self, images: Images, options: BuildOptions) -> None:
        self._images = images
        self._options = options
        self._ids: dict[Base, str] = {}

    def get(self, name: str, platform: Platform) -> Image:
        """Return an image.

        Raises:
            errors.NoSuchImage: It is not here.
            errors.InvalidReference: The name cannot be one.
        """
        return self._images.get(self._ids.get((name, platform)) or name)

    def wanting(self, graph: Graph) -> list[Base]:
        """Return the images that the wanted stages name and that are to be pulled, each only once."""
        found: dict[Base, bool] = {}
        for stage in graph.stages:
            asked = bool(self._options.platform or stage.start.platform)
            names = [source.image for source in stage.sources.values() if source.image]
            if stage.parent is None:
                names.insert(0, stage.base)
            for name in names:
                if name != SCRATCH:
                    found[name, stage.platform] = found.get((name, stage.platform), False) or asked
        new = [base for base in found if base not in self._ids]
        return [base for base in new if self._is_wanting(*base, asked=found[base])]

    def _is_wanting(self, name: str, platform: Platform, *, asked: bool) -> bool:
        """Say whether an image is to be pulled: never one that is here and named by its id or digest."""
        self._ids[name, platform] = ""
        try:
            full = normalize(name)
            image = self._images.get(name)
            self._ids[name, platform] = image.id
            if repository(full) == HOST or full not in image.repo_tags or is_digest(full):
                return False
            return self._options.pull or (asked and not _is_for(image, platform))
        except errors.NotFound:
            return not name.startswith("sha256:")
        except errors.InvalidArgument:
            return False  # it will be said where it is used

    async def pull(self, name: str, platform: Platform, pull: Pull) -> AsyncGenerator[BuildEvent, None]:
        """Pull an image, and tell how far it is; it is the one that the name stands for, for this platform.

        Raises:
            errors.NotFound: It cannot be had; if one for another platform is here, that is said.
            errors.RegistryError: The registry cannot be reached, for example.
        """
        try:
            async with working(partial(pull, name, platform, self._options)) as work:
                while (event := await work.next()) is not None:
                    yield Pulling(event=event)
                await work.task
            self._ids[name, platform] = self._images.get(name).id
        except errors.NotFound as error:
            if found := self._ids[name, platform]:
                actual = _platform(self._images.get(found))
                if actual not in runnable(platform):
                    raise errors.NotFound(
                        f"image with reference {name} was found but does not match the specified platform: "
                        f"wanted {platform}, actual: {actual}: {error}"
                    ) from error
            raise
        except errors.RegistryError as error:
            raise errors.RegistryError(f"cannot pull '{name}': {error}") from error


def _platform(image: Image) -> Platform:
    return normal(image.config.os, image.config.architecture, image.config.variant)


def _is_for(image: Image, platform: Platform) -> bool:
    return not image.config.architecture or _platform(image) in runnable(platform)
