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
        self._bridge = Bridge(f"nbc-{identity[:6]}", self._ids["bridge"], f"nbcontainers_{identity}")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="networks")
        self._pool: deque[Endpoint] = deque()
        self._leases: dict[str, str] = {}
        self._refilling: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self, leases: list[Lease]) -> None:
        """Make the bridge ready.

        Args:
            leases: The addresses that containers of an earlier engine still have.

        Raises:
            SyscallError: The kernel has no bridges.
            Unavailable: No subnet is free.
        """
        await self._work(self._bridge.open)
        for lease in leases:
            self._bridge.addresses.reserve(lease.address)
            self._leases[lease.container_id] = lease.address
        self._refill()

    @property
    def problems(self) -> list[str]:
        """What the networks cannot do on this machine, one sentence each."""
        return self._bridge.problems

    async def attach(self, container_id: str) -> Endpoint:
        """Give a container a place in the bridge network.

        Raises:
            SyscallError: A limit of the kernel is reached.
            Unavailable: No address is free.
        """
        if self._pool:
            return self.attach_at_once(container_id)
        endpoint = await self._work(self._bridge.make_endpoint)
        return self._lease(container_id, endpoint)

    def has_prepared(self) -> bool:
        """Say whether an endpoint lies ready."""
        return bool(self._pool)

    def attach_at_once(self, container_id: str) -> Endpoint:
        """Do as ``attach`` does, where ``has_prepared``."""
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
                self._pool.append(await self._work(self._bridge.make_endpoint))
        except Exception as error:
            self.problems.append(f"cannot prepare endpoints: {error}")
        finally:
            self._refilling = None

    async def _work(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def close(self, *, purge: bool) -> None:
        """Let go of all that no container uses; ``purge`` removes the bridge as well."""
        self._closed = True
        if self._refilling is not None:
            await self._refilling
        while self._pool:
            os.close(self._pool.popleft().namespace_fd)
        await self._work(lambda: self._bridge.close(purge=purge))
        self._thread.shutdown()
