"""What clients send about networks: the bodies of ``POST /networks/…``, and what a container wants in one."""

import msgspec

Texts = dict[str, str] | None


class PortBinding(msgspec.Struct, rename="pascal"):
    """An address and a port of the host; docker-py sends no number but a text."""

    host_ip: str | None = ""
    host_port: str | int | None = ""


class EndpointIPAM(msgspec.Struct, rename="pascal"):
    """The addresses that a container wants."""

    ipv4_address: str | None = msgspec.field(default=None, name="IPv4Address")
    ipv6_address: str | None = msgspec.field(default=None, name="IPv6Address")
    link_local_ips: list[str] | None = msgspec.field(default=None, name="LinkLocalIPs")


class EndpointSettings(msgspec.Struct, rename="pascal"):
    """What a container wants in a network; what clients send back of what they were told is not read."""

    ipam_config: EndpointIPAM | None = msgspec.field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str | None = None
    driver_opts: Texts = None
    gw_priority: int = 0


class IPAMPool(msgspec.Struct, rename="pascal"):
    """One subnet."""

    subnet: str | None = ""
    ip_range: str | None = msgspec.field(default="", name="IPRange")
    gateway: str | None = ""
    auxiliary_addresses: Texts = None


class IPAM(msgspec.Struct, rename="pascal"):
    """The subnets of a network."""

    driver: str | None = "default"
    config: list[IPAMPool] | None = None
    options: Texts = None


class NetworkCreateRequest(msgspec.Struct, rename="pascal"):
    """The body of ``POST /networks/create``."""

    name: str = ""
    check_duplicate: bool | None = None
    driver: str | None = None
    scope: str | None = None
    internal: bool | None = None
    attachable: bool | None = None
    ingress: bool | None = None
    config_only: bool | None = None
    config_from: Texts = None
    ipam: IPAM | None = msgspec.field(default=None, name="IPAM")
    enable_ipv4: bool | None = msgspec.field(default=None, name="EnableIPv4")
    enable_ipv6: bool | None = msgspec.field(default=None, name="EnableIPv6")
    options: Texts = None
    labels: Texts = None


class NetworkConnectRequest(msgspec.Struct, rename="pascal"):
    """The body of ``POST /networks/{id}/connect``."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnectRequest(msgspec.Struct, rename="pascal"):
    """The body of ``POST /networks/{id}/disconnect``."""

    container: str = ""
    force: bool | None = None
