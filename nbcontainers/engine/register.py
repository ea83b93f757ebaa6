"""The register: all containers that there are, by their ids and their names."""

from nbcontainers import errors
from nbcontainers.engine.model import Container


class Register:
    """All containers.

    Attributes:
        by_id: Each under its id, the oldest first.
        names: The ids, each under its container's name.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, Container] = {}
        self.names: dict[str, str] = {}

    def add(self, container: Container) -> None:
        """Take in a container."""
        self.by_id[container.id] = container
        self.names[container.name] = container.id

    def remove(self, container: Container) -> None:
        """Strike a container off; its name is free."""
        self.by_id.pop(container.id, None)
        self.names.pop(container.name, None)

    def renamed(self, container: Container, old: str) -> None:
        """Have a container under its new name, and no longer under the old one."""
        self.names[container.name] = self.names.pop(old)

    def get(self, name: str) -> Container:
        """Return the container with this id, name or unique beginning of an id.

        Raises:
            errors.NoSuchContainer: There is none.
            errors.InvalidArgument: The beginning fits several ids.
        """
        bare = name.removeprefix("/")
        if found := self.by_id.get(name) or self.by_id.get(self.names.get(bare, "")):
            return found
        matches = [container for key, container in self.by_id.items() if name and key.startswith(name)]
        if len(matches) > 1:
            raise errors.InvalidArgument(f"multiple IDs found with provided prefix: '{name}'")
        if not matches:
            raise errors.NoSuchContainer(name)
        return matches[0]
