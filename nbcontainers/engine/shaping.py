"""How a container's packets go in its networks: kept in its row, and set again whenever it is started."""

from nbcontainers import errors
from nbcontainers.engine import places
from nbcontainers.engine.model import Attachment, Container
from nbcontainers.networks import Networks, Shaping
from nbcontainers.networks.model import HOST, NONE


def is_wanted(attachment: Attachment) -> bool:
    """Say whether packets are to go otherwise than they can."""
    return attachment.shaping != Shaping()


def choose(container: Container, name: str) -> str:
    """Return the name of the network of a container that is meant.

    Args:
        container: The container.
        name: The one that was named; empty for the only one.

    Raises:
        errors.InvalidArgument: It is in several networks and none is named, or in none that has cables.
        errors.Forbidden: It is not in the one that was named.
    """
    mode = container.host_config.network_mode
    if mode.startswith("container:"):
        raise errors.InvalidArgument(
            f"container '{container.name}' has the network of another one: limit '{mode.removeprefix('container:')}'"
        )
    if HOST in container.networks or NONE in container.networks:
        raise errors.InvalidArgument(
            f"container '{container.name}' has no link that could be limited: its network is {mode}"
        )
    if name:
        if name not in container.networks:
            raise errors.Forbidden(f"container {container.id} is not connected to network {name}")
        return name
    if len(container.networks) != 1:
        raise errors.InvalidArgument(
            f"container '{container.name}' is in {len(container.networks)} networks: "
            f"name one of them: {', '.join(sorted(container.networks)) or 'there is none'}"
        )
    return next(iter(container.networks))


async def apply(networks: Networks, container: Container, namespace_fd: int) -> None:
    """Set how the packets of a container go, where it is to be otherwise than they can.

    Raises:
        SyscallError: The kernel refuses.
        errors.Error: They cannot be slowed down here.
    """
    for attachment in container.networks.values():
        if is_wanted(attachment) and attachment.endpoint.interface:
            await networks.shape(namespace_fd, places.endpoint(attachment.endpoint), attachment.shaping)
