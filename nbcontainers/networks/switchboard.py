"""All networks of an engine as the worker thread sees them: made, taken over, plugged into, removed.

``Networks`` (in ``network``) is the room's door and belongs to the event loop; what it asks for happens here, one
thing after the other, in the one thread that may change its namespace.
"""

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

from nbcontainers import errors
from nbcontainers.errors import SyscallError
from nbcontainers.linux import conntrack, traffic
from nbcontainers.linux.netlink import Netlink
from nbcontainers.linux.packets import PacketRing
from nbcontainers.networks import addresses as addressing
from nbcontainers.networks import ownership
from nbcontainers.networks.bridge import Bridge, bridge_name
from nbcontainers.networks.ground import Ground, add_default_routes, delete_default_routes
from nbcontainers.networks.macvlan import Macvlan
from nbcontainers.networks.model import OPTION_PARENT, Endpoint, Network, Shaping, Subnet, Wish
from nbcontainers.networks.nameserver import Sockets, open_sockets
from nbcontainers.networks.rules import Forwarding

Driver = Bridge | Macvlan
INTERFACES = "eth"


class Switchboard:
    """The drivers of one engine's networks.

    Args:
        identity: The engine's eight hexadecimal digits.
        default: The default bridge.
    """

    def __init__(self, identity: str, default: Network) -> None:
        self.ground = Ground(identity)
        self.default = Bridge(self.ground, default)
        self._drivers: dict[str, Driver] = {default.id: self.default}
        self._lost: dict[str, str] = {}

    def open(self, networks: Iterable[Network], forwardings: Iterable[Forwarding]) -> None:
        """Make everything ready, or take it over from an earlier engine.

        Args:
            networks: The user's networks.
            forwardings: The ports that are published.

        Raises:
            SyscallError: The kernel has no bridges.
            errors.Unavailable: No subnet is free.
        """
        drivers = [self._driver(network) for network in networks]
        with ownership.alone():
            self.ground.open({driver.name for driver in (*drivers, self.default) if isinstance(driver, Bridge)})
            # The default one last: it takes a subnet that is free, theirs are given.
            for driver in drivers:
                self._reopen(driver)
            self.default.open()
        segments = [driver.segment for driver in self._drivers.values() if driver.segment]
        self.ground.make_rules(segments, forwardings)

    def _driver(self, network: Network) -> Driver:
        return Macvlan(self.ground, network) if network.driver == "macvlan" else Bridge(self.ground, network)

    def _reopen(self, driver: Driver) -> None:
        """Make a network of the user's anew; when that fails the engine starts all the same."""
        try:
            driver.open()
        except (OSError, errors.Error) as error:
            self._lost[driver.network.id] = str(error)
            self.ground.problems[driver.network.id] = f"network '{driver.network.name}' is not there: {error}"
        else:
            self._drivers[driver.network.id] = driver

    def driver(self, network_id: str) -> Driver:
        """Return a network's driver.

        Raises:
            errors.Unavailable: The network could not be made anew when the engine started.
            errors.NoSuchNetwork: It was removed.
        """
        if network_id in self._lost:
            raise errors.Unavailable("the network", self._lost[network_id], "remove it and create it again")
        if network_id not in self._drivers:
            raise errors.NoSuchNetwork(network_id)
        return self._drivers[network_id]

    def create(self, network: Network) -> Network:
        """Make a network.

        Returns:
            The network with the subnets that were chosen for it.

        Raises:
            SyscallError: The kernel refuses.
            errors.Forbidden: A subnet or the bridge is another network's.
            errors.InvalidArgument: An option names nothing that is here.
            errors.Unavailable: No subnet is free, or nothing can keep networks apart.
        """
        if network.driver == "bridge" and not self.ground.has_rules:
            raise errors.Unavailable("a network", "nothing here keeps networks apart", "see the doctor about nftables")
        with ownership.alone():
            network = self._with_subnets(network)
            self._check_free(network)
            driver = self._driver(network)
            driver.open()
        try:
            if driver.segment:
                self.ground.rules.add(driver.segment)
        except BaseException:
            driver.close(purge=True)
            raise
        self._drivers[network.id] = driver
        return network

    def _with_subnets(self, network: Network) -> Network:
        """Choose the subnets that the user has not chosen."""
        subnets = list(network.subnets)
        netlink = self.ground.netlink
        own = [subnet.subnet for driver in self._drivers.values() for subnet in driver.network.subnets]
        if not any(not subnet.is_ipv6 for subnet in subnets):
            used = [*netlink.routes(), *netlink.all_addresses(), *(one for one in own if ":" not in one)]
            subnets.insert(0, _chosen(addressing.choose_subnet(used)))
        if network.ipv6 and not any(subnet.is_ipv6 for subnet in subnets):
            used = [*netlink.routes(10), *netlink.all_addresses(10), *(one for one in own if ":" in one)]
            subnets.append(_chosen(addressing.choose_ipv6_subnet(used, self.ground.identity)))
        return replace(network, subnets=tuple(subnets))

    def _check_free(self, network: Network) -> None:
        """Refuse what another network has."""
        name = bridge_name(self.ground.identity, network)
        for driver in self._drivers.values():
            other = driver.network
            if any(_overlap(one, two) for one in network.subnets for two in other.subnets):
                raise errors.Forbidden("invalid pool request: Pool overlaps with other one on this address space")
            if network.driver == "bridge" and isinstance(driver, Bridge) and driver.name == name:
                raise errors.Forbidden(
                    f"cannot create network {network.id} ({name}): conflicts with network {other.id} ({name}): "
                    f"networks have same bridge name"
                )
            parent = network.options.get(OPTION_PARENT)
            if network.driver == "macvlan" == other.driver and other.options.get(OPTION_PARENT) == parent:
                raise errors.Forbidden(f"network {other.name} is already using parent interface {parent}")

    def remove(self, network_id: str) -> None:
        """Remove a network; one that is not there is no error.

        Raises:
            SyscallError: The kernel does not remove the bridge.
        """
        self._lost.pop(network_id, None)
        self.ground.problems.pop(network_id, None)
        driver = self._drivers.pop(network_id, None)
        if driver is not None:
            driver.close(purge=True)
            if driver.segment and self.ground.has_rules:
                with contextlib.suppress(errors.Unavailable):  # somebody else has emptied our table
                    self.ground.rules.remove(driver.segment)

    def join(self, wishes: Sequence[Wish]) -> list[Endpoint]:
        """Make a namespace with a cable into each network; the first one is called eth0.

        Returns:
            The endpoints, in the order of the wishes, all of one namespace.

        Raises:
            SyscallError: A limit of the kernel is reached.
            errors.Error: A wish cannot be met; nothing is left.
        """
        endpoints: list[Endpoint] = []
        inside, namespace_fd = self.ground.new_namespace()
        with inside:
            try:
                for number, wish in enumerate(wishes):
                    driver = self.driver(wish.network_id)
                    endpoints.append(driver.plug(inside, namespace_fd, f"{INTERFACES}{number}", wish))
                self._set_way_out(inside, None, self.way_out(endpoints))
            except BaseException:
                os.close(namespace_fd)
                for endpoint in endpoints:
                    self.driver(endpoint.network_id).give_back(endpoint.address, endpoint.ipv6_address)
                raise
        return endpoints

    def connect(self, namespace_fd: int, existing: Sequence[Endpoint], wish: Wish) -> Endpoint:
        """Plug one more cable into a namespace that is in use.

        Raises:
            SyscallError: A limit of the kernel is reached.
            errors.Error: The wish cannot be met.
        """
        driver = self.driver(wish.network_id)
        taken = {endpoint.interface for endpoint in existing}
        interface = next(name for number in range(len(taken) + 1) if (name := f"{INTERFACES}{number}") not in taken)
        with self.ground.inside(namespace_fd) as inside:
            endpoint = driver.plug(inside, namespace_fd, interface, wish)
            try:
                self._set_way_out(inside, self.way_out(existing), self.way_out([*existing, endpoint]))
            except BaseException:
                driver.unplug(endpoint)
                raise
        return endpoint

    def disconnect(self, namespace_fd: int, endpoint: Endpoint, remaining: Sequence[Endpoint]) -> None:
        """Pull a cable out of a namespace that is in use.

        Raises:
            SyscallError: The kernel refuses.
        """
        before, after = self.way_out([endpoint, *remaining]), self.way_out(remaining)
        self.driver(endpoint.network_id).unplug(replace(endpoint, namespace_fd=namespace_fd))
        if after is not None and after != before:  # the routes of the one that is gone went with it
            with self.ground.inside(namespace_fd) as inside:
                add_default_routes(inside, after)

    def check_shaping(self, network_id: str, shaping: Shaping) -> None:
        """Refuse to slow down packets in a way that cannot be.

        Raises:
            errors.Unavailable: The kernel cannot delay packets, nor lose them.
            errors.Unsupported: The network has no cables.
        """
        network = self.driver(network_id).network
        if network.driver != "bridge":
            raise errors.Unsupported(
                f"the network '{network.name}' has no cables that could be slowed down at both ends: its driver is "
                f"{network.driver}, use one of the driver bridge"
            )
        if shaping.takes_netem and self.ground.why_no_delay:
            raise errors.Unavailable(
                "delay and loss of packets", self.ground.why_no_delay, "modprobe sch_netem, or give a rate alone"
            )

    def shape(self, namespace_fd: int, endpoint: Endpoint, shaping: Shaping) -> None:
        """Set how packets go over a cable: at its near end those to the container, at its far end those from it.

        Raises:
            SyscallError: The kernel refuses; then they go as they can.
            errors.Conflict: The container has done away with its interface.
            errors.Error: It cannot be; see ``check_shaping``.
        """
        self.check_shaping(endpoint.network_id, shaping)
        mtu = self.driver(endpoint.network_id).network.mtu or traffic.ETHERNET_MTU
        netlink = self.ground.netlink
        near = netlink.link_index(endpoint.host_interface)
        with self.ground.inside(namespace_fd) as inside:
            far = inside.link_index(endpoint.interface)
            if not near or not far:
                raise errors.Conflict(f"the container has no interface '{endpoint.interface}' any more")
            traffic.shape(netlink, near, mtu=mtu, **asdict(shaping))
            try:
                traffic.shape(inside, far, mtu=mtu, **asdict(shaping))
            except BaseException:
                traffic.clear(netlink, near)
                raise

    def open_name_server(self, namespace_fd: int) -> Sockets:
        """Open the sockets of a name server in a container's namespace.

        Raises:
            OSError: A limit of the kernel is reached.
        """
        with self.ground.entered(namespace_fd):
            return open_sockets()

    def listen(self, namespace_fd: int, snap_bytes: int) -> PacketRing:
        """Open a ring for all packets of a container's namespace.

        Raises:
            SyscallError: There is no memory for it.
        """
        with self.ground.entered(namespace_fd):
            return PacketRing(snap_bytes)

    def publish(self, endpoint: Endpoint, forwardings: Sequence[Forwarding]) -> None:
        """Lead ports of the host to an endpoint.

        Raises:
            SyscallError: The endpoint is gone.
            errors.Unavailable: The kernel refuses.
        """
        # With br_netfilter, what comes out of the bridge by a published port goes back into it without the host's
        # routing: then a container reaches itself by its own published port only over a port that sends back.
        netlink = self.ground.netlink
        netlink.set_hairpin(netlink.link_index(endpoint.host_interface))
        self.ground.rules.publish(forwardings)
        for one in forwardings:
            if one.protocol == "udp":
                # Who has sent to the port before would go on to be led where it led then.
                with contextlib.suppress(SyscallError):  # the kernel is older than 5.8: it forgets by itself in a while
                    conntrack.forget(_family(one.address), socket.IPPROTO_UDP, one.host_port)

    def unpublish(self, forwardings: Iterable[Forwarding]) -> None:
        """Take published ports back; when that fails, say so."""
        try:
            self.ground.rules.unpublish(forwardings)
        except errors.Unavailable as error:
            self.ground.problems["ports"] = f"published ports lead nowhere: {error}"
        else:
            self.ground.problems.pop("ports", None)

    def way_out(self, endpoints: Iterable[Endpoint]) -> Endpoint | None:
        """Return the endpoint that the default route leads through: as in Docker, by the networks' names."""
        leading = [endpoint for endpoint in endpoints if endpoint.gateway]
        return min(leading, key=lambda endpoint: self.driver(endpoint.network_id).network.name, default=None)

    def _set_way_out(self, inside: Netlink, before: Endpoint | None, after: Endpoint | None) -> None:
        if before == after:
            return
        if before is not None:
            delete_default_routes(inside, before)
        if after is not None:
            add_default_routes(inside, after)

    def close(self, *, purge: bool) -> None:
        """Let go of everything; ``purge`` removes it from the kernel. A second time is no error.

        Raises:
            SyscallError: The kernel does not remove a bridge.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self.ground.close, purge=purge)
            for driver in self._drivers.values():
                stack.callback(driver.close, purge=purge)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _chosen(subnet: addressing.IPNetwork) -> Subnet:
    return Subnet(subnet=str(subnet), gateway=str(subnet.network_address + 1), asked=False)


def _overlap(one: Subnet, two: Subnet) -> bool:
    first, second = ipaddress.ip_network(one.subnet), ipaddress.ip_network(two.subnet)
    return first.version == second.version and first.overlaps(second)
