"""Following what a container writes: each piece as it comes, to the stream that it was written to."""

import struct
from collections.abc import Iterator
from typing import Any

from docker.utils.socket import STDERR

from nbcontainers.cli.face import Face

_HEADER = struct.Struct(">BxxxL")
_CHUNK_BYTES = 64 << 10


def follow(face: Face, container: str, asked: dict[str, object]) -> None:
    """Show a container's log, and what is added to it until the container ends.

    Args:
        face: Where; standard output and error stay apart.
        container: Its name or id.
        asked: What of the log, in the API's words: ``tail``, ``since``, ``until``, ``timestamps``, ``details``.

    Source: Docker Engine API, ``GET /containers/{id}/logs``; § Attach to a container, "Stream format".
    """
    with face.client.another() as client:
        api = client.api
        tty = api.inspect_container(container)["Config"]["Tty"]
        query = {"follow": 1, "stdout": 1, "stderr": 1, **{name: value for name, value in asked.items() if value}}
        response = api._get(api._url("/containers/{0}/logs", container), params=query, stream=True, timeout=None)
        with response:
            api._raise_for_status(response)
            if tty:
                for data in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                    face.out(data)
            else:
                for number, data in _frames(response.raw):
                    (face.err if number == STDERR else face.out)(data)


def _frames(raw: Any) -> Iterator[tuple[int, bytes]]:
    while len(header := raw.read(_HEADER.size)) == _HEADER.size:
        number, size = _HEADER.unpack(header)
        yield number, raw.read(size)
