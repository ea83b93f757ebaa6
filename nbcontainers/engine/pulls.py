"""Pulling for clients: which registry, in whose name, what is told of it, and what is said when it is refused.

Source: moby, distribution/errors.go, for the words; Docker Engine API v1.47, ``POST /images/create``.
"""

from dataclasses import dataclass, replace

import msgspec

from nbcontainers import errors
from nbcontainers.build import BuildOptions
from nbcontainers.engine.events import Events
from nbcontainers.engine.transfers import Transfers
from nbcontainers.images import Images, manifests
from nbcontainers.images import config as image_config
from nbcontainers.images.platforms import Platform
from nbcontainers.images.pulling import Finished, PullEvent, Pulls, Stored, Tell
from nbcontainers.images.references import Location, locate
from nbcontainers.images.registry import Credentials, Descriptor, Registries, Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be pulled.

    Args:
        reference: An image's name, with tag or digest.
        everything: All tags of its repository, whatever the reference says.
        platform: Which of an index's images is wanted.
        credentials: In whose name.
    """

    reference: str
    everything: bool
    platform: Platform
    credentials: Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a registry has: a manifest or an index, and for which platforms."""

    manifest: Descriptor
    platforms: list[Platform]


class ImagePulls:
    """All pulls of one engine.

    Attributes:
        pulls: What fetches them.

    Args:
        images: Where images go.
        registries: Where they come from.
        events: Told of every image that was pulled.
    """

    def __init__(self, images: Images, registries: Registries, events: Events) -> None:
        self._images = images
        self._registries = registries
        self._events = events
        self.pulls = Pulls(images)
        self._transfers = Transfers()

    async def close(self) -> None:
        """Stop all that is going on."""
        await self._transfers.stop()
        self.pulls.close()

    async def provide(self, name: str, platform: Platform, options: BuildOptions, tell: Tell) -> None:
        """Pull an image for a build; see ``pull``."""
        asked = Asked(
            reference=name,
            everything=False,
            platform=platform,
            credentials=options.logins.get(locate(name).registry, Credentials()),
        )
        await self.pull(asked, tell)

    async def pull(self, asked: Asked, tell: Tell) -> None:
        """Pull an image, or all of a repository's; ``Finished`` is told last.

        Raises:
            errors.NotFound: There is no such image, or it may not be had.
            errors.RegistryError: The registry cannot be reached, or what came is not what it should be.
            errors.Unsupported: It is no image that could be stored.
        """
        await self._transfers.run(self._pull(asked, tell))

    async def _pull(self, asked: Asked, tell: Tell) -> None:
        location = locate(asked.reference)
        source = self._registries.repository(location.registry, location.repository, asked.credentials)
        locations = [location]
        if asked.everything:
            locations = [replace(location, tag=tag) for tag in await _tags(source, location)]
        news = [await self._pull_one(source, one, asked.platform, tell) for one in locations]
        tell(Finished(name=location.name if asked.everything else str(location), is_new=any(news)))

    async def _pull_one(self, source: Repository, location: Location, platform: Platform, tell: Tell) -> bool:
        found = False

        def told(event: PullEvent) -> None:
            nonlocal found
            found = True
            tell(event)

        try:
            pulled = await self.pulls.pull(source, location, platform, told)
        except errors.Error as error:
            if found:
                raise
            raise refused(error, location) from error
        tell(Stored(digest=pulled.digest))
        labels = pulled.image.config.config.labels or {}
        self._events.emit("image", "pull", str(location), {**labels, "name": location.name})
        return pulled.is_new

    async def describe(self, reference: str, credentials: Credentials) -> Described:
        """Return what a registry has under a name, without pulling it.

        Raises:
            errors.NotFound: There is nothing.
            errors.Unauthorized: One must log in.
            errors.Forbidden: It is not for them.
            errors.RegistryError: The registry cannot be reached, or what it says makes no sense.
        """
        location = locate(reference)
        source = self._registries.repository(location.registry, location.repository, credentials)
        manifest = await source.manifest(location.reference)
        descriptor = Descriptor(manifest.media_type, manifest.digest, len(manifest.data))
        found = manifests.read(manifest)
        if not isinstance(found, manifests.Contents):
            return Described(manifest=descriptor, platforms=[one.platform for one in found if one.platform])
        try:
            config = image_config.decode(await source.document(found.config))
        except msgspec.DecodeError as error:
            raise errors.RegistryError(f"the configuration '{found.config.digest}' is damaged: {error}") from error
        platform = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
        return Described(manifest=descriptor, platforms=[platform])


async def _tags(source: Repository, location: Location) -> list[str]:
    try:
        return await source.tags()
    except errors.Error as error:
        raise refused(error, location) from error


def refused(error: errors.Error, location: Location) -> errors.Error:
    """Return what a registry's refusal means to people: it does not tell whether an image is missing, or not theirs."""
    text = str(error)
    if isinstance(error, errors.Unauthorized | errors.Forbidden):
        return errors.NotFound(
            f"pull access denied for {location.name}, repository does not exist or may require 'docker login': {text}"
        )
    if isinstance(error, errors.NotFound):
        if text.startswith("name unknown"):
            return errors.NotFound(f"repository {location.name} not found: {text}")
        return errors.NotFound(f"manifest for {location} not found: {text}")
    return error
