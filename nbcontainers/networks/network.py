"""The networks of one engine, and the places that containers have in them: the room's door.

One thread does all work that changes namespaces (see ``switchboard``); the event loop never does. What most containers
want lies ready: a place in the default bridge (``endpoint_pool``), or no network at all (``isolated``).
"""

import asyncio
import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import TypeVar

from nbcontainers import errors
from nbcontainers.linux.packets import PacketRing
from nbcontainers.networks.capture import Capture
from nbcontainers.networks.endpoint_pool import EndpointPool
from nbcontainers.networks.isolated import IsolatedPool
from nbcontainers.networks.model import BRIDGE, PREDEFINED, Endpoint, Lease, Network, Shaping, Wish
from nbcontainers.networks.names import Names, Seat
from nbcontainers.networks.nameserver import NameServer, Sockets
from nbcontainers.networks.ports import Ports, PortWish
from nbcontainers.networks.rules import Forwarding
from nbcontainers.networks.switchboard import Switchboard

_REFILL_DELAY_SECONDS = 0.02

T = TypeVar("T")


class Networks:
    """All networks of one engine.

    Attributes:
        isolated: Network namespaces for containers without a network.

    Args:
        identity: Eight hexadecimal digits that tell this engine from others on the machine.
    """

    def __init__(self, identity: str) -> None:
        predefined = [
            Network(id=hashlib.sha256(f"{identity}/{name}".encode()).hexdigest(), name=name, driver=driver)
            for name, driver in PREDEFINED.items()
        ]
        self._networks = {network.id: network for network in predefined}
        self._names = {network.name: network.id for network in predefined}
        self._switchboard = Switchboard(identity, predefined[0])
        self._default_id = self._names[BRIDGE]
        self.names = Names()
        self._name_servers: dict[str, NameServer] = {}
        self._ports = Ports()
        self._published: dict[str, list[Forwarding]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="networks")
        self._pool = EndpointPool(self._thread, self._switchboard.default, _REFILL_DELAY_SECONDS)
        self.isolated = IsolatedPool(self._thread, self._switchboard.ground.new_namespace, _REFILL_DELAY_SECONDS)
        self._leases: dict[str, list[Lease]] = {}
        self._arriving: Counter[str] = Counter()
        self._closed = False

    async def start(
        self,
        leases: list[Lease],
        networks: Iterable[Network] = (),
        published: Mapping[str, list[Forwarding]] = MappingProxyType({}),
    ) -> None:
        """Make the networks ready; when that fails, nothing is left to be closed.

        Args:
            leases: The addresses that containers of an earlier engine still have.
            networks: The user's networks.
            published: The ports that containers of an earlier engine have published, by the containers' ids.

        Raises:
            SyscallError: The kernel has no bridges.
            Unavailable: No subnet is free.
        """
        known = list(networks)
        forwardings = [one for some in published.values() for one in some]
        try:
            await self._work(lambda: self._switchboard.open(known, forwardings))
        except BaseException:
            await self.close(purge=False)
            raise
        for network in (*known, self._switchboard.default.network):
            self._networks[network.id] = network
            self._names[network.name] = network.id
        for lease in leases:
            self._reserve(lease)
        for container_id, some in published.items():
            self._published[container_id] = list(some)
            if problems := self._ports.reclaim(container_id, some):
                self._switchboard.ground.problems[container_id] = "; ".join(problems)
        self._pool.refill()

    def _reserve(self, lease: Lease) -> None:
        self._leases.setdefault(lease.container_id, []).append(lease)
        try:
            driver = self._switchboard.driver(lease.network_id or self._default_id)
        except errors.Error:
            return  # the network is gone; the address with it
        driver.book.reserve(lease.address, lease.ipv6_address)

    @property
    def problems(self) -> list[str]:
        """What the networks cannot do on this machine, one sentence each."""
        return [*self._switchboard.ground.problems.values(), *([self._pool.problem] if self._pool.problem else [])]

    @property
    def prepared(self) -> int:
        """How many endpoints wait to be taken."""
        return len(self._pool)

    # Networks.

    def all(self) -> list[Network]:
        """Return all networks: those that are always there, then the user's, oldest first."""
        return list(self._networks.values())

    def get(self, name: str) -> Network:
        """Return the network with this id, name or unique beginning of an id.

        Raises:
            errors.NoSuchNetwork: There is none.
            errors.InvalidArgument: The beginning fits several ids.
        """
        if found := self._networks.get(name) or self._networks.get(self._names.get(name, "")):
            return found
        matches = [network for key, network in self._networks.items() if name and key.startswith(name)]
        if len(matches) > 1:
            raise errors.InvalidArgument(f"network {name} is ambiguous ({len(matches)} matches found on ID prefix)")
        if not matches:
            raise errors.NoSuchNetwork(name)
        return matches[0]

    def bridge_of(self, network: Network) -> str:
        """Return the name of a network's bridge; empty for one that has none."""
        try:
            segment = self._switchboard.driver(network.id).segment
        except errors.Error:
            return ""
        return segment.bridge if segment else ""

    async def create(self, network: Network) -> Network:
        """Make a network.

        Returns:
            The network with the subnets that were chosen for it.

        Raises:
            errors.Conflict: The name is taken.
            errors.Forbidden: A subnet or the bridge is another network's.
            errors.InvalidArgument: An option names nothing that is here.
            errors.Unavailable: No subnet is free, or nothing can keep networks apart.
        """
        if network.name in self._names:
            raise errors.Conflict(f"network with name {network.name} already exists")
        self._names[network.name] = network.id  # before anybody waits: two may ask at once
        try:
            made = await self._work(lambda: self._switchboard.create(network))
        except BaseException:
            del self._names[network.name]
            raise
        self._networks[made.id] = made
        return made

    async def remove(self, network: Network) -> None:
        """Remove a network that nobody is in."""
        self._networks.pop(network.id, None)
        self._names.pop(network.name, None)
        await self._work(lambda: self._switchboard.remove(network.id))

    def is_used(self, network: Network) -> bool:
        """Say whether anybody is in a network, or on the way into it."""
        return self._arriving[network.id] > 0 or any(
            lease.network_id == network.id for leases in self._leases.values() for lease in leases
        )

    @contextlib.contextmanager
    def _expecting(self, wishes: Sequence[Wish]) -> Iterator[None]:
        """Keep the networks of the wishes in use until somebody is in them."""
        self._arriving.update(wish.network_id for wish in wishes)
        try:
            yield
        finally:
            self._arriving.subtract(wish.network_id for wish in wishes)

    def check(self, network: Network, wish: Wish) -> None:
        """Refuse a wish for an address that the network can never give.

        Raises:
            errors.InvalidArgument: It cannot.
        """
        book = self._switchboard.driver(network.id).book
        if wish.address:
            book.ipv4.check(wish.address)
        book.check_ipv6(wish.ipv6_address)

    # Places in them.

    async def attach(self, container_id: str) -> Endpoint:
        """Give a container a place in the default bridge.

        Raises:
            SyscallError: A limit of the kernel is reached.
            Unavailable: No address is free.
        """
        endpoint = await self._pool.take()
        self._note(container_id, endpoint)
        return endpoint

    def attach_at_once(self, container_id: str) -> Endpoint:
        """Do as ``attach`` does, where one is ``prepared``."""
        endpoint = self._pool.take_at_once()
        self._note(container_id, endpoint)
        return endpoint

    def _note(self, container_id: str, endpoint: Endpoint) -> None:
        lease = Lease(
            container_id=container_id,
            address=endpoint.address,
            ipv6_address=endpoint.ipv6_address,
            network_id=endpoint.network_id,
        )
        self._leases.setdefault(container_id, []).append(lease)

    async def join(self, container_id: str, wishes: Sequence[Wish]) -> list[Endpoint]:
        """Give a container a place in one network or several.

        Returns:
            The endpoints, in the order of the wishes, all of one namespace.

        Raises:
            SyscallError: A limit of the kernel is reached.
            errors.Error: A wish cannot be met; nothing is left.
        """
        if list(wishes) == [Wish(network_id=self._default_id)]:
            return [await self.attach(container_id)]
        with self._expecting(wishes):
            joining = asyncio.ensure_future(self._work(lambda: self._switchboard.join(wishes)))
            try:
                endpoints = await asyncio.shield(joining)
            except asyncio.CancelledError:
                joining.add_done_callback(self._let_go)
                raise
            for endpoint in endpoints:
                self._note(container_id, endpoint)
        return endpoints

    def _let_go(self, joined: "asyncio.Future[list[Endpoint]]") -> None:
        """Close the namespace that nobody waits for any more; its cables go with it."""
        if joined.cancelled() or joined.exception() is not None:
            return
        endpoints = joined.result()
        os.close(endpoints[0].namespace_fd)
        for endpoint in endpoints:
            self._switchboard.driver(endpoint.network_id).give_back(endpoint.address, endpoint.ipv6_address)

    async def connect(self, container_id: str, namespace_fd: int, existing: Sequence[Endpoint], wish: Wish) -> Endpoint:
        """Give a running container a place in one more network.

        Args:
            container_id: Its id.
            namespace_fd: Its network namespace.
            existing: The places that it has.
            wish: What it wants.

        Raises:
            SyscallError: A limit of the kernel is reached.
            errors.Error: The wish cannot be met.
        """
        with self._expecting([wish]):
            endpoint = await self._work(lambda: self._switchboard.connect(namespace_fd, existing, wish))
            self._note(container_id, endpoint)
        return endpoint

    async def disconnect(
        self, container_id: str, namespace_fd: int, endpoint: Endpoint, remaining: Sequence[Endpoint]
    ) -> None:
        """Take a running container out of a network.

        Raises:
            SyscallError: The kernel refuses.
        """
        await self._work(lambda: self._switchboard.disconnect(namespace_fd, endpoint, remaining))
        leases = self._leases.get(container_id, [])
        leases[:] = [lease for lease in leases if lease.network_id != endpoint.network_id]

    async def why_no_ipvlan(self) -> str:
        """Say why this kernel makes no ipvlan, in its own words; empty where it does."""
        return await self._work(lambda: self._switchboard.ground.why_no_ipvlan)

    async def check_shaping(self, network: Network, shaping: Shaping) -> None:
        """Refuse to slow down packets in a way that cannot be; see ``Switchboard.check_shaping``."""
        await self._work(lambda: self._switchboard.check_shaping(network.id, shaping))

    async def shape(self, namespace_fd: int, endpoint: Endpoint, shaping: Shaping) -> None:
        """Set how a container's packets go in a network.

        Args:
            namespace_fd: Its network namespace.
            endpoint: Its place in that network.
            shaping: How.

        Raises:
            SyscallError: The kernel refuses; then they go as they can.
            errors.Error: They cannot be slowed down here.
        """
        await self._work(lambda: self._switchboard.shape(namespace_fd, endpoint, shaping))

    def way_out(self, endpoints: Iterable[Endpoint]) -> Endpoint | None:
        """Return the endpoint that a container's default route leads through, and its published ports lead to."""
        return self._switchboard.way_out(endpoints)

    async def publish(self, container_id: str, wishes: Sequence[PortWish], endpoint: Endpoint) -> list[Forwarding]:
        """Lead ports of the host to a container, all of them or none.

        Args:
            container_id: Its id.
            wishes: Which ports.
            endpoint: Where they lead.

        Raises:
            errors.Conflict: A port is taken; the words are Docker's.
            errors.InvalidArgument: An address of the host cannot lead to this container.
            errors.Unavailable: Nothing here can forward.
        """
        if not self._switchboard.ground.has_rules:
            raise errors.Unavailable("a published port", "nothing here can forward", "see the doctor about nftables")
        forwardings = self._ports.take(container_id, wishes, endpoint.address, endpoint.ipv6_address)
        self._published.setdefault(container_id, []).extend(forwardings)
        try:
            await self._work(lambda: self._switchboard.publish(endpoint, forwardings))
        except BaseException:
            self.unpublish(container_id)
            raise
        return forwardings

    def unpublish(self, container_id: str) -> None:
        """Take a container's ports back; who is given them next is served after that."""
        if forwardings := self._published.pop(container_id, None):
            self._thread.submit(self._switchboard.unpublish, forwardings)
            self._switchboard.ground.problems.pop(container_id, None)
        self._ports.give_back(container_id)

    async def capture(self, namespace_fd: int, *, snap_bytes: int, maximum_bytes: int) -> Capture:
        """Begin to take down what comes and goes in a container; the caller closes it.

        Args:
            namespace_fd: Its network namespace.
            snap_bytes: How much of each packet is wanted.
            maximum_bytes: How much in all.

        Raises:
            SyscallError: There is no memory for it.
        """
        opening = asyncio.ensure_future(self._work(lambda: self._switchboard.listen(namespace_fd, snap_bytes)))
        try:
            ring = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_ring)
            raise
        return Capture(ring, snap_bytes=snap_bytes, maximum_bytes=maximum_bytes)

    def has_name_server(self, container_id: str) -> bool:
        """Say whether a container's questions about names are answered here."""
        return container_id in self._name_servers

    async def open_name_server(
        self, container_id: str, namespace_fd: int, seats: Sequence[Seat], servers: Callable[[], list[str]] | None
    ) -> None:
        """Answer a container's questions about names, until it is released.

        Args:
            container_id: Its id.
            namespace_fd: Its network namespace.
            seats: The networks in which names mean something to it.
            servers: Who is asked about the world; None: nobody.

        Raises:
            OSError: A limit of the kernel is reached.
        """
        opening = asyncio.ensure_future(self._work(lambda: self._switchboard.open_name_server(namespace_fd)))
        try:
            sockets = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_sockets)
            raise
        self.close_name_server(container_id)
        self._name_servers[container_id] = NameServer(sockets, self.names, seats, servers)

    def change_name_server(
        self, container_id: str, seats: Sequence[Seat], servers: Callable[[], list[str]] | None
    ) -> None:
        """Have a container's name server know other networks."""
        self._name_servers[container_id].change(seats, servers)

    def close_name_server(self, container_id: str) -> None:
        """Answer no more questions of a container; one that has no name server is no error."""
        if server := self._name_servers.pop(container_id, None):
            server.close()

    def release(self, container_id: str) -> None:
        """Take a container's addresses and ports back; its namespace has gone with it."""
        self.close_name_server(container_id)
        self.unpublish(container_id)
        for lease in self._leases.pop(container_id, ()):
            try:
                driver = self._switchboard.driver(lease.network_id or self._default_id)
            except errors.Error:
                continue
            driver.give_back(lease.address, lease.ipv6_address)

    async def _work(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def close(self, *, purge: bool) -> None:
        """Let go of all that no container uses; ``purge`` removes the bridges as well. A second time is no error.

        Raises:
            SyscallError: The kernel does not remove a bridge.
        """
        if self._closed:
            return
        self._closed = True
        await self._pool.close()
        self.isolated.close()
        self._ports.close()
        for container_id in list(self._name_servers):
            self.close_name_server(container_id)
        try:
            await self._work(lambda: self._switchboard.close(purge=purge))
        finally:
            self._thread.shutdown()


def _close_ring(opened: "asyncio.Future[PacketRing]") -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()


def _close_sockets(opened: "asyncio.Future[Sockets]") -> None:
    """Close what nobody waits for any more."""
    if not opened.cancelled() and opened.exception() is None:
        for one in opened.result():
            one.close()
