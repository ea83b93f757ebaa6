"""Registries: where images come from and go to, over the OCI distribution protocol.

What enters is a registry's name, a repository's name and somebody's credentials; what leaves are manifests and streams
of bytes whose size, and where they are whole their digest, has been checked. Nothing here knows what an image is: that
is for who pulls and pushes. Everything runs on the event loop and is cancelled with the task that asks.

Reading order: ``model`` (plain data), ``media`` (what kinds of documents there are), ``settings`` (what the
administrator says), ``hosts`` (which addresses a registry has), ``proxies``, ``challenges`` and ``tokens`` (logging
in), ``failures`` (answers that are errors), ``unreachable`` (no answer at all), ``transport`` (one request, repeated
until it has an answer), ``downloads`` and ``uploads`` (blobs), ``repository`` (what one may do), ``registries`` (the
door).

Example:
    >>> registries = Registries(Settings())
    >>> repository = registries.repository("localhost:5000", "team/app", Credentials("me", "secret"))
    >>> manifest = await repository.manifest("latest")
"""

from nbcontainers.images.registry.model import Credentials, Descriptor, Login, Manifest
from nbcontainers.images.registry.registries import Registries
from nbcontainers.images.registry.repository import Repository
from nbcontainers.images.registry.settings import Settings
from nbcontainers.images.registry.transport import Patience
from nbcontainers.images.registry.uploads import Upload

__all__ = [
    "Credentials",
    "Descriptor",
    "Login",
    "Manifest",
    "Patience",
    "Registries",
    "Repository",
    "Settings",
    "Upload",
]
