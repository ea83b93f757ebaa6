"""What an image store must be like, whatever was killed in it: read from the disk, not through the engine."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from nbcontainers.images import layers
from tests.waiting import SECONDS, until

_SHA256 = "sha256:"


def what_is_wrong(root: Path) -> list[str]:
    """Return what is wrong with the store of an engine without containers, one line each: it should be nothing.

    Args:
        root: The engine's directory; nothing is being made or removed in it.
    """
    store = _Store(root)
    return [*store.documents(), *store.layers(), *store.leftovers()]


def what_stays_wrong(root: Path, *, seconds: float = SECONDS) -> list[str]:
    """Return what is wrong and remains so; the engine removes what it has thrown away when there is time."""
    wrong: list[str] = []

    def settled() -> bool:
        nonlocal wrong
        try:
            wrong = what_is_wrong(root)
        except FileNotFoundError as error:
            wrong = [str(error)]
        return not wrong

    with contextlib.suppress(AssertionError):
        until(settled, pause_seconds=0.05, seconds=seconds)
    return wrong


class _Store:
    """A store as it lies on the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._images: Path = root / "images"
        self._layers = self._images / "snapshots" / "layers"
        index = self._images / "index.json"
        self._index: dict[str, Any] = json.loads(index.read_bytes()) if index.exists() else {}
        self._named: dict[str, dict[str, Any]] = self._index.get("images", {})

    def documents(self) -> list[str]:
        """Check the index against the blobs."""
        wrong = []
        blobs = {path.name: path.read_bytes() for path in (self._images / "blobs" / "sha256").iterdir()}
        for name, data in blobs.items():
            if hashlib.sha256(data).hexdigest() != name:
                wrong.append(f"the blob {name} is not what it is called")
            if f"{_SHA256}{name}" not in self._named:
                wrong.append(f"the blob {name} belongs to no image")
        wrong += [f"{image} has no blob" for image in self._named if image.removeprefix(_SHA256) not in blobs]
        references = self._index.get("references", {})
        wrong += [f"{name} names no image" for name, image in references.items() if image not in self._named]
        return wrong

    def layers(self) -> list[str]:
        """Check each layer of each image by packing it again, and that there are no others."""
        wrong, used = [], set[str]()
        digests: dict[str, str] = {}
        tops = {image: self._chain(entry["snapshot"]) for image, entry in self._named.items()}
        for image, chain in tops.items():
            used.update(chain)
            document = json.loads((self._images / "blobs" / "sha256" / image.removeprefix(_SHA256)).read_bytes())
            for name in chain:
                if name not in digests:
                    digests[name] = layers.diff_id(self._layers / name / "fs")
            if [digests[name] for name in chain] != document["rootfs"]["diff_ids"]:
                wrong.append(f"{image} has other layers than it says")
        for name, digest in self._cached().items():
            if (self._layers / name).exists():
                used.update(self._chain(name))
                if digest and digest != (digests.get(name) or layers.diff_id(self._layers / name / "fs")):
                    wrong.append(f"the step's layer {name} is not what the cache says")
        for path in self._layers.glob("blob-*"):  # a pull that was given up has left it, whole, for the next one
            used.add(path.name)
            if layers.diff_id(path / "fs") != json.loads((path / "unpacked.json").read_bytes())["diff_id"]:
                wrong.append(f"the layer {path.name} on the shelf is not what it says")
        wrong += [
            f"the layer {path.name} belongs to nobody" for path in self._layers.iterdir() if path.name not in used
        ]
        return wrong

    def _chain(self, top: str | None) -> list[str]:
        """Return the names of a layer and those below it, the lowest first."""
        chain = []
        while top:
            chain.append(top)
            top = (self._layers / top / "parent").read_text()
        return chain[::-1]

    def _cached(self) -> dict[str, str]:
        path = self._root / "build" / "cache.jsonl"
        lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
        return {one["made"]["snapshot"]: one["made"]["diff_id"] for one in lines if one["made"]["snapshot"]}

    def leftovers(self) -> list[str]:
        """Look for what lies where only work in progress may lie."""
        places = ("trash", "containers", "build/scratch", "build/running", "build/caches")
        found = [path for place in places for path in (self._root / place).glob("*")]
        found += [path for place in ("active", "trash") for path in (self._images / "snapshots" / place).iterdir()]
        found += self._images.glob(".*")
        found += [path for name in os.listdir(self._layers) for path in (self._layers / name).glob("work")]
        return [f"left over: {path.relative_to(self._root)}" for path in found]
