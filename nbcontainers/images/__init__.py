"""Images: root file systems to start from, and what is known about them.

Layers come in as tar archives or as the upper directories of containers, and leave as plain data (``Rootfs``) that
only the runtime mounts. Nothing here mounts anything visible, and nothing knows of containers.

Reading order: ``references`` (names), ``config`` (the OCI image configuration), ``snapshots`` (layers as
directories), ``headers``, ``packing``, ``sources``, ``unpacking``, ``holes``, ``compression`` and ``skeletons``
(trees and archives), ``layers`` (between the two), ``index``, ``removal`` and
``store`` (images, tags, what is kept on disk), ``history``, ``writing`` (a container's files as an image),
``staging`` (layers on their way in), ``exporting`` and ``archives`` (images to archives and back); for registries the
room ``registry``, then ``platforms``, ``manifests``, ``spool``, ``fetching``, ``origins`` and ``pulling``,
``parcels`` and ``pushing``; ``layout`` (a folder that anybody may have made).

Example:
    >>> images = Images(Path("/var/lib/nbcontainers/images"))
    >>> image = images.import_tar(open("busybox.tar", "rb"), message="", reference="busybox")
    >>> rootfs = images.snapshots.prepare("my-container", image.snapshot)
"""

from nbcontainers.images.config import ContainerDefaults, HistoryEntry, ImageConfig, RootFS
from nbcontainers.images.snapshots import HOST_SNAPSHOT, Snapshots
from nbcontainers.images.store import Image, Images, Removals

__all__ = [
    "HOST_SNAPSHOT",
    "ContainerDefaults",
    "HistoryEntry",
    "Image",
    "ImageConfig",
    "Images",
    "Removals",
    "RootFS",
    "Snapshots",
]
