"""Snapshots: layers as directories, stacked by overlayfs.

Two kinds. A *committed* snapshot is a layer: it never changes, and has a name. An *active* one is what a container
writes to: it has a key, the container's id. Each has a *parent*, a committed snapshot, or none.

Start a container from an image whose top layer is committed as ``layer``:

    rootfs = snapshots.prepare("container-1", "layer")     an empty upper directory over the layers
    … the runtime mounts rootfs, the container writes …
    snapshots.remove("container-1")

Make a new layer of what a container has written:

    snapshots.commit("new-layer", "container-1")            the upper directory *is* the layer: a rename, no copy
    snapshots.prepare("container-2", "new-layer")

Only look at a layer:

    rootfs = snapshots.view("layer")                        no upper directory: read-only

A snapshot is a directory with ``fs`` (the files), ``parent`` (a name, or nothing) and, while active, ``work``
(overlayfs's own). Renames make changes whole: after a crash there is either the old state or the new one, and
``sweep`` removes what nobody knows.

The name ``host`` stands for this machine's own file system; it has no directory here.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from nbcontainers import errors
from nbcontainers.runtime.spec import Rootfs

HOST_SNAPSHOT = "host"


class Snapshots:
    """All snapshots of one engine.

    Args:
        root: Their directory; made when missing.
        hidden: Absolute paths that ``host`` does not show: the engine's own data.
        discard: Takes a directory out of the way, and removes it sooner or later; by default it is removed at once.
    """

    def __init__(self, root: Path, hidden: list[str], discard: Callable[[Path], None] | None = None) -> None:
        self._discard = discard or self._remove_now
        self._layers = root / "layers"
        self._active = root / "active"
        self._trash = root / "trash"
        self._hidden = hidden
        for directory in (self._layers, self._active, self._trash):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._parents = {entry.name: _read_parent(entry.path) for entry in os.scandir(self._layers)}

    def prepare(self, key: str, parent: str | None, *, volatile: bool = False) -> Rootfs:
        """Make an active snapshot over ``parent``.

        Args:
            key: Its key, such as a container's id.
            parent: A committed snapshot, or None for an empty root.
            volatile: Its files need not survive a crash of the machine.

        Raises:
            errors.Conflict: The key is taken.
            errors.NotFound: There is no such parent.
        """
        self._check_parent(parent)
        directory = self._active / key
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            raise errors.Conflict(f"snapshot '{key}' exists") from None
        with open(f"{directory}/parent", "wb", 0) as file:
            file.write((parent or "").encode())
        os.mkdir(f"{directory}/fs", 0o755)
        os.mkdir(f"{directory}/work", 0o700)
        return self._rootfs(directory, parent, volatile)

    def mounts(self, key: str, *, volatile: bool = False) -> Rootfs:
        """Return an active snapshot's root file system, to be mounted.

        Raises:
            errors.NotFound: There is no such snapshot.
        """
        directory = self._active / key
        if not directory.is_dir():
            raise errors.NotFound(f"snapshot '{key}' not found")
        return self._rootfs(directory, _read_parent(directory), volatile)

    def view(self, name: str | None) -> Rootfs:
        """Return a committed snapshot's root file system, read-only.

        Raises:
            errors.NotFound: There is no such snapshot.
        """
        self._check_parent(name)
        lower, host = self._lower(name)
        # An overlay without an upper directory wants two lower ones.
        return Rootfs(lower=[*lower, str(self._empty())], upper=None, work=None, host=host, volatile=False)

    def _empty(self) -> Path:
        directory = self._trash.parent / "empty"
        directory.mkdir(mode=0o755, exist_ok=True)
        return directory

    def _rootfs(self, directory: Path, parent: str | None, volatile: bool) -> Rootfs:
        lower, host = self._lower(parent)
        if not lower and host is None:
            lower = [str(self._empty())]
        upper, work = str(directory / "fs"), str(directory / "work")
        return Rootfs(lower=lower, upper=upper, work=work, host=host, volatile=volatile)

    def _lower(self, name: str | None) -> tuple[list[str], list[str] | None]:
        lower: list[str] = []
        for layer in self.chain(name):
            if layer == HOST_SNAPSHOT:
                return lower, self._hidden
            lower.append(str(self._layers / layer / "fs"))
        return lower, None

    def chain(self, name: str | None) -> list[str]:
        """Return a committed snapshot and all below it, the topmost first."""
        chain: list[str] = []
        while name:
            chain.append(name)
            name = None if name == HOST_SNAPSHOT else self._parents[name]
        return chain

    def upper(self, key: str) -> Path:
        """Return the directory of what was changed in an active snapshot."""
        return self._active / key / "fs"

    def files(self, name: str) -> Path:
        """Return the directory of a committed snapshot's own files."""
        return self._layers / name / "fs"

    def has(self, name: str) -> bool:
        """Say whether there is such a committed snapshot."""
        return name == HOST_SNAPSHOT or name in self._parents

    def _check_parent(self, parent: str | None) -> None:
        if parent and not self.has(parent):
            raise errors.NotFound(f"snapshot '{parent}' not found")

    def commit(self, name: str, key: str) -> None:
        """Turn an active snapshot into a committed one.

        Raises:
            errors.Conflict: The name is taken.
        """
        if self.has(name):
            raise errors.Conflict(f"snapshot '{name}' exists")
        directory = self._active / key
        shutil.rmtree(directory / "work")
        parent = _read_parent(directory)
        directory.rename(self._layers / name)
        self._parents[name] = parent

    def remove(self, key: str) -> None:
        """Remove an active snapshot; one that is not there is no error."""
        self._discard(self._active / key)

    def remove_layer(self, name: str) -> None:
        """Remove a committed snapshot that is nobody's parent.

        Raises:
            errors.Conflict: It is the parent of another one.
        """
        if name in self._parents.values():
            raise errors.Conflict(f"snapshot '{name}' has children")
        if self._parents.pop(name, None) is not None or (self._layers / name).exists():
            self._discard(self._layers / name)

    def _remove_now(self, directory: Path) -> None:
        """Take a directory away at once, and remove it after: a crash in between leaves it in the trash."""
        trash = self._trash / f"{directory.name}-{os.urandom(4).hex()}"
        try:
            directory.rename(trash)
        except FileNotFoundError:
            return
        shutil.rmtree(trash, ignore_errors=True)

    def parents_in_use(self) -> set[str]:
        """Return the committed snapshots that active ones stand on."""
        return {parent for entry in os.scandir(self._active) if (parent := _read_parent(entry.path))}

    def committed(self) -> list[str]:
        """Return the names of all committed snapshots."""
        return list(self._parents)

    def usage_bytes(self, name: str) -> int:
        """Return how many bytes a committed snapshot's own files have."""
        return _tree_bytes(str(self.files(name))) if name != HOST_SNAPSHOT else 0

    def active_bytes(self, key: str) -> int:
        """Return how many bytes were written to an active snapshot."""
        return _tree_bytes(str(self.upper(key)))

    def sweep(self, keep: set[str]) -> None:
        """Remove active snapshots but those in ``keep``, and what a crash left half removed."""
        for entry in os.scandir(self._active):
            if entry.name not in keep:
                self._discard(Path(entry.path))
        for entry in os.scandir(self._trash):
            shutil.rmtree(entry.path, ignore_errors=True)


def _read_parent(directory: str | os.PathLike[str]) -> str | None:
    try:
        return Path(directory, "parent").read_text() or None
    except FileNotFoundError:
        return None


def _tree_bytes(directory: str) -> int:
    """Add up the sizes of regular files; hard links count once."""
    total, seen = 0, set()
    for path, _, names in os.walk(directory):
        for name in names:
            status = os.lstat(os.path.join(path, name))
            if status.st_nlink > 1:
                if status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
            total += status.st_size
    return total
