"""Packets as they come and go: a socket that hears all of a network namespace's, in a ring of memory.

A packet socket stays in the namespace it was opened in, whoever reads it. The kernel writes packets into a ring of
blocks that it shares with the reader (``mmap(2)``) and hands over a block when it is full, or when it has waited for
20 ms. The ring never grows: what finds no place in it is counted, not kept.

Source: packet(7), Documentation/networking/packet_mmap.rst § TPACKET_V3.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from nbcontainers.errors import SyscallError

ETH_P_ALL = 0x0003
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772
PACKET_OUTGOING = 4
RETIRE_MS = 20
LARGEST_BYTES = 65535

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 5, 6, 10
_TPACKET_V3 = 2
_TP_STATUS_KERNEL, _TP_STATUS_USER = 0, 1
_SIOCGIFNAME = 0x8910
_BLOCK_BYTES, _BLOCKS = 128 << 10, 32
_FRAME_BYTES = 2048

_REQUEST = struct.Struct("=7I")
"""``struct tpacket_req3``: a block's size, how many, a frame's size, how many, milliseconds, two that are 0."""
_STATUS_OFFSET = 8
_BLOCK = struct.Struct("=III")
"""Of ``struct tpacket_hdr_v1``: the block's status, how many packets, where the first one is."""
_PACKET = struct.Struct("=IIIIIIH")
"""Of ``struct tpacket3_hdr``: where the next one is, seconds, nanoseconds, bytes kept, bytes in all, status, where."""
_ADDRESS_OFFSET = 48
_ADDRESS = struct.Struct("=HHiHB")
"""Of ``struct sockaddr_ll``: family, protocol, the interface's number, its hardware's kind, the packet's kind."""
_STATISTICS = struct.Struct("=III")
_INTERFACE = struct.Struct("=16si20x")

# Classic BPF: what the socket takes, and how much of it.
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_PACKET_TYPE, _INTERFACE_INDEX = 0xFFFF_F000 + 4, 0xFFFF_F000 + 8
_SO_ATTACH_FILTER = 26
_LOOPBACK_INDEX = 1
_INSTRUCTION = struct.Struct("=HBBI")


class Packet(NamedTuple):
    """One packet.

    Args:
        time_ns: Nanoseconds since the epoch.
        interface: The number of the interface.
        hardware: Its kind, ``ARPHRD_…``.
        outgoing: Whether it was sent by somebody in the namespace.
        length: Its length in bytes.
        data: Its beginning, from the hardware's header on.
    """

    time_ns: int
    interface: int
    hardware: int
    outgoing: bool
    length: int
    data: bytes


class PacketRing:
    """All packets of the network namespace that the calling thread is in; of those on lo each one once.

    Args:
        snap_bytes: How much of each packet is kept.

    Raises:
        SyscallError: EPERM without CAP_NET_RAW, ENOMEM when there is no memory for the ring.

    Source: packet(7), socket(7) § SO_ATTACH_FILTER.
    """

    def __init__(self, snap_bytes: int = LARGEST_BYTES) -> None:
        try:
            self._socket = socket.socket(
                socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(ETH_P_ALL)
            )
            try:
                self._attach(_filter(snap_bytes))
                self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
                request = _REQUEST.pack(
                    _BLOCK_BYTES, _BLOCKS, _FRAME_BYTES, _BLOCKS * _BLOCK_BYTES // _FRAME_BYTES, RETIRE_MS, 0, 0
                )
                self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
                self._ring = mmap.mmap(self._socket.fileno(), _BLOCKS * _BLOCK_BYTES)
            except BaseException:
                self._socket.close()
                raise
        except OSError as error:
            raise SyscallError(error.errno or 0, os.strerror(error.errno or 0), "socket", "AF_PACKET") from error
        self._next = 0
        self.statistics()  # what came before the ring was there is nobody's

    def _attach(self, program: bytes) -> None:
        code = ctypes.create_string_buffer(program, len(program))
        head = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)

    def fileno(self) -> int:
        """Return the descriptor, which is readable when a block is handed over.

        Source: poll(2).
        """
        return self._socket.fileno()

    def has_block(self) -> bool:
        """Say whether a block is handed over.

        Source: Documentation/networking/packet_mmap.rst § TPACKET_V3.
        """
        status: int = _BLOCK.unpack_from(self._ring, self._next * _BLOCK_BYTES + _STATUS_OFFSET)[0]
        return bool(status & _TP_STATUS_USER)

    def take(self) -> Iterator[Packet]:
        """Yield the packets of the block that is handed over, and give it back after the last one.

        Source: Documentation/networking/packet_mmap.rst § TPACKET_V3.
        """
        begin = self._next * _BLOCK_BYTES
        _, count, offset = _BLOCK.unpack_from(self._ring, begin + _STATUS_OFFSET)
        place = begin + offset
        for _ in range(count):
            step, seconds, ns, kept, length, _, start = _PACKET.unpack_from(self._ring, place)
            _, _, interface, hardware, kind = _ADDRESS.unpack_from(self._ring, place + _ADDRESS_OFFSET)
            data = self._ring[place + start : place + start + kept]
            yield Packet(seconds * 10**9 + ns, interface, hardware, kind == PACKET_OUTGOING, length, data)
            place += step
        struct.pack_into("=I", self._ring, begin + _STATUS_OFFSET, _TP_STATUS_KERNEL)
        self._next = (self._next + 1) % _BLOCKS

    def interface_name(self, index: int) -> str:
        """Return the name of an interface in the socket's namespace; empty when it is gone.

        Source: netdevice(7) § SIOCGIFNAME.
        """
        try:
            answer = fcntl.ioctl(self._socket, _SIOCGIFNAME, _INTERFACE.pack(b"", index))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return ""
        return bytes(answer[:16]).partition(b"\0")[0].decode(errors="replace")

    def statistics(self) -> tuple[int, int]:
        """Return how many packets came since the last call, and how many of them found no place.

        Source: packet(7) § PACKET_STATISTICS.
        """
        came, dropped, _ = _STATISTICS.unpack(
            self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        )
        return came, dropped

    def close(self) -> None:
        """Give the ring back, and let go of the namespace.

        Source: close(2).
        """
        self._ring.close()
        self._socket.close()


def _filter(snap_bytes: int) -> bytes:
    """Return the program that takes the beginning of every packet, but those that leave by lo: they come there, too.

    Source: Documentation/networking/filter.rst § BPF engine and instruction set.
    """
    return b"".join(
        _INSTRUCTION.pack(*one)
        for one in (
            (_LOAD, 0, 0, _INTERFACE_INDEX),
            (_EQUAL, 0, 3, _LOOPBACK_INDEX),
            (_LOAD, 0, 0, _PACKET_TYPE),
            (_EQUAL, 0, 1, PACKET_OUTGOING),
            (_RETURN, 0, 0, 0),
            (_RETURN, 0, 0, snap_bytes),
        )
    )
