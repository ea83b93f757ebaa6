"""One capture: what comes and goes in a container's network namespace, written to a pipe until it is stopped.

A thread of its own reads the ring and writes the pipe. Who reads the pipe slowly holds the thread up, not the
container: the ring fills, and the kernel counts what it drops. So does a capture that has all it may have. The memory
is the ring's and the pipe's, whatever comes.
"""

import os
import select
import time

from nbcontainers.linux.descriptors import write_all
from nbcontainers.linux.packets import ARPHRD_ETHER, RETIRE_MS, PacketRing
from nbcontainers.networks import pcapng

_DRAIN_SECONDS = 3 * RETIRE_MS / 1000


class Capture:
    """Writes packets until it is stopped, its reader has gone, or it has all it may have; ``close`` it after.

    Args:
        ring: Where they come from; closed with it.
        snap_bytes: How much of each packet the ring keeps.
        maximum_bytes: How many bytes are written at most; what comes then is counted only.
    """

    def __init__(self, ring: PacketRing, *, snap_bytes: int, maximum_bytes: int) -> None:
        self._ring = ring
        self._snap_bytes = snap_bytes
        self._left_bytes = maximum_bytes
        self._numbers: dict[int, int] = {}
        self._delivered = 0
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def stop(self) -> None:
        """Have it end when all is written that came until now; at any time until it is closed, from any thread."""
        os.eventfd_write(self._stop_fd, 1)

    def write(self, fd: int) -> None:
        """Write the file, in a thread of the caller's.

        Raises:
            OSError: EPIPE when nobody reads any more.
        """
        write_all(fd, pcapng.section())
        while True:
            ready = self._wait(fd)
            if fd in ready:
                return  # its reader has gone
            if self._stop_fd in ready:
                break
            self._copy(fd)
        self._drain(fd)
        self._conclude(fd)

    def _wait(self, fd: int) -> set[int]:
        """Wait for packets, while there is room for them, to be stopped, or for the reader to go."""
        poll = select.poll()
        poll.register(fd, 0)
        poll.register(self._stop_fd, select.POLLIN)
        if self._left_bytes > 0:
            poll.register(self._ring.fileno(), select.POLLIN)
        return {one for one, _ in poll.poll()}

    def _drain(self, fd: int) -> None:
        """Write what came before the stop: a block is handed over only when it is full, or has waited for its time."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        poll = select.poll()
        poll.register(self._ring.fileno(), select.POLLIN)
        while self._left_bytes > 0 and (left_seconds := deadline - time.monotonic()) > 0:
            poll.poll(left_seconds * 1000)
            self._copy(fd)

    def _copy(self, fd: int) -> None:
        """Write one block of packets, if there is one."""
        if not self._ring.has_block():
            return
        pieces = []
        for packet in self._ring.take():
            number = self._numbers.get(packet.interface)
            if number is None:
                number = self._numbers[packet.interface] = len(self._numbers)
                name = self._ring.interface_name(packet.interface) or f"interface {packet.interface}"
                pieces.append(pcapng.interface(name, packet.hardware, self._snap_bytes))
            pieces.append(pcapng.packet(number, packet))
            self._delivered += 1
        data = b"".join(pieces)
        self._left_bytes -= len(data)
        write_all(fd, data)

    def _conclude(self, fd: int) -> None:
        """Write how many there were: of all interfaces together, as the kernel counts them, under the first.

        What still lies in the ring came after the stop; or after the limit, then it is missing as well.
        """
        came, dropped = self._ring.statistics()
        if self._left_bytes <= 0:
            dropped = came - self._delivered
        if came and not self._numbers:
            write_all(fd, pcapng.interface("any", ARPHRD_ETHER, self._snap_bytes))
        if came:
            write_all(fd, pcapng.statistics(0, time.time_ns(), came=came, dropped=dropped, delivered=self._delivered))

    def close(self) -> None:
        """Let go of the container's network namespace."""
        os.close(self._stop_fd)
        self._ring.close()
