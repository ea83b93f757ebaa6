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

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from nbcontainers import errors
from nbcontainers.images.standby import Standby, Wanted
from nbcontainers.linux import files
from nbcontainers.runtime.spec import Rootfs
from nbcontainers.runtime.stock import Stock

HOST_SNAPSHOT = "host"


class Snapshots:
    """All snapshots of one engine; its methods may be called from any thread.

    Attributes:
        stock: Active snapshots that nobody has asked for yet.
        standby: Such ones that are mounted already.

    Args:
        root: Their directory; made when missing.
        hidden: Absolute paths that ``host`` does not show: the engine's own data.
        discard: Takes a directory out of the way, and removes it sooner or later; by default the own trash
            takes it, and a removed layer lies there until ``empty_trash``.
    """

    def __init__(self, root: Path, hidden: list[str], discard: Callable[[Path], None] | None = None) -> None:
        self._discard = discard
        self._layers = root / "layers"
        self._active = root / "active"
        self._trash = root / "trash"
        self._hidden = hidden
        for directory in (self._layers, self._active, self._trash):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.stock = Stock(root / "blank", _fill_blank)
        self.standby = Standby(
            root / "standby",
            self.stock.take,
            lambda directory, wanted: self._rootfs(directory, wanted.parent, wanted.volatile),
        )
        # Who stands on what; the lock makes looking and changing one step, so that no parent is removed in between.
        self._lock = threading.RLock()
        self._parents = {entry.name: _read_parent(entry.path) for entry in os.scandir(self._layers)}
        self._active_parents = {entry.name: _read_parent(entry.path) for entry in os.scandir(self._active)}

    def prepare(self, key: str, parent: str | None, *, volatile: bool = False, more_to_come: bool = False) -> Rootfs:
        """Make an active snapshot over ``parent``.

        Args:
            key: Its key, such as a container's id.
            parent: A committed snapshot, or None for an empty root.
            volatile: Its files need not survive a crash of the machine.
            more_to_come: There may be more of this kind, so that it is worth while to have some on ``standby``.

        Raises:
            errors.Conflict: The key is taken.
            errors.NotFound: There is no such parent.
        """
        directory = self._active / key
        with self._lock:
            self._check_parent(parent)
            if key in self._active_parents:
                raise errors.Conflict(f"snapshot '{key}' exists")
            self._active_parents[key] = parent
        try:
            if not (more_to_come and parent and self.standby.take(key, Wanted(parent, volatile), directory)):
                self.stock.take(directory)
            with open(f"{directory}/parent", "wb", 0) as file:
                file.write((parent or "").encode())
            return self._rootfs(directory, parent, volatile)
        except BaseException:
            self.remove(key)
            raise

    def mounts(self, key: str, *, volatile: bool = False) -> Rootfs:
        """Return an active snapshot's root file system, to be mounted.

        Raises:
            errors.NotFound: There is no such snapshot.
        """
        self.standby.let_go(key)
        return self._described(key, volatile)

    def mounted(self, key: str, *, volatile: bool = False) -> tuple[Rootfs, int | None]:
        """Do as ``mounts`` does, and return the mount as well, which is the caller's, where it was made ahead.

        Raises:
            errors.NotFound: There is no such snapshot.
        """
        return self._described(key, volatile), self.standby.mount_of(key)

    def _described(self, key: str, volatile: bool) -> Rootfs:
        with self._lock:
            if key not in self._active_parents:
                raise errors.NotFound(f"snapshot '{key}' not found")
            return self._rootfs(self._active / key, self._active_parents[key], volatile)

    def view(self, name: str | None) -> Rootfs:
        """Return a committed snapshot's root file system, read-only.

        Raises:
            errors.NotFound: There is no such snapshot.
        """
        self._check_parent(name)
        lower, host = self._lower(name)
        # An overlay without an upper directory wants two lower ones, and not one twice.
        lower += (
            [self._empty("empty")] if lower or host is not None else [self._empty("empty"), self._empty("empty-too")]
        )
        return Rootfs(lower=lower, upper=None, work=None, host=host, volatile=False)

    def _empty(self, name: str) -> str:
        directory = self._trash.parent / name
        directory.mkdir(mode=0o755, exist_ok=True)
        return str(directory)

    def _rootfs(self, directory: Path, parent: str | None, volatile: bool) -> Rootfs:
        lower, host = self._lower(parent)
        if not lower and host is None:
            lower = [self._empty("empty")]
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
        """Return a committed snapshot and all below it, the topmost first.

        Raises:
            errors.NotFound: One of them is not there.
        """
        chain: list[str] = []
        with self._lock:
            while name:
                self._check_parent(name)
                chain.append(name)
                name = None if name == HOST_SNAPSHOT else self._parents[name]
        return chain

    def below(self, name: str) -> str | None:
        """Return what a committed snapshot stands on.

        Raises:
            errors.NotFound: There is no such snapshot.
        """
        with self._lock:
            self._check_parent(name)
            return self._parents[name]

    def parent(self, key: str) -> str | None:
        """Return what an active snapshot stands on.

        Raises:
            errors.NotFound: There is no such snapshot.
        """
        with self._lock:
            if key not in self._active_parents:
                raise errors.NotFound(f"snapshot '{key}' not found")
            return self._active_parents[key]

    def adopt(self, key: str, parent: str | None) -> None:
        """Put an active snapshot that was made without a parent on top of a committed one.

        Raises:
            errors.NotFound: One of them is not there.
        """
        with self._lock:
            self._check_parent(parent)
            self.parent(key)
            files.replace(str(self._active / key / "parent"), (parent or "").encode())
            self._active_parents[key] = parent

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
            errors.NotFound: There is no such active snapshot.
        """
        with self._lock:
            if self.has(name):
                raise errors.Conflict(f"snapshot '{name}' exists")
            if key not in self._active_parents:
                raise errors.NotFound(f"snapshot '{key}' not found")
            (self._active / key).rename(self._layers / name)
            self._parents[name] = self._active_parents.pop(key)
        # A layer does not mind what overlayfs has left there; removing it takes longer than all else here.
        with contextlib.suppress(OSError):
            self._throw_away(self._layers / name / "work")

    def withdraw(self, name: str, key: str) -> None:
        """Turn a committed snapshot that nobody stands on into an active one again: it is to become another.

        Raises:
            errors.Conflict: It is the parent of another one.
            errors.NotFound: There is no such committed snapshot.
        """
        with self._lock:
            if name not in self._parents:
                raise errors.NotFound(f"snapshot '{name}' not found")
            self._check_childless(name)
            self.standby.forget(name)
            (self._layers / name).rename(self._active / key)
            self._active_parents[key] = self._parents.pop(name)

    def remove(self, key: str) -> None:
        """Remove an active snapshot; one that is not there is no error."""
        self.standby.give_up(key)
        with self._lock:
            trash = self._throw_away(self._active / key)
            self._active_parents.pop(key, None)
        if trash is not None:
            _delete(trash)

    def remove_layer(self, name: str) -> None:
        """Remove a committed snapshot that nobody stands on; the disk has its space back with ``empty_trash``.

        Raises:
            errors.Conflict: It is the parent of another one.
        """
        with self._lock:
            self._check_childless(name)
            self.standby.forget(name)
            self._throw_away(self._layers / name)
            self._parents.pop(name, None)

    def _check_childless(self, name: str) -> None:
        if name in self._parents.values() or name in self._active_parents.values():
            raise errors.Conflict(f"snapshot '{name}' has children")

    def _throw_away(self, directory: Path) -> Path | None:
        """Take a directory away at once; return where it is to be deleted, unless somebody else does that."""
        if self._discard is not None:
            self._discard(directory)
            return None
        trash = self._trash / f"{directory.name}-{os.urandom(4).hex()}"
        with contextlib.suppress(FileNotFoundError):
            directory.rename(trash)
        return trash

    def empty_trash(self) -> None:
        """Delete the files of what was removed; it may take a while."""
        for entry in os.scandir(self._trash):
            _delete(entry.path)

    def parents_in_use(self) -> set[str]:
        """Return the committed snapshots that active ones stand on."""
        with self._lock:
            return {parent for parent in self._active_parents.values() if parent}

    def committed(self) -> list[str]:
        """Return the names of all committed snapshots."""
        with self._lock:
            return list(self._parents)

    def usage_bytes(self, name: str) -> int:
        """Return how many bytes a committed snapshot's own files have."""
        return files.tree_bytes(str(self.files(name))) if name != HOST_SNAPSHOT else 0

    def active_bytes(self, key: str) -> int:
        """Return how many bytes were written to an active snapshot."""
        return files.tree_bytes(str(self.upper(key)))

    def sweep(self, keep: set[str]) -> None:
        """Remove active snapshots but those in ``keep``, and what a crash left half removed."""
        for entry in os.scandir(self._active):
            if entry.name not in keep:
                self.remove(entry.name)
        self.empty_trash()


def _fill_blank(directory: str) -> None:
    """Make what an active snapshot consists of, before it has a key or a parent."""
    os.mkdir(f"{directory}/fs", 0o755)
    os.chmod(f"{directory}/fs", 0o755)  # whatever the umask
    os.mkdir(f"{directory}/work", 0o700)
    os.close(os.open(f"{directory}/parent", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _delete(directory: str | os.PathLike[str]) -> None:
    """Delete a tree in the trash; what cannot be deleted stays there, for the next engine to try."""
    with contextlib.suppress(OSError):
        files.remove_tree(os.fspath(directory))


def _read_parent(directory: str | os.PathLike[str]) -> str | None:
    try:
        return Path(directory, "parent").read_text() or None
    except FileNotFoundError:
        return None
