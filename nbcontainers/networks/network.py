"""The networks of one engine: the bridge, with endpoints prepared ahead, and ``host`` and ``none``.

Making an endpoint takes about 5 ms, so some are made before they are wanted: ``attach`` takes one from the pool and
has it replaced in the background. One thread does all work that changes namespaces; the event loop never does.
"""

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nbcontainers.networks.addresses import Lease
from nbcontainers.networks.bridge import Bridge, Endpoint

PREPARED_ENDPOINTS = 4
_REFILL_DELAY_SECONDS = 0.02

T = TypeVar("T")


class Networks:
    """All networks of one engine.

    Args:
        identity: Eight hexadecimal digits that tell this engine from others on the machine.
    """

    def __init__(self, identity: str) -> None:
        self._ids = {
            name: hashlib.sha256(f"{identity}/{name}".encode()).hexdigest() for name in ("bridge", "host", "none")
        }
        self._bridge = Bridge(identity, self._ids["bridge"])
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="networks")
        self._pool: deque[Endpoint] = deque()
        self._leases: dict[str, str] = {}
        self._making: set[asyncio.Future[Endpoint]] = set()
        self._refilling: asyncio.Task[None] | None = None
        self._refill_problem = ""
        self._closed = False

    async def start(self, leases: list[Lease]) -> None:
        """Make the bridge ready; when that fails, nothing is left to be closed.

        Args:
            leases: The addresses that containers of an earlier engine still have.

        Raises:
            SyscallError: The kernel has no bridges.
            Unavailable: No subnet is free.
        """
        try:
            await self._work(self._bridge.open)
        except BaseException:
            await self.close(purge=False)
            raise
        for lease in leases:
            self._bridge.addresses.reserve(lease.address)
            self._leases[lease.container_id] = lease.address
        self._refill()

    @property
    def problems(self) -> list[str]:
        """What the networks cannot do on this machine, one sentence each."""
        return [*self._bridge.problems, *([self._refill_problem] if self._refill_problem else [])]

    @property
    def prepared(self) -> int:
        """How many endpoints wait to be taken."""
        return len(self._pool)

    async def attach(self, container_id: str) -> Endpoint:
        """Give a container a place in the bridge network.

        Raises:
            SyscallError: A limit of the kernel is reached.
            Unavailable: No address is free.
        """
        if self._pool:
            return self.attach_at_once(container_id)
        return self._lease(container_id, await self._make())

    def attach_at_once(self, container_id: str) -> Endpoint:
        """Do as ``attach`` does, where one is ``prepared``."""
        return self._lease(container_id, self._pool.popleft())

    def _lease(self, container_id: str, endpoint: Endpoint) -> Endpoint:
        self._leases[container_id] = endpoint.address
        self._refill()
        return endpoint

    def release(self, container_id: str) -> None:
        """Take a container's address back; its namespace has gone with it."""
        if address := self._leases.pop(container_id, None):
            self._bridge.addresses.give_back(address)

    def inspect(self) -> list[dict[str, object]]:
        """Return the networks as ``GET /networks`` shows them, without their containers."""
        addresses = self._bridge.addresses
        options = {
            "com.docker.network.bridge.name": self._bridge.name,
            "com.docker.network.bridge.default_bridge": "true",
        }
        config = [{"Subnet": str(addresses.subnet), "Gateway": addresses.gateway}]
        return [
            self._describe("bridge", "bridge", config, options),
            self._describe("host", "host", [], {}),
            self._describe("none", "null", [], {}),
        ]

    def _describe(
        self, name: str, driver: str, config: list[dict[str, str]], options: dict[str, str]
    ) -> dict[str, object]:
        return {
            "Name": name,
            "Id": self._ids[name],
            "Created": "0001-01-01T00:00:00Z",
            "Scope": "local",
            "Driver": driver,
            "EnableIPv6": False,
            "IPAM": {"Driver": "default", "Options": None, "Config": config},
            "Internal": False,
            "Attachable": False,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {},
            "Options": options,
            "Labels": {},
        }

    def _refill(self) -> None:
        if self._refilling is None and not self._closed and len(self._pool) < PREPARED_ENDPOINTS:
            self._refilling = asyncio.get_running_loop().create_task(self._refill_pool())

    async def _refill_pool(self) -> None:
        """Fill the pool, after the start that has emptied it had the processor for a moment."""
        try:
            await asyncio.sleep(_REFILL_DELAY_SECONDS)
            while len(self._pool) < PREPARED_ENDPOINTS and not self._closed:
                self._pool.append(await self._make())
            self._refill_problem = ""
        except Exception as error:
            self._refill_problem = f"cannot prepare endpoints: {error}"
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
            self._pool.append(made.result())

    async def _work(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def close(self, *, purge: bool) -> None:
        """Let go of all that no container uses; ``purge`` removes the bridge as well. A second time is no error.

        Raises:
            SyscallError: The kernel does not remove the bridge.
        """
        if self._closed:
            return
        self._closed = True
        if self._refilling is not None:
            await asyncio.wait([self._refilling])
        await asyncio.gather(*self._making, return_exceptions=True)
        while self._pool:
            os.close(self._pool.popleft().namespace_fd)
        try:
            await self._work(lambda: self._bridge.close(purge=purge))
        finally:
            self._thread.shutdown()
