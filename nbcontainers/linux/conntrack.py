"""Connection tracking: what the kernel remembers of packets it has seen, so that the next ones go the same way.

Address translation is decided by the first packet of a connection and remembered for the others. UDP has no
connections: the kernel takes packets with the same addresses and ports for one as long as they come, whatever the rules
say by then.

Source: Documentation/networking/nf_conntrack-sysctl.rst, conntrack(8).
"""

import errno
import os
import socket
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

from nbcontainers.errors import SyscallError


def forget(family: int, protocol: int, port: int) -> int:
    """Forget all connections to a port, in the calling thread's network namespace.

    Args:
        family: ``AF_INET`` or ``AF_INET6``.
        protocol: ``IPPROTO_UDP``, for example.
        port: The port that their first packets were sent to.

    Returns:
        How many they were.

    Raises:
        SyscallError: EPERM without CAP_NET_ADMIN, EINVAL when the kernel is older than 5.8.

    Source: conntrack(8) § -D, nfnetlink(7).
    """
    count = 0
    with NFCTSocket(nfgen_family=family) as connections:
        try:
            wanted = NFCTAttrTuple(family=family, proto=protocol, dport=port)
            for found in list(connections.dump(tuple_orig=wanted)):
                connections.entry("del", tuple_orig=_tuple(found, family))
                count += 1
        except NetlinkError as error:
            if error.code != errno.ENOENT:  # it has ended by itself meanwhile
                raise SyscallError(error.code, os.strerror(error.code), "netlink: forget", str(port)) from error
    return count


def _tuple(found: Any, family: int) -> NFCTAttrTuple:
    original = found.get_attr("CTA_TUPLE_ORIG")
    addresses, ports = original.get_attr("CTA_TUPLE_IP"), original.get_attr("CTA_TUPLE_PROTO")
    kind = "V4" if family == socket.AF_INET else "V6"
    return NFCTAttrTuple(
        family=family,
        saddr=addresses.get_attr(f"CTA_IP_{kind}_SRC"),
        daddr=addresses.get_attr(f"CTA_IP_{kind}_DST"),
        proto=ports.get_attr("CTA_PROTO_NUM"),
        sport=ports.get_attr("CTA_PROTO_SRC_PORT"),
        dport=ports.get_attr("CTA_PROTO_DST_PORT"),
    )
