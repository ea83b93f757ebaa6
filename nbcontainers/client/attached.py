"""A connection to a container's streams: what docker-py hands out, closed when it should be.

An attach upgrades an HTTP connection to a raw stream. docker-py leaves it to the garbage collector to close that; a
notebook that runs hundreds of containers would collect sockets, and each of them is heard at the other side.
"""

import socket
from collections.abc import Iterator
from typing import Any

from docker.utils.socket import frames_iter

from nbcontainers.client.connect import Client

STDERR = 2


class Attached:
    """Attached to one container, on a connection of its own.

    Args:
        client: The engine.
        container: The container's name or id.
        streams: What is wanted: ``stdin=1``, ``stdout=1``, ``stderr=1``.
    """

    def __init__(self, client: Client, container: str, **streams: int) -> None:
        self._client = client.another()
        try:
            self._file: Any = self._client.api.attach_socket(container, params={**streams, "stream": 1})
        except BaseException:
            self._client.close()
            raise
        self._socket: socket.socket = getattr(self._file, "_sock", self._file)

    def output(self, *, tty: bool) -> Iterator[tuple[int, bytes]]:
        """Yield what the container writes as it comes: the stream's number (2 is standard error) and the bytes.

        Args:
            tty: The container has a terminal, so there is one stream, without frames.
        """
        yield from frames_iter(self._file, tty)

    def send(self, data: bytes) -> None:
        """Write to the container's standard input, and close it there.

        Raises:
            OSError: EPIPE, the container has ended.
        """
        self._socket.sendall(data)
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of the container; it is not touched."""
        self._file.close()
        self._socket.close()
        self._client.close()
