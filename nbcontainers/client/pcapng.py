"""Reading captured packets: the format of Wireshark, as the engine writes it, and no more of it than that.

Source: IETF draft-ietf-opsawg-pcapng § 4.1 (section header), 4.2 (interface description), 4.3 (enhanced packet), 4.5
(interface statistics).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

LINKTYPE_ETHERNET = 1

_INTERFACE, _STATISTICS, _PACKET = 1, 5, 6
_HEAD = struct.Struct("<II")
_OPTION = struct.Struct("<HH")
_INTERFACE_HEAD = struct.Struct("<HHI")
_PACKET_HEAD = struct.Struct("<IIIII")
_STATISTICS_BYTES = 12
_IF_NAME, _EPB_FLAGS, _ISB_DROPPED = 2, 2, 5
_OUTBOUND = 2


class Interface(NamedTuple):
    """An interface of the container: its name, and what its packets begin with."""

    name: str
    linktype: int


class Captured(NamedTuple):
    """One packet: nanoseconds since the epoch, where, whether the container sent it, its length, its beginning."""

    time_ns: int
    interface: Interface
    outgoing: bool
    length: int
    data: bytes


@dataclass(slots=True)
class File:
    """What is in such a file; one that breaks off, as it does while it is written, is read as far as it goes.

    Args:
        data: The file.

    Attributes:
        dropped: How many packets are not in it, known when it is complete.
    """

    data: bytes
    dropped: int = 0
    _interfaces: list[Interface] = field(default_factory=list)

    def packets(self) -> Iterator[Captured]:
        """Yield the packets in the order in which they came."""
        position, end = 0, len(self.data)
        while position + _HEAD.size <= end:
            kind, length = _HEAD.unpack_from(self.data, position)
            if length < _HEAD.size or position + length > end:
                return
            body = position + _HEAD.size
            if kind == _PACKET:
                yield self._packet(body, position + length)
            elif kind == _INTERFACE:
                self._interfaces.append(self._interface(body, position + length))
            elif kind == _STATISTICS:
                options = self._options(body + _STATISTICS_BYTES, position + length)
                self.dropped += int.from_bytes(options.get(_ISB_DROPPED, b""), "little")
            position += length

    def _packet(self, position: int, end: int) -> Captured:
        number, high, low, kept, length = _PACKET_HEAD.unpack_from(self.data, position)
        begin = position + _PACKET_HEAD.size
        flags = self._options(begin + kept + -kept % 4, end).get(_EPB_FLAGS, b"")
        outgoing = int.from_bytes(flags, "little") & 3 == _OUTBOUND
        return Captured(high << 32 | low, self._interfaces[number], outgoing, length, self.data[begin : begin + kept])

    def _interface(self, position: int, end: int) -> Interface:
        linktype, _, _ = _INTERFACE_HEAD.unpack_from(self.data, position)
        options = self._options(position + _INTERFACE_HEAD.size, end)
        return Interface(options.get(_IF_NAME, b"").decode(errors="replace"), linktype)

    def _options(self, position: int, end: int) -> dict[int, bytes]:
        found = {}
        while position + _OPTION.size < end:
            code, length = _OPTION.unpack_from(self.data, position)
            position += _OPTION.size
            if not code:
                break
            found[code] = self.data[position : position + length]
            position += length + -length % 4
        return found
