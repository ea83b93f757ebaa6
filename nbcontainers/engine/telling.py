"""What the world is told of containers, images, volumes and networks: their events, as Docker words them."""

from nbcontainers.engine.events import Events
from nbcontainers.engine.model import Container
from nbcontainers.images import Image
from nbcontainers.networks import Network


class Telling:
    """Emits the events of containers, images, volumes and networks.

    Args:
        events: Where they go.
    """

    def __init__(self, events: Events) -> None:
        self._events = events

    def tell(self, container: Container, action: str, **attributes: str) -> None:
        """Emit an event of the container, with its labels, image and name, as Docker does."""
        facts = {**container.config.labels, "image": container.config.image, "name": container.name, **attributes}
        self._events.emit("container", action, container.id, facts)

    def tell_volumes(self, container: Container, action: str) -> None:
        """Emit the events of a container's taking or leaving its volumes: ``mount`` or ``unmount``."""
        for mount in container.mounts:
            if mount.kind == "volume":
                facts = {"driver": "local", "container": container.id}
                if action == "mount":
                    writable = "false" if mount.read_only else "true"
                    facts |= {
                        "destination": mount.destination,
                        "read/write": writable,
                        "propagation": mount.propagation,
                    }
                self._events.emit("volume", action, mount.name, facts)

    def tell_volume(self, name: str, action: str) -> None:
        """Emit the event of a volume that was made or removed: ``create`` or ``destroy``."""
        self._events.emit("volume", action, name, {"driver": "local"})

    def tell_image(self, image: Image, action: str, name: str = "") -> None:
        """Emit an event of an image, with its labels, under a name or its id."""
        self._events.emit("image", action, image.id, {**(image.config.config.labels or {}), "name": name or image.id})

    def tell_image_deleted(self, image_id: str) -> None:
        """Emit the event of an image, or one below it, that is no more."""
        self._events.emit("image", "delete", image_id, {"name": image_id})

    def tell_network(self, network: Network, action: str, **attributes: str) -> None:
        """Emit an event of a network; with ``container``, of that one's coming or going."""
        self._events.emit("network", action, network.id, {**attributes, "name": network.name, "type": network.driver})
