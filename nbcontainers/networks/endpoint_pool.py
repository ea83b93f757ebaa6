"""Places in a bridge that are made before anybody wants them.

Making one takes about 5 ms: a network namespace, a veth pair, an address. Who takes one has it replaced in the
background.
"""

import asyncio
import os
from collections import deque
from concurrent.futures import Executor

from nbcontainers import errors
from nbcontainers.networks.bridge import Bridge
from nbcontainers.networks.model import Endpoint

PREPARED_ENDPOINTS = 4


class EndpointPool:
    """The endpoints that lie ready.

    Attributes:
        problem: Why they cannot be made, empty while they can.

    Args:
        thread: The one that may change its namespace.
        bridge: The bridge that they are in.
        delay_seconds: For so long a container that starts has the processor for itself.
    """

    def __init__(self, thread: Executor, bridge: Bridge, delay_seconds: float) -> None:
        self._thread = thread
        self._bridge = bridge
        self._delay_seconds = delay_seconds
        self._ready: deque[Endpoint] = deque()
        self._making: set[asyncio.Future[Endpoint]] = set()
        self._refilling: asyncio.Task[None] | None = None
        self._closed = False
        self.problem = ""

    def __len__(self) -> int:
        """Return how many lie ready."""
        return len(self._ready)

    async def take(self) -> Endpoint:
        """Return an endpoint, the caller's from now on, made now where none lies ready.

        Raises:
            SyscallError: A limit of the kernel is reached.
            Unavailable: No address is free.
        """
        if not self._ready:
            try:
                endpoint = await self._make()
            except errors.Unavailable:
                if not self._ready:
                    raise  # else the pool was given the last address meanwhile
            else:
                self.refill()
                return endpoint
        return self.take_at_once()

    def take_at_once(self) -> Endpoint:
        """Return one of those that lie ready.

        Raises:
            IndexError: There is none.
        """
        endpoint = self._ready.popleft()
        self.refill()
        return endpoint

    def refill(self) -> None:
        """Make what is missing, soon."""
        if self._refilling is None and not self._closed and len(self._ready) < PREPARED_ENDPOINTS:
            self._refilling = asyncio.get_running_loop().create_task(self._refill())

    async def _refill(self) -> None:
        """Fill the pool, after the start that has emptied it had the processor for a moment."""
        try:
            await asyncio.sleep(self._delay_seconds)
            while len(self._ready) < PREPARED_ENDPOINTS and not self._closed:
                self._ready.append(await self._make())
            self.problem = ""
        except Exception as error:
            self.problem = f"cannot prepare endpoints: {error}"
        finally:
            self._refilling = None

    async def _make(self) -> Endpoint:
        """Make an endpoint; when the caller is cancelled meanwhile, it is made all the same, and the pool has it."""
        making = asyncio.get_running_loop().run_in_executor(self._thread, self._bridge.make_endpoint)
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(self._keep)
            raise

    def _keep(self, made: "asyncio.Future[Endpoint]") -> None:
        if made.cancelled() or made.exception() is not None:
            return
        if self._closed:
            os.close(made.result().namespace_fd)
        else:
            self._ready.append(made.result())

    async def close(self) -> None:
        """Let go of all; what is being made is waited for."""
        self._closed = True
        if self._refilling is not None:
            await asyncio.wait([self._refilling])
        await asyncio.gather(*self._making, return_exceptions=True)
        while self._ready:
            os.close(self._ready.popleft().namespace_fd)
