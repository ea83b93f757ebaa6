"""Captures: what comes and goes in containers, taken down while somebody looks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from nbcontainers import errors
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.model import Container
from nbcontainers.engine.networking import Networking
from nbcontainers.networks import Capture, Networks
from nbcontainers.networks.model import HOST

MOST = 16


class Captures:
    """The captures that are under way, by the names that clients have given them.

    Args:
        lifecycle: Knows when a container ends.
        networking: Knows where it is.
        networks: Captures.
    """

    def __init__(self, lifecycle: Lifecycle, networking: Networking, networks: Networks) -> None:
        self._lifecycle = lifecycle
        self._networking = networking
        self._networks = networks
        self._captures: dict[str, Capture | None] = {}

    @contextlib.asynccontextmanager
    async def open(
        self, container: Container, name: str, *, snap_bytes: int, maximum_bytes: int
    ) -> AsyncIterator[Capture]:
        """Capture what comes and goes in a container until the end of the ``with`` statement.

        It is stopped when the container ends: a capture keeps the network namespace, and its addresses, alive.

        Args:
            container: A running container.
            name: Under which it can be stopped.
            snap_bytes: How much of each packet is wanted.
            maximum_bytes: How much in all.

        Raises:
            errors.Conflict: The container does not run, or the name is taken.
            errors.InvalidArgument: It has the host's network.
            errors.Unavailable: There are too many captures.
        """
        if container.host_config.network_mode == HOST:
            raise errors.InvalidArgument(
                f"container '{container.name}' has the host's network, which is not captured: use tcpdump on the host"
            )
        if not container.state.pid:
            raise errors.Conflict(f"container '{container.name}' is not running")
        if name in self._captures:
            raise errors.Conflict(f"there is a capture '{name}' already")
        if len(self._captures) >= MOST:
            raise errors.Unavailable("another capture", f"there are {MOST} of them", "stop one of them")
        self._captures[name] = None
        pid, ending = container.state.pid, asyncio.ensure_future(self._lifecycle.wait(container, "next-exit"))
        try:
            with self._networking.inside(container) as namespace_fd:
                capture = await self._networks.capture(namespace_fd, snap_bytes=snap_bytes, maximum_bytes=maximum_bytes)
            with contextlib.closing(capture):
                if container.state.pid != pid:
                    raise errors.Conflict(f"container '{container.name}' is not running")
                self._captures[name] = capture
                ending.add_done_callback(lambda _: self._ended(name, capture))
                yield capture
        finally:
            del self._captures[name]
            ending.cancel()

    def _ended(self, name: str, capture: Capture) -> None:
        if self._captures.get(name) is capture:  # it is not closed yet
            capture.stop()

    def stop(self, name: str) -> None:
        """Stop a capture; what came until now is still delivered.

        Raises:
            errors.NotFound: There is none of that name.
        """
        capture = self._captures.get(name)
        if capture is None:
            raise errors.NotFound(f"no such capture: {name}")
        capture.stop()
