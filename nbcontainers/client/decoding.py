"""What packets say: who sends to whom, by which protocol, from port to port, and in a few words what for.

Ethernet, ARP, IPv4, IPv6, TCP, UDP, ICMP, and in DNS the names that are asked for. A packet that is cut short, or that
is nonsense, is told as far as it can be read.

Source: RFC 826 (ARP), 791 (IPv4), 8200 (IPv6), 9293 (TCP), 768 (UDP), 792 (ICMP), 4443 and 4861 (ICMPv6), 1035 (DNS).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, inet_ntop

from nbcontainers.client.dns import describe as describe_dns

_ARP, _IPV4, _IPV6, _VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
_ETHERTYPES = {_ARP: "ARP", _VLAN: "VLAN", 0x88CC: "LLDP"}
_ETHERNET_BYTES, _VLAN_BYTES, _IPV6_BYTES = 14, 4, 40
_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
_PROTOCOLS = {_TCP: "TCP", _UDP: "UDP", _ICMP: "ICMP", _ICMPV6: "ICMPv6", 2: "IGMP", 47: "GRE", 50: "ESP", 132: "SCTP"}
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60
_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
_DNS_PORT, _DNS_SERVER = 53, "127.0.0.11"
_HTTP = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"HTTP/1.")
_LONGEST_LINE = 100
_TYPES = {
    (_ICMP, 0): "echo reply",
    (_ICMP, 3): "destination unreachable",
    (_ICMP, 5): "redirect",
    (_ICMP, 8): "echo request",
    (_ICMP, 11): "time exceeded",
    (_ICMPV6, 1): "destination unreachable",
    (_ICMPV6, 2): "packet too big",
    (_ICMPV6, 3): "time exceeded",
    (_ICMPV6, 128): "echo request",
    (_ICMPV6, 129): "echo reply",
    (_ICMPV6, 130): "multicast listener query",
    (_ICMPV6, 131): "multicast listener report",
    (_ICMPV6, 133): "router solicitation",
    (_ICMPV6, 134): "router advertisement",
    (_ICMPV6, 135): "neighbour solicitation",
    (_ICMPV6, 136): "neighbour advertisement",
    (_ICMPV6, 143): "multicast listener report",
}


@dataclass(slots=True)
class Decoded:
    """What one packet says; ports are None where the protocol has none."""

    src: str = ""
    dst: str = ""
    proto: str = ""
    src_port: int | None = None
    dst_port: int | None = None
    flags: str = ""
    info: str = ""


def decode(data: bytes, *, is_ethernet: bool = True) -> Decoded:
    """Return what a packet says.

    Args:
        data: Its beginning.
        is_ethernet: Whether that is the header of Ethernet; or else of IP.
    """
    found = Decoded()
    try:
        _link(data, found) if is_ethernet else _internet(data, 0, found)
    except (struct.error, IndexError, ValueError):
        found.info = found.info or "cut short"
    return found


def _link(data: bytes, found: Decoded) -> None:
    found.dst, found.src = _mac(data[:6]), _mac(data[6:12])
    (kind,) = struct.unpack_from("!H", data, 12)
    begin = _ETHERNET_BYTES
    if kind == _VLAN:
        (kind,) = struct.unpack_from("!H", data, begin + 2)
        begin += _VLAN_BYTES
    if kind == _ARP:
        _arp(data, begin, found)
    elif kind in (_IPV4, _IPV6):
        _internet(data, begin, found)
    else:
        found.proto = _ETHERTYPES.get(kind, f"0x{kind:04x}")


def _mac(data: bytes) -> str:
    return ":".join(f"{one:02x}" for one in data)


def _arp(data: bytes, begin: int, found: Decoded) -> None:
    found.proto = "ARP"
    operation, sender, source, _, target = struct.unpack_from("!6xH6s4s6s4s", data, begin)
    found.src, found.dst = inet_ntop(AF_INET, source), inet_ntop(AF_INET, target)
    asks = operation == 1
    found.info = f"who has {found.dst}? tell {found.src}" if asks else f"{found.src} is at {_mac(sender)}"


def _internet(data: bytes, begin: int, found: Decoded) -> None:
    version = data[begin] >> 4
    if version == 4:
        fragment, protocol, source, target = struct.unpack_from("!6xHxB2x4s4s", data, begin)
        found.src, found.dst = inet_ntop(AF_INET, source), inet_ntop(AF_INET, target)
        begin += (data[begin] & 0xF) * 4
        is_later_part = bool(fragment & 0x1FFF)
    else:
        protocol, source, target = struct.unpack_from("!6xBx16s16s", data, begin)
        found.src, found.dst = inet_ntop(AF_INET6, source), inet_ntop(AF_INET6, target)
        protocol, begin, is_later_part = _past_extensions(data, begin + _IPV6_BYTES, protocol)
    found.proto = _PROTOCOLS.get(protocol, f"IP {protocol}")
    if is_later_part:
        found.info = "a later part of a packet"
    elif read := _TRANSPORTS.get(protocol):
        read(data, begin, found)


def _past_extensions(data: bytes, begin: int, protocol: int) -> tuple[int, int, bool]:
    """Return the protocol behind IPv6's extension headers, where it begins, and whether that is in another packet."""
    is_later_part = False
    while protocol in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION):
        following, length = data[begin], data[begin + 1]
        if protocol == _FRAGMENT:
            is_later_part = is_later_part or bool(struct.unpack_from("!H", data, begin + 2)[0] & 0xFFF8)
            length = 0
        protocol, begin = following, begin + (length + 1) * 8
    return protocol, begin, is_later_part


def _tcp(data: bytes, begin: int, found: Decoded) -> None:
    found.src_port, found.dst_port, offset, flags = struct.unpack_from("!HH8xBB", data, begin)
    found.flags = " ".join(name for bit, name in enumerate(_FLAGS) if flags >> bit & 1)
    payload = data[begin + (offset >> 4) * 4 :]
    if _is_dns(found) and len(payload) > 2:
        found.info = describe_dns(payload[2:])  # behind its length
    elif payload.startswith(_HTTP):
        found.info = payload.partition(b"\r\n")[0][:_LONGEST_LINE].decode("ascii", "replace")


def _udp(data: bytes, begin: int, found: Decoded) -> None:
    found.src_port, found.dst_port = struct.unpack_from("!HH", data, begin)
    if _is_dns(found):
        found.info = describe_dns(data[begin + 8 :])


def _is_dns(found: Decoded) -> bool:
    return _DNS_PORT in (found.src_port, found.dst_port) or _DNS_SERVER in (found.src, found.dst)


def _ports(data: bytes, begin: int, found: Decoded) -> None:
    found.src_port, found.dst_port = struct.unpack_from("!HH", data, begin)


def _icmp(protocol: int) -> Callable[[bytes, int, Decoded], None]:
    def read(data: bytes, begin: int, found: Decoded) -> None:
        found.info = _TYPES.get((protocol, data[begin]), f"type {data[begin]}")

    return read


_TRANSPORTS: dict[int, Callable[[bytes, int, Decoded], None]] = {
    _TCP: _tcp,
    _UDP: _udp,
    132: _ports,
    _ICMP: _icmp(_ICMP),
    _ICMPV6: _icmp(_ICMPV6),
}
