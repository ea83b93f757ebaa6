"""From what a client wants of networks to what the engine is asked for: new networks, endpoints, published ports.

Source: Docker Engine API v1.47, ``NetworkCreateRequest``, ``EndpointSettings``, ``PortMap``.
"""

import ipaddress
import re
import secrets
import time
from collections.abc import Iterable

from nbcontainers import errors
from nbcontainers.api.wire import networks as wire
from nbcontainers.engine.configuration import EndpointConfig, PortBinding
from nbcontainers.networks import Network, Subnet
from nbcontainers.networks import model as networks

PROTOCOLS = ("tcp", "udp", "sctp")
LAST_PORT = 65535
_DRIVERS: dict[str, networks.Driver] = {
    "": "bridge",
    "default": "bridge",
    "bridge": "bridge",
    "host": "host",
    "null": "null",
    "none": "null",
    "macvlan": "macvlan",
}
_ELSEWHERE = {
    "overlay": "this node is not a swarm manager, and networks of several hosts are not supported: use bridge",
}
_BRIDGE_OPTIONS = frozenset(
    (
        networks.OPTION_BRIDGE_NAME,
        networks.OPTION_ICC,
        networks.OPTION_MASQUERADE,
        networks.OPTION_HOST_BINDING,
        networks.OPTION_IPV6,
        networks.OPTION_MTU,
    )
)
_OPTIONS: dict[networks.Driver, frozenset[str]] = {
    "bridge": _BRIDGE_OPTIONS,
    "macvlan": frozenset((networks.OPTION_PARENT, networks.OPTION_MACVLAN_MODE, networks.OPTION_MTU)),
}
_FLAGS = (networks.OPTION_ICC, networks.OPTION_IPV6, networks.OPTION_MASQUERADE)
_TRUE = frozenset(("1", "t", "true"))
_BOOLEANS = _TRUE | {"0", "f", "false"}
_MTU = range(68, 65536)
_INTERFACE = re.compile(r"[^\s/]{1,15}")
_MACVLAN_MODES = ("bridge", "private", "vepa", "passthru")
_ENDPOINT_OPTIONS_NOT_DONE = ("com.docker.network.endpoint.sysctls", "com.docker.network.endpoint.ifname")
"""What Docker does something for; all other options of its drivers' endpoints are for the user to read again."""
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


def new_network(asked: wire.NetworkCreateRequest) -> Network:
    """Return the network that a client wants.

    Raises:
        errors.InvalidArgument: A value makes no sense.
        errors.NotFound: There is no such driver.
        errors.Unsupported: This engine does not do that.
    """
    if not asked.name.strip():
        raise errors.InvalidArgument("invalid network name: name is empty")
    driver = _driver(asked.driver or "")
    if asked.scope not in (None, "", "local") or asked.ingress:
        raise errors.Unsupported(_ELSEWHERE["overlay"])
    if asked.config_only or (asked.config_from or {}).get("Network"):
        raise errors.Unsupported("networks that are only a configuration are not supported: leave ConfigOnly out")
    if asked.enable_ipv4 is False:
        raise errors.Unsupported("networks without IPv4 are not supported: leave EnableIPv4 out")
    ipam = asked.ipam or wire.IPAM()
    if ipam.driver not in (None, "", "default"):
        raise errors.NotFound(f'could not find "{ipam.driver}" IPAM driver: use default')
    options = {name: value for name, value in (asked.options or {}).items() if value != ""}
    _check_options(driver, options)
    ipv6 = bool(asked.enable_ipv6) or options.get(networks.OPTION_IPV6, "").lower() in _TRUE
    return Network(
        id=secrets.token_hex(32),
        name=asked.name,
        driver=driver,
        created_ns=time.time_ns(),
        subnets=_subnets(ipam.config or [], ipv6=ipv6),
        ipv6=ipv6,
        internal=bool(asked.internal),
        attachable=bool(asked.attachable),
        options=options,
        ipam_options=ipam.options or {},
        labels=asked.labels or {},
    )


def no_ipvlan(refusal: str) -> errors.Unsupported:
    """Return why there is no network of the driver ipvlan.

    Args:
        refusal: The kernel's own words, where it has none either.
    """
    reason = f"this kernel has none ({refusal})" if refusal else "this engine has no such driver"
    return errors.Unsupported(f"networks of the driver ipvlan are not supported: {reason}; use bridge or macvlan")


def _driver(name: str) -> networks.Driver:
    if name in _ELSEWHERE:
        raise errors.Unsupported(_ELSEWHERE[name])
    if name not in _DRIVERS:
        raise errors.NotFound(f'could not find plugin {name} in v1 plugin registry: plugin "{name}" not found')
    return _DRIVERS[name]


def _check_options(driver: networks.Driver, options: dict[str, str]) -> None:
    known = _OPTIONS.get(driver, frozenset())
    for name, value in options.items():
        if name not in known:
            raise errors.InvalidArgument(
                f"invalid option '{name}' for the driver {driver}: {', '.join(sorted(known)) or 'none'} can be given"
            )
        if name in _FLAGS and value.lower() not in _BOOLEANS:
            raise errors.InvalidArgument(f"invalid value '{value}' for {name}: true or false is wanted")
    mtu, address = options.get(networks.OPTION_MTU), options.get(networks.OPTION_HOST_BINDING)
    if mtu and not (mtu.isdigit() and int(mtu) in _MTU):
        raise errors.InvalidArgument(f"invalid value '{mtu}' for {networks.OPTION_MTU}: 68 to 65535 is wanted")
    if address:
        _address(address, networks.OPTION_HOST_BINDING, version=4)
    name = options.get(networks.OPTION_BRIDGE_NAME, "br0")
    if not _INTERFACE.fullmatch(name) or name in (".", ".."):
        raise errors.InvalidArgument(f"invalid bridge name '{name}': 15 characters at most, no slash and no space")
    mode = options.get(networks.OPTION_MACVLAN_MODE)
    if mode and mode not in _MACVLAN_MODES:
        raise errors.InvalidArgument(f"invalid macvlan mode '{mode}': {', '.join(_MACVLAN_MODES)} are known")
    if driver == "macvlan" and not options.get(networks.OPTION_PARENT):
        raise errors.InvalidArgument("a macvlan network needs the option parent: the name of an interface of this host")


def _subnets(pools: list[wire.IPAMPool], *, ipv6: bool) -> tuple[Subnet, ...]:
    subnets = [_subnet(pool) for pool in pools]
    for kind in (False, True):
        if sum(one.is_ipv6 == kind for one in subnets) > 1:
            raise errors.InvalidArgument(
                "a network has one subnet of IPv4 and one of IPv6 at most: create two networks"
            )
    if not ipv6 and any(one.is_ipv6 for one in subnets):
        raise errors.InvalidArgument("a subnet of IPv6 needs EnableIPv6")
    return tuple(subnets)


def _subnet(pool: wire.IPAMPool) -> Subnet:
    if not pool.subnet:
        raise errors.InvalidArgument("invalid subnet: a gateway, range or auxiliary address needs a subnet")
    try:
        network = ipaddress.ip_network(pool.subnet, strict=False)
        ip_range = ipaddress.ip_network(pool.ip_range, strict=False) if pool.ip_range else None
    except ValueError as error:
        raise errors.InvalidArgument(f"invalid subnet or range: {error}") from None
    if network.num_addresses < 4:
        raise errors.InvalidArgument(f"invalid subnet {pool.subnet}: it has no room for a gateway and a container")
    if ip_range is not None and not (ip_range[0] in network and ip_range[-1] in network):
        raise errors.InvalidArgument(f"invalid range {pool.ip_range}: it is not in the subnet {pool.subnet}")
    auxiliary = pool.auxiliary_addresses or {}
    for what, text in (("gateway", pool.gateway or ""), *auxiliary.items()):
        if text and _address(text, what, version=network.version) not in network:
            raise errors.InvalidArgument(f"no matching subnet for {what} {text}")
    return Subnet(
        subnet=str(network),
        gateway=pool.gateway or str(network.network_address + 1),
        ip_range=str(ip_range) if ip_range else "",
        auxiliary=auxiliary,
    )


def _address(text: str, what: str, *, version: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(text)
        if address.version == version:
            return address
    except ValueError:
        pass
    raise errors.InvalidArgument(f"invalid address '{text}' for {what}: one of IPv{version} is wanted")


def endpoint(asked: wire.EndpointSettings | None) -> EndpointConfig:
    """Return what a container wants in a network.

    Raises:
        errors.InvalidArgument: A value makes no sense.
        errors.Unsupported: This engine does not do that.
    """
    asked = asked or wire.EndpointSettings()
    ipam = asked.ipam_config or wire.EndpointIPAM()
    if asked.gw_priority:
        raise errors.Unsupported(f"GwPriority comes with API 1.48: leave it out, it is '{asked.gw_priority}'")
    for name in _ENDPOINT_OPTIONS_NOT_DONE:
        if name in (asked.driver_opts or {}):
            raise errors.Unsupported(f"this engine does not know the driver option '{name}' of a container's network")
    return EndpointConfig(
        ipv4_address=ipam.ipv4_address or "",
        ipv6_address=ipam.ipv6_address or "",
        link_local_ips=tuple(ipam.link_local_ips or ()),
        aliases=tuple(dict.fromkeys(asked.aliases or ())),
        links=tuple(asked.links or ()),
        mac_address=mac_address(asked.mac_address or ""),
        driver_opts=asked.driver_opts or {},
    )


def mac_address(text: str) -> str:
    """Return a hardware address as the kernel writes it.

    Raises:
        errors.InvalidArgument: It is none, or one of many receivers.
    """
    if text and (not _MAC.fullmatch(text) or int(text[:2], 16) & 1):
        raise errors.InvalidArgument(f"invalid MAC address '{text}': one such as 02:42:ac:11:00:02 is wanted")
    return text.lower()


def exposed_ports(given: Iterable[str]) -> tuple[str, ...]:
    """Return ports as they are exposed: each with its protocol, ranges one by one.

    Raises:
        errors.InvalidArgument: One is none.
    """
    return tuple(f"{port}/{protocol}" for text in given for protocol in [_protocol(text)] for port in _ports(text))


def port_bindings(given: dict[str, list[wire.PortBinding] | None]) -> tuple[PortBinding, ...]:
    """Return published ports as they were asked for.

    Raises:
        errors.InvalidArgument: A port or an address makes no sense.
    """
    found = []
    for text, bindings in given.items():
        for port in _ports(text):
            for one in bindings or [wire.PortBinding()]:
                host_port = "" if one.host_port in (None, 0, "0") else str(one.host_port)
                if host_port:
                    _range(host_port, f"the host's port of {text}")
                if one.host_ip:
                    _host_address(one.host_ip)
                binding = PortBinding(
                    port=port, protocol=_protocol(text), host_ip=one.host_ip or "", host_port=host_port
                )
                found.append(binding)
    return tuple(found)


def _host_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise errors.InvalidArgument(f"invalid IP address '{text}' of a published port") from None


def _protocol(text: str) -> str:
    protocol = text.partition("/")[2].lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise errors.InvalidArgument(f"invalid protocol '{protocol}' of port '{text}': tcp, udp or sctp")
    return protocol


def _ports(text: str) -> range:
    return _range(text.partition("/")[0], f"port '{text}'")


def _range(text: str, what: str) -> range:
    first, dash, last = text.partition("-")
    last = last if dash else first
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= LAST_PORT):
        raise errors.InvalidArgument(f"invalid {what}: '{text}' is no port, nor a range such as 8000-8010")
    return range(int(first), int(last) + 1)
