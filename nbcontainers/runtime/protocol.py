"""What engine, launcher, shim, init and keeper say to each other: JSON messages with descriptors attached.

All talk over ``SOCK_SEQPACKET`` sockets, so a message is one ``recvmsg(2)`` and descriptors travel with the message
they belong to (``SCM_RIGHTS``, ``unix(7)``). A message too large for a socket's buffer goes through a memfd, whose
descriptor is then the last one.

    engine → launcher    {"make": "shim" or "keeper", "urgent": …}, because one is wanted or in case one will be
    launcher → engine    {"made": …} and a socket, the other end of which is with the shim or keeper
    engine → shim        a Request; descriptors: the root file system if it is ``mounted``, the network namespace if
                         any, those of ``shared``
    engine → shim        {"op": "go"}: execute the program
    shim → init          the same Request; descriptors: the root file system, network namespace, others to join,
                         sources of binds
    init → shim          {"entered": true}: it is in its control group
    init → shim          {"pty": true} + its descriptor, {"trace": [...]}, {"error": …, "code": …}; end of file at exec
    shim → init          {"go": true}: what the program writes will be logged
    shim → engine        {"started": …} + pidfd or {"error": …, "code": …}; later {"exit": …}
    engine → shim        {"op": "stdin"}, answered with a descriptor; {"op": "close-stdin"}; {"op": "resize", …};
                         {"op": "identify"}, answered with {"started": …} + pidfd
    engine → keeper      a Spec; descriptors: a pidfd of the container, standard output, error, input if any
    keeper → engine      {"started": pid} + pidfd, terminal's master or {"error": …, "code": …}; later {"exit": code}
"""

from __future__ import annotations

import json
import os
import socket

from nbcontainers.linux import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SHIM, KEEPER = "shim", "keeper"
INLINE_BYTES = 64 << 10
_MOST_FDS = 253  # SCM_MAX_FD, unix(7)
_INLINE, _MEMFD = b"I", b"M"

Socket = socket.socket


def pair() -> tuple[Socket, Socket]:
    """Return two connected sockets that keep messages whole.

    Source: socketpair(2), unix(7).
    """
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def listen(path: str) -> Socket:
    """Return a listening socket at ``path``, for its owner alone.

    Raises:
        OSError: EADDRINUSE, EACCES, ENAMETOOLONG.

    Source: unix(7).
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    previous = os.umask(0o177)
    try:
        listening.bind(path)
    finally:
        os.umask(previous)
    listening.listen(16)
    return listening


def encode(message: Mapping[str, object]) -> bytes:
    """Return a message as bytes."""
    return json.dumps(message, separators=(",", ":")).encode()


def send(channel: Socket, payload: bytes, fds: list[int] | tuple[int, ...] = ()) -> None:
    """Send one encoded message with descriptors, which stay the sender's too.

    Raises:
        OSError: EPIPE when nobody listens any more.
    """
    if len(payload) <= INLINE_BYTES:
        socket.send_fds(channel, [_INLINE, payload], list(fds))
        return
    memory_fd = os.memfd_create("message", os.MFD_CLOEXEC)
    try:
        descriptors.write_all(memory_fd, payload)
        socket.send_fds(channel, [_MEMFD], [*fds, memory_fd])
    finally:
        os.close(memory_fd)


def receive(channel: Socket) -> tuple[bytes, list[int]]:
    """Receive one message, still encoded, and its descriptors, which are now the caller's.

    Raises:
        EOFError: The other side has closed.
        OSError: The socket is broken.
    """
    data, fds, _, _ = socket.recv_fds(channel, INLINE_BYTES + 1, _MOST_FDS)
    if not data:
        raise EOFError("the other side has closed")
    if data[:1] == _INLINE:
        return data[1:], fds
    memory_fd = fds.pop()
    try:
        return os.pread(memory_fd, os.fstat(memory_fd).st_size, 0), fds
    finally:
        os.close(memory_fd)
