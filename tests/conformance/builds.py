"""Builds through docker-py."""

import io
import tarfile
from typing import Any

import docker
from docker.errors import BuildError


def archive(files: dict[str, bytes]) -> bytes:
    """Return a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def build(client: docker.DockerClient, text: str, files: dict[str, bytes] | None = None, **options: Any) -> str:
    """Build an image, ``built``, from a Dockerfile and files, ``f`` by default; return everything that was told.

    Raises:
        BuildError: A step has failed.
        APIError: The engine refuses.
    """
    context = io.BytesIO(archive({"Dockerfile": text.encode(), **({"f": b"1"} if files is None else files)}))
    told = list(client.api.build(fileobj=context, custom_context=True, decode=True, tag="built", rm=True, **options))
    if failure := next((message["error"] for message in told if "error" in message), None):
        raise BuildError(failure, [])
    return "".join(message.get("stream", "") or f"{message.get('status', '')}\n" for message in told)
