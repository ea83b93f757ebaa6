"""Traffic control: how fast, how late and how surely packets leave by an interface.

What leaves by an interface waits in its *queueing discipline*. The *token bucket filter* (tbf) lets packets go at a
rate, as tokens come into a bucket; *netem* holds each one back for a while, and loses some. The kernel orders only what
leaves: what is to hold for a cable both ways is set at both of its ends.

Example:
    >>> shape(netlink, netlink.link_index("eth0"), rate_bits_per_second=1_000_000)
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from nbcontainers.errors import SyscallError
from nbcontainers.linux.netlink import LOOPBACK_INDEX, Netlink

_NETEM_HANDLE, _NETEM_CHILD, _TBF_HANDLE = "1:", "1:1", "2:"
_ROOT = 0xFFFF_FFFF
_BURST_SECONDS = 0.01
_QUEUE_SECONDS = 0.1
_PACKETS_OF_A_BURST = 2
_PACKETS_OF_A_QUEUE = 10
_NETEM_PACKETS = 1000
ETHERNET_MTU = 1500
_HEADER_BYTES = 18


def shape(
    netlink: Netlink,
    index: int,
    *,
    rate_bits_per_second: int = 0,
    delay_usec: int = 0,
    loss_percent: float = 0.0,
    mtu: int = ETHERNET_MTU,
) -> None:
    """Order what leaves by an interface anew; what is 0 is not limited.

    The bucket holds what is sent in 10 ms, or two packets; what does not find a place in the queue behind it, of 100 ms
    or ten packets, is lost: so TCP learns of the rate.

    Args:
        netlink: A socket in the interface's namespace.
        index: The interface's number.
        rate_bits_per_second: How fast; counted with the hardware's addresses, without what a wire adds.
        delay_usec: How much later each packet goes.
        loss_percent: How many of a hundred are lost.
        mtu: The longest packet in bytes.

    Raises:
        SyscallError: ENOENT when the kernel lacks a discipline; then nothing orders the packets.

    Source: tc-tbf(8), tc-netem(8).
    """
    clear(netlink, index)
    with _cleared_on_error(netlink, index):
        place: dict[str, object] = {}
        if delay_usec or loss_percent:
            waiting = rate_bits_per_second * delay_usec // (8_000_000 * mtu)
            netlink.queueing(
                "add",
                "netem",
                index,
                handle=_NETEM_HANDLE,
                delay=delay_usec,
                loss=loss_percent,
                limit=max(2 * waiting, _NETEM_PACKETS),
            )
            place = {"parent": _NETEM_CHILD}
        if rate_bits_per_second:
            rate, packet = rate_bits_per_second // 8, mtu + _HEADER_BYTES
            burst = max(int(rate * _BURST_SECONDS), _PACKETS_OF_A_BURST * packet)
            queue = max(int(rate * _QUEUE_SECONDS), _PACKETS_OF_A_QUEUE * packet)
            netlink.queueing(
                "add", "tbf", index, handle=_TBF_HANDLE, rate=rate, burst=burst, limit=burst + queue, **place
            )


def clear(netlink: Netlink, index: int) -> None:
    """Let packets leave by an interface as they come; one that has no discipline of ours is no error.

    Raises:
        SyscallError: ENODEV when there is no such interface.

    Source: tc(8) § qdisc del.
    """
    try:
        netlink.queueing("del", None, index, parent=_ROOT)
    except SyscallError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):
            raise


@contextlib.contextmanager
def _cleared_on_error(netlink: Netlink, index: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        clear(netlink, index)
        raise


def check_rate(netlink: Netlink) -> None:
    """Try whether the kernel can limit a rate; call it in a network namespace of your own.

    Raises:
        SyscallError: ENOENT when it lacks tbf.

    Source: tc-tbf(8).
    """
    shape(netlink, LOOPBACK_INDEX, rate_bits_per_second=1_000_000)
    clear(netlink, LOOPBACK_INDEX)


def check_delay(netlink: Netlink) -> None:
    """Try whether the kernel can delay and lose packets; call it in a network namespace of your own.

    Raises:
        SyscallError: ENOENT when it lacks netem.

    Source: tc-netem(8).
    """
    shape(netlink, LOOPBACK_INDEX, delay_usec=1000)
    clear(netlink, LOOPBACK_INDEX)
