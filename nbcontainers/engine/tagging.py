"""References of images, given and taken, and images removed with their last one, unless a container needs them."""

import asyncio

from nbcontainers.engine.live import LiveContainers
from nbcontainers.engine.model import Container
from nbcontainers.engine.register import Register
from nbcontainers.engine.telling import Telling
from nbcontainers.images import Images, Removals


class Tagging:
    """Gives images references, and takes them.

    Args:
        images: The images.
        register: Has the containers that were made from them.
        live: Those that run.
        telling: Tells of it.
    """

    def __init__(self, images: Images, register: Register, live: LiveContainers, telling: Telling) -> None:
        self._images = images
        self._register = register
        self._live = live
        self._telling = telling

    def tag(self, name: str, reference: str) -> None:
        """Give an image another reference."""
        image = self._images.get(name)
        self._images.tag(image.id, reference)
        self._telling.tell_image(image, "tag", name=reference)

    async def remove(self, name: str, *, force: bool = False, prune: bool = True) -> Removals:
        """Remove a reference, and the image with its last one; and what it was built on, unless not to be pruned.

        Returns:
            What was done: ``("Untagged", reference)`` and ``("Deleted", id)``.

        Raises:
            errors.Conflict: A container uses it.
        """
        image = self._images.get(name)
        done = await asyncio.to_thread(
            self._images.remove, name, force=force, in_use=self._users_of, running=self._runners_of, prune=prune
        )
        for action, what in done:
            if action == "Untagged":
                self._telling.tell_image(image, "untag")
            else:
                self._telling.tell_image_deleted(what)
        return done

    def _users_of(self, image_id: str) -> list[str]:
        """Return the ids of the containers made from an image."""
        return [container.id for container in self._made_from(image_id)]

    def _runners_of(self, image_id: str) -> list[str]:
        """Return the ids of those of them that run."""
        return [container.id for container in self._made_from(image_id) if container in self._live]

    def _made_from(self, image_id: str) -> list[Container]:
        # A copy: images are removed in a thread, while containers come and go.
        return [container for container in list(self._register.by_id.values()) if container.image_id == image_id]
