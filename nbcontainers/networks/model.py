"""What a network is, what a container may wish for in it, and what it is given: plain records."""

from dataclasses import dataclass, field
from typing import Literal

Driver = Literal["bridge", "host", "null", "macvlan"]

BRIDGE, HOST, NONE = "bridge", "host", "none"
PREDEFINED: dict[str, Driver] = {BRIDGE: "bridge", HOST: "host", NONE: "null"}
"""The networks that are always there, with their drivers."""

_PREFIX = "com.docker.network."
OPTION_BRIDGE_NAME = f"{_PREFIX}bridge.name"
OPTION_DEFAULT_BRIDGE = f"{_PREFIX}bridge.default_bridge"
OPTION_ICC = f"{_PREFIX}bridge.enable_icc"
OPTION_MASQUERADE = f"{_PREFIX}bridge.enable_ip_masquerade"
OPTION_HOST_BINDING = f"{_PREFIX}bridge.host_binding_ipv4"
OPTION_IPV6 = f"{_PREFIX}enable_ipv6"
OPTION_MTU = f"{_PREFIX}driver.mtu"
OPTION_PARENT = "parent"
OPTION_MACVLAN_MODE = "macvlan_mode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """One subnet of a network (Docker's IPAM config), IPv4 or IPv6.

    Args:
        subnet: Such as ``10.1.0.0/16``.
        gateway: The address by which containers leave it; empty for none.
        ip_range: The part of it that addresses are given out of; empty for all of it.
        auxiliary: Addresses that others have, by their names: never given out.
        asked: Whether the user has chosen it.
    """

    subnet: str
    gateway: str = ""
    ip_range: str = ""
    auxiliary: dict[str, str] = field(default_factory=dict)
    asked: bool = True

    @property
    def is_ipv6(self) -> bool:
        """Say which of the two kinds it is."""
        return ":" in self.subnet


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network as it was created; it never changes.

    Args:
        id: 64 hexadecimal digits.
        name: Unique among networks.
        driver: What it is made of.
        created_ns: When, nanoseconds since the epoch; 0 for those that are always there.
        subnets: What addresses there are; empty for the drivers ``host`` and ``null``, and for a default bridge, which
            takes what is free when it is made.
        ipv6: Whether containers get an IPv6 address.
        internal: Whether there is no way out.
        attachable: A note of Docker's swarm, kept and shown.
        options: The driver's options by Docker's names.
        ipam_options: Of the address driver: kept and shown.
        labels: The user's.
    """

    id: str
    name: str
    driver: Driver
    created_ns: int = 0
    subnets: tuple[Subnet, ...] = ()
    ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    options: dict[str, str] = field(default_factory=dict)
    ipam_options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def is_predefined(self) -> bool:
        """Say whether it is one of the three that are always there."""
        return self.name in PREDEFINED

    @property
    def mtu(self) -> int:
        """The longest packet in bytes; 0 for the kernel's choice."""
        return int(self.options.get(OPTION_MTU) or 0)

    def flag(self, option: str, otherwise: bool) -> bool:
        """Return an option that is a boolean."""
        text = self.options.get(option, "")
        return text.lower() in ("1", "t", "true") if text else otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a container wants in one network; what is empty is chosen for it."""

    network_id: str
    address: str = ""
    ipv6_address: str = ""
    mac_address: str = ""
    link_local: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A place in a network, ready to be used.

    Args:
        network_id: The network's id.
        endpoint_id: 64 hexadecimal digits.
        namespace_fd: The network namespace; whoever takes the endpoints of a container closes it, once.
        interface: The interface's name in there.
        address: The IPv4 address.
        prefix_length: Of the subnet.
        gateway: By which containers leave the network; empty for none.
        mac_address: The hardware address.
        host_interface: The name of the cable's end on the host; empty where there is no cable.
        ipv6_address: The IPv6 address; empty for none.
        ipv6_prefix_length: Of the IPv6 subnet.
        ipv6_gateway: Likewise.
    """

    network_id: str
    endpoint_id: str
    namespace_fd: int
    interface: str
    address: str
    prefix_length: int
    gateway: str
    mac_address: str
    host_interface: str
    ipv6_address: str = ""
    ipv6_prefix_length: int = 0
    ipv6_gateway: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """How packets of a container go in a network, both ways; 0: as fast, as soon and as surely as they can.

    Args:
        rate_bits_per_second: How fast, at most, each way.
        delay_usec: How much later each packet arrives, each way.
        loss_percent: How many of a hundred packets are lost, each way.
    """

    rate_bits_per_second: int = 0
    delay_usec: int = 0
    loss_percent: float = 0.0

    @property
    def takes_netem(self) -> bool:
        """Say whether it is more than a rate, which not every kernel can do."""
        return bool(self.delay_usec or self.loss_percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Addresses that a container has in a network; ``network_id`` empty: in the default bridge."""

    container_id: str
    address: str
    ipv6_address: str = ""
    network_id: str = ""
