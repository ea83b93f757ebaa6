"""Where a client gets at the files of a volume: this engine has endpoints for that, of Docker a container is needed.

Either way it is an address below which ``archive`` takes and gives archives, and the path that the volume has there.
The container that Docker needs is made of an empty image, is never started, and is removed afterwards.
"""

import contextlib
import io
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

import docker.errors
from docker import DockerClient

from nbcontainers.client import extension

EMPTY_IMAGE = "nbcontainers-empty:1"
_PLACE = "/volume"


class Access(NamedTuple):
    """A volume as it can be got at now.

    Args:
        address: What ``/archive`` is put behind.
        root: The path of the volume's root, without a slash at its end.
    """

    address: str
    root: str


@contextlib.contextmanager
def accessible(client: DockerClient, name: str, *, ours: bool) -> Iterator[Access]:
    """Make a volume's files accessible for as long as the context lasts.

    Args:
        client: The engine.
        name: The volume, which is there.
        ours: Whether the other side is an nbcontainers engine.

    Raises:
        docker.errors.APIError: The engine refuses.
    """
    if ours:
        yield Access(f"{client.api.base_url}{extension.PREFIX}/volumes/{name}", "")
        return
    container = _container(client, name)
    try:
        yield Access(client.api._url("/containers/{0}", container), _PLACE)
    finally:
        client.api.remove_container(container, force=True)


def _container(client: DockerClient, volume: str) -> str:
    """Create a container that has the volume, and nothing else; returns its id."""
    try:
        client.api.inspect_image(EMPTY_IMAGE)
    except docker.errors.ImageNotFound:
        nothing = io.BytesIO()
        tarfile.open(fileobj=nothing, mode="w").close()
        repository, _, tag = EMPTY_IMAGE.partition(":")
        client.api.import_image_from_data(nothing.getvalue(), repository=repository, tag=tag)
    host_config = client.api.create_host_config(binds=[f"{volume}:{_PLACE}:nocopy"])
    return str(client.api.create_container(EMPTY_IMAGE, "none", host_config=host_config)["Id"])
