"""What all networks of an engine stand on: the host's network namespace, a socket in it, and the table of rules.

Every function here, and in ``bridge`` and ``macvlan``, works in one thread of its own, which is the only one that
ever changes its namespace.

A namespace is made by unsharing that thread, keeping a descriptor, and returning. It has no name and no mount: it
lives as long as a descriptor or a process holds it, and its cables vanish with it. So whoever is killed, nothing is
left behind.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nbcontainers.errors import SyscallError, Unavailable
from nbcontainers.linux import namespaces, nftables, traffic
from nbcontainers.linux.netlink import LOOPBACK_INDEX, Netlink, check_ipvlan
from nbcontainers.networks import ownership
from nbcontainers.networks.model import Endpoint
from nbcontainers.networks.rules import Forwarding, Rules, Segment
from nbcontainers.runtime.defaults import NETWORK_SYSCTLS

_SYSCTL = Path("/proc/sys/net")


class Ground:
    """The host's side of an engine's networks; ``close`` it also when opening failed.

    Args:
        identity: The engine's eight hexadecimal digits.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        # One sentence each, by what it is about: so what is mended, or removed, is forgotten.
        self.problems: dict[str, str] = {}
        self.netlink: Netlink
        self.rules = Rules(ownership.table_name(identity))
        self.has_rules = False
        self._held = contextlib.ExitStack()
        self.home_fd = -1

    def open(self, kept: set[str]) -> None:
        """Open the socket and sweep; call it while ``ownership.alone``.

        Args:
            kept: The names of the bridges that this engine will take over.
        """
        self.home_fd = namespaces.open_namespace("net", "thread-self")
        self._held.callback(os.close, self.home_fd)
        self.netlink = Netlink()
        self._held.callback(self.netlink.close)
        ownership.sweep(self.netlink, self.identity, kept)

    def make_rules(self, segments: Iterable[Segment], forwardings: Iterable[Forwarding]) -> None:
        """Let containers out under the host's address; where that cannot be, say so and go on without."""
        try:
            self.write_sysctl("ipv4/ip_forward", "1")
        except OSError as error:
            self.problems["forwarding"] = f"containers have no way out: {_SYSCTL}/ipv4/ip_forward: {error.strerror}"
        try:
            self.rules.make(segments, forwardings)
            self.has_rules = True
            self._look_for_obstacles()
        except Unavailable as error:
            self.problems["rules"] = f"containers have no way out: {error}"

    def _look_for_obstacles(self) -> None:
        """See whether somebody else drops what is forwarded: an accept in one table does not outdo a drop in another.

        Source: nft(8) § Verdict statements (accept ends a base chain, drop ends all).
        """
        with contextlib.suppress(Unavailable):  # there is no such chain
            if "policy drop" in nftables.run("list chain ip filter FORWARD"):
                self.problems["obstacles"] = (
                    "containers may have no way out: the policy of the chain FORWARD, which dockerd or a firewall has "
                    "set, is DROP: let the engine's bridges through there, as with iptables -I DOCKER-USER -i nbc-+ "
                    "-j ACCEPT, and the same with -o"
                )

    def write_sysctl(self, name: str, value: str) -> None:
        """Set a variable of ``/proc/sys/net`` in the thread's namespace, unless it is so already.

        Raises:
            OSError: It is read-only, or there is none of that name.

        Source: proc(5) § /proc/sys/net.
        """
        path = _SYSCTL / name
        if path.read_text().strip() != value:
            path.write_text(value)

    def forward_ipv6(self) -> None:
        """Have the host pass packets of IPv6 on, without losing the routes it has from its router's advertisements.

        Source: Documentation/networking/ip-sysctl.rst § accept_ra.
        """
        for path in _SYSCTL.glob("ipv6/conf/*/accept_ra"):
            if path.read_text().strip() == "1":
                path.write_text("2")
        self.write_sysctl("ipv6/conf/all/forwarding", "1")

    @contextlib.contextmanager
    def entered(self, namespace_fd: int) -> Iterator[None]:
        """Be in another network namespace for a moment."""
        namespaces.setns(namespace_fd, namespaces.CLONE_NEWNET)
        try:
            yield
        finally:
            namespaces.setns(self.home_fd, namespaces.CLONE_NEWNET)

    @contextlib.contextmanager
    def inside(self, namespace_fd: int) -> Iterator[Netlink]:
        """Yield a socket in another network namespace; the thread itself is there only while it is opened."""
        with self.entered(namespace_fd):
            netlink = Netlink()
        with netlink:
            yield netlink

    def new_namespace(self) -> tuple[Netlink, int]:
        """Return a socket in a new network namespace, its loopback on, and a descriptor of it; both the caller's."""
        namespaces.unshare(namespaces.CLONE_NEWNET)
        try:
            namespace_fd = namespaces.open_namespace("net", "thread-self")
            try:
                # Hardware addresses are unique here; and a port that sends back (see ``switchboard``) would answer
                # the question whether somebody has the IPv6 address made of one.
                with contextlib.suppress(OSError):  # a kernel without IPv6
                    (_SYSCTL / "ipv6/conf/default/accept_dad").write_text("0")
                for name, value in NETWORK_SYSCTLS:
                    (_SYSCTL / name).write_text(value)
                netlink = Netlink()
            except BaseException:
                os.close(namespace_fd)
                raise
        finally:
            namespaces.setns(self.home_fd, namespaces.CLONE_NEWNET)
        try:
            netlink.set_up(LOOPBACK_INDEX)
        except BaseException:
            netlink.close()
            os.close(namespace_fd)
            raise
        return netlink, namespace_fd

    @functools.cached_property
    def why_no_delay(self) -> str:
        """Why this kernel can neither delay packets nor lose them; empty where it can. Found out once, by trying."""
        return self._refusal(traffic.check_delay) and "this kernel has no netem"

    @functools.cached_property
    def why_no_ipvlan(self) -> str:
        """Why this kernel makes no ipvlan, in its own words; empty where it does. Found out once, by trying."""
        return self._refusal(check_ipvlan)

    def _refusal(self, check: Callable[[Netlink], None]) -> str:
        netlink, namespace_fd = self.new_namespace()
        with netlink:
            try:
                check(netlink)
            except SyscallError as error:
                return str(error)
            finally:
                os.close(namespace_fd)
        return ""

    def close(self, *, purge: bool) -> None:
        """Let go; ``purge`` removes the rules. What is not open, or no longer, is no error."""
        with self._held:
            if purge and self.has_rules:
                with ownership.alone(), contextlib.suppress(Unavailable):
                    self.rules.delete()
            self.has_rules = False


def add_default_routes(inside: Netlink, endpoint: Endpoint) -> None:
    """Send what is for elsewhere through an endpoint's gateways."""
    for gateway in (endpoint.gateway, endpoint.ipv6_gateway):
        if gateway:
            inside.add_default_route(gateway, endpoint.interface)


def delete_default_routes(inside: Netlink, endpoint: Endpoint) -> None:
    """Take back what ``add_default_routes`` did."""
    for gateway in (endpoint.gateway, endpoint.ipv6_gateway):
        if gateway:
            inside.delete_default_route(gateway)
