"""Packets as a file: the format that Wireshark and tcpdump read, written as the packets come.

Source: IETF draft-ietf-opsawg-pcapng § 4.1 (section header), 4.2 (interface description), 4.3 (enhanced packet), 4.5
(interface statistics). Times are nanoseconds; numbers are little-endian.
"""

import struct

from nbcontainers import __version__
from nbcontainers.linux.packets import ARPHRD_ETHER, ARPHRD_LOOPBACK, Packet

CONTENT_TYPE = "application/x-pcapng"

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_MAGIC, _MAJOR, _MINOR, _UNKNOWN_LENGTH = 0x1A2B3C4D, 1, 0, -1
_LINKTYPE_ETHERNET, _LINKTYPE_RAW = 1, 101
_SHB_USERAPPL = 4
_IF_NAME, _IF_TSRESOL, _NANOSECONDS = 2, 9, b"\x09"
_EPB_FLAGS, _INBOUND, _OUTBOUND = 2, 1, 2
_ISB_RECEIVED, _ISB_DROPPED, _ISB_DELIVERED = 4, 5, 8
_HEAD = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_OPTION = struct.Struct("<HH")
_SECTION_BODY = struct.Struct("<IHHq")
_INTERFACE_BODY = struct.Struct("<HHI")
_PACKET_BODY = struct.Struct("<IIIII")
_STATISTICS_BODY = struct.Struct("<III")
_FLAGS = {
    outgoing: _OPTION.pack(_EPB_FLAGS, 4) + _LENGTH.pack(_OUTBOUND if outgoing else _INBOUND) + bytes(4)
    for outgoing in (False, True)
}


def section() -> bytes:
    """Return what such a file begins with."""
    body = _SECTION_BODY.pack(_MAGIC, _MAJOR, _MINOR, _UNKNOWN_LENGTH)
    return _block(_SECTION, body, _options((_SHB_USERAPPL, f"nbcontainers {__version__}".encode())))


def interface(name: str, hardware: int, snap_bytes: int) -> bytes:
    """Return the description of an interface; later blocks name it by its number in the file, from 0 on.

    Args:
        name: Its name.
        hardware: ``ARPHRD_…``: what its packets begin with.
        snap_bytes: How much of a packet is kept.
    """
    kind = _LINKTYPE_ETHERNET if hardware in (ARPHRD_ETHER, ARPHRD_LOOPBACK) else _LINKTYPE_RAW
    options = _options((_IF_NAME, name.encode()), (_IF_TSRESOL, _NANOSECONDS))
    return _block(_INTERFACE, _INTERFACE_BODY.pack(kind, 0, snap_bytes), options)


def packet(number: int, one: Packet) -> bytes:
    """Return one packet of the interface of that number in the file."""
    data = one.data
    body = _PACKET_BODY.pack(number, one.time_ns >> 32, one.time_ns & 0xFFFF_FFFF, len(data), one.length)
    return _block(_PACKET, body + _padded(data), _FLAGS[one.outgoing])


def statistics(number: int, time_ns: int, *, came: int, dropped: int, delivered: int) -> bytes:
    """Return how many packets came, how many of them are missing, and how many are in the file."""
    numbers = ((_ISB_RECEIVED, came), (_ISB_DROPPED, dropped), (_ISB_DELIVERED, delivered))
    options = _options(*((code, struct.pack("<Q", value)) for code, value in numbers))
    return _block(_STATISTICS, _STATISTICS_BODY.pack(number, time_ns >> 32, time_ns & 0xFFFF_FFFF), options)


def _block(kind: int, body: bytes, options: bytes) -> bytes:
    length = _HEAD.size + len(body) + len(options) + _LENGTH.size
    return b"".join((_HEAD.pack(kind, length), body, options, _LENGTH.pack(length)))


def _options(*entries: tuple[int, bytes]) -> bytes:
    return b"".join(_OPTION.pack(code, len(value)) + _padded(value) for code, value in entries) + bytes(4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
