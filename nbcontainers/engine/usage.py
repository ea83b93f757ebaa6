"""What takes room on the disk: layers and volumes; for containers see ``sizes``.

Sizes are added up file by file, so all of it is done in a thread. A layer never changes: its size is kept.
"""

import contextlib
import os
from collections import Counter

from nbcontainers import errors
from nbcontainers.images import Image, Images, Snapshots
from nbcontainers.linux import files
from nbcontainers.volumes import Volume


class DiskUsage:
    """Measures what an engine keeps on its disk; its methods may be called from any thread.

    Args:
        images: The images.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self._snapshots: Snapshots = images.snapshots
        self._layers: dict[str, int] = {}

    def volume(self, volume: Volume) -> int:
        """Return how many bytes the files of a volume have."""
        return files.tree_bytes(str(volume.mountpoint)) if os.path.isdir(volume.mountpoint) else 0

    def layers(self) -> int:
        """Return how many bytes all layers of all images have together, each counted once."""
        return sum(self._layer(name) for name in {name for image in self._images.list() for name in self._chain(image)})

    def shared(self, images: list[Image]) -> dict[str, int]:
        """Return, by image, how many bytes of it lie in layers that others of these images have too."""
        chains = {image.id: self._chain(image) for image in images}
        users = Counter(name for chain in chains.values() for name in chain)
        return {
            image_id: sum(self._layer(name) for name in chain if users[name] > 1) for image_id, chain in chains.items()
        }

    def _chain(self, image: Image) -> list[str]:
        with contextlib.suppress(errors.Error, OSError):  # removed since
            return self._snapshots.chain(image.snapshot)
        return []

    def _layer(self, name: str) -> int:
        if name not in self._layers:
            try:
                self._layers[name] = self._snapshots.usage_bytes(name)
            except OSError:
                return 0
        return self._layers[name]
