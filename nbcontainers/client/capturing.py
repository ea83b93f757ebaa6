"""Packets on their way, as a DataFrame: what comes and goes in a container while a block of Python runs.

Example:
    >>> with nbcontainers.capture("web") as packets:
    ...     requests.get("http://127.0.0.1:8080")
    >>> packets.df[["src", "dst", "proto", "dst_port", "flags"]]
    >>> packets.save("web.pcapng")
"""

import contextlib
import secrets
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import docker.errors
import pandas as pd

from nbcontainers.client import extension
from nbcontainers.client.connect import Client, connect
from nbcontainers.client.decoding import decode
from nbcontainers.client.pcapng import LINKTYPE_ETHERNET, File
from nbcontainers.client.tables import Table, typed
from nbcontainers.errors import Unsupported

LIMIT_BYTES = 64 << 20
SNAP_BYTES = 65535
_CHUNK_BYTES = 1 << 16
_TYPES = {
    "time": "time",
    **dict.fromkeys(("interface", "direction"), "category"),
    **dict.fromkeys(("src", "dst"), "object"),
    "proto": "category",
    **dict.fromkeys(("src_port", "dst_port"), "Int64"),
    "length": "int64",
    **dict.fromkeys(("flags", "info"), "object"),
}


class Capture:
    """Takes down what comes and goes in a container, while a ``with`` statement is executed.

    Args:
        container: A running container: docker-py's object, or its name or id.
        client: The engine; this user's own by default.
        snap_bytes: How much of each packet is kept.
        limit_bytes: How much is kept in all; packets that come after are counted as dropped.
    """

    def __init__(
        self,
        container: Any,
        client: Client | None = None,
        *,
        snap_bytes: int = SNAP_BYTES,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._container: str = getattr(container, "id", container)
        self._given = client
        self._query = {"name": secrets.token_hex(16), "snap": snap_bytes, "limit": limit_bytes}
        self._data = bytearray()
        self._client: Client
        self._response: Any
        self._reading: threading.Thread

    def __enter__(self) -> "Capture":
        """Begin; what comes from now on is in it.

        Raises:
            docker.errors.APIError: The container does not run, or has the host's network.
            Unsupported: The engine is Docker.
        """
        own = connect() if self._given is None else None
        try:
            self._client = (self._given or own).another()  # type: ignore[union-attr]
        finally:
            if own is not None:
                own.close()
        try:
            self._response = self._open()
        except BaseException:
            self._client.close()
            raise
        self._data.clear()
        self._reading = threading.Thread(target=self._read, name="capture", daemon=True)
        self._reading.start()
        return self

    def _open(self) -> Any:
        api: Any = self._client.api
        if not extension.is_ours(self._client):
            raise Unsupported("Docker cannot capture the packets of containers: use an engine of nbcontainers")
        identifier = api.inspect_container(self._container)["Id"]
        url = f"{api.base_url}{extension.PREFIX}/containers/{identifier}/capture"
        response = api.get(url, params=self._query, stream=True)
        api._raise_for_status(response)
        return response

    def _read(self) -> None:
        with contextlib.suppress(Exception):  # the engine has ended; what was read until then is there
            for chunk in self._response.raw.stream(_CHUNK_BYTES):
                self._data += chunk

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop; what came until now is still taken in."""
        try:
            with contextlib.suppress(docker.errors.NotFound):  # the container has ended before
                extension.post_json(self._client, f"/captures/{self._query['name']}/stop", None)
            self._reading.join()
        finally:
            self._response.close()
            self._client.close()

    @property
    def df(self) -> Table:
        """The packets, also while they still come.

        Columns time (UTC timestamp, nanoseconds), interface (category), direction (category: in, out, seen from the
        container), src, dst (addresses), proto (category), src_port, dst_port (whole numbers, or none), length (bytes
        on the wire), flags (of TCP, such as ``SYN ACK``), info (what it is for, where that can be told). The number of
        packets that are missing stands in ``attrs["dropped"]``.
        """
        file = File(bytes(self._data))
        packets = list(file.packets())
        said = [decode(one.data, is_ethernet=one.interface.linktype == LINKTYPE_ETHERNET) for one in packets]
        columns: dict[str, list[object]] = {
            "time": [one.time_ns for one in packets],
            "interface": [one.interface.name for one in packets],
            "direction": ["out" if one.outgoing else "in" for one in packets],
            **{name: [getattr(one, name) for one in said] for name in ("src", "dst", "proto", "src_port", "dst_port")},
            "length": [one.length for one in packets],
            **{name: [getattr(one, name) for one in said] for name in ("flags", "info")},
        }
        found = typed(pd.DataFrame(columns), _TYPES)
        found.attrs["dropped"] = file.dropped
        return found

    @property
    def dropped(self) -> int:
        """How many packets came that are not here: faster than they could be taken in, or after the limit."""
        file = File(bytes(self._data))
        for _ in file.packets():
            pass
        return file.dropped

    def save(self, path: str | Path) -> Path:
        """Write the packets to a file that Wireshark opens (``.pcapng``); returns its path."""
        path = Path(path)
        path.write_bytes(self._data)
        return path

    def __repr__(self) -> str:
        return repr(self.df)

    def _repr_html_(self) -> str | None:
        return self.df._repr_html_()


def capture(
    container: Any, client: Client | None = None, *, snap_bytes: int = SNAP_BYTES, limit_bytes: int = LIMIT_BYTES
) -> Capture:
    """Return what is to stand in a ``with`` statement; see ``Capture``."""
    return Capture(container, client, snap_bytes=snap_bytes, limit_bytes=limit_bytes)
