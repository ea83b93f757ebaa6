"""Pushing for clients: which tags, in whose name, and what is told of it.

Source: Docker Engine API v1.47, ``POST /images/{name}/push``; moby, distribution/push.go.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nbcontainers import errors
from nbcontainers.engine.events import Events
from nbcontainers.engine.transfers import Transfers
from nbcontainers.images import Image, Images
from nbcontainers.images.fetching import LayerState
from nbcontainers.images.pushing import Pushed, Pushes, check
from nbcontainers.images.references import is_digest, locate, repository
from nbcontainers.images.registry import Credentials, Registries


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be pushed.

    Args:
        name: A repository's name, without tag.
        tag: A tag; empty for all that the repository has here.
        credentials: In whose name.
    """

    name: str
    tag: str
    credentials: Credentials


PushEvent = LayerState | Pushed
Tell = Callable[[PushEvent], object]


class ImagePushes:
    """All pushes of one engine.

    Attributes:
        pushes: What sends them.

    Args:
        images: Where images come from.
        registries: Where they go.
        events: Told of every image that was pushed.
    """

    def __init__(self, images: Images, registries: Registries, events: Events) -> None:
        self._images = images
        self._registries = registries
        self._events = events
        self.pushes = Pushes(images)
        self._transfers = Transfers()

    async def close(self) -> None:
        """Stop all that is going on."""
        await self._transfers.stop()
        self.pushes.close()

    async def push(self, asked: Asked, tell: Tell) -> None:
        """Push an image, or all of a repository's.

        Raises:
            errors.NotFound: There is no such image.
            errors.Conflict: It must not leave this machine.
            errors.Unauthorized: One must log in.
            errors.Forbidden: It is not for them.
            errors.RegistryError: The registry cannot be reached, or does not take it.
        """
        await self._transfers.run(self._push(asked, tell))

    async def _push(self, asked: Asked, tell: Tell) -> None:
        for reference, image in self._meant(asked):
            location = locate(reference)
            target = self._registries.repository(location.registry, location.repository, asked.credentials, push=True)
            pushed = await self.pushes.push(target, image, location.tag, tell)
            self._images.refer(image.id, f"{location.name}@{pushed.digest}")
            tell(pushed)
            labels = image.config.config.labels or {}
            self._events.emit("image", "push", reference, {**labels, "name": location.name})

    def _meant(self, asked: Asked) -> list[tuple[str, Image]]:
        """Return the references that are to be pushed, each with its image; all are looked at before the first goes."""
        if asked.tag:
            reference = str(locate(f"{asked.name}:{asked.tag}"))
            try:
                found = [(reference, self._images.get(reference))]
            except errors.NoSuchImage:
                raise errors.NotFound(f"An image does not exist locally with the tag: {asked.name}") from None
        else:
            name = locate(asked.name).name
            found = [
                (tag, image)
                for image in self._images.list()
                for tag in image.repo_tags
                if not is_digest(tag) and repository(tag) == name
            ]
            if not found:
                raise errors.NotFound(f"An image does not exist locally with the tag: {asked.name}")
        for reference, image in found:
            check(self._images, image, reference)
        return found
