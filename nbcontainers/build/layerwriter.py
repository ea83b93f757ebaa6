"""Files into a new layer, without a mount of it: each goes right to its place in the layer's own directory.

Where that place is, the layers below decide: a link there is followed as a program in the container would follow it,
and a directory that is there keeps its owner and mode. So they are looked at, as a read-only mount, and directories
on the way are made in the layer as the kernel would copy them up.

A file of the build's own context is linked rather than copied where it is to become exactly what it is already: then
not a byte of it moves.

Source: Dockerfile reference § COPY; Documentation/filesystems/overlayfs.rst.
"""

import contextlib
import os
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from nbcontainers.build.events import BuildError
from nbcontainers.build.selection import Entry, Picked
from nbcontainers.linux import files, overlay

_MOST_LINKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What becomes of files: their owner and group (None keeps them), and of their modes."""

    uid: int | None = 0
    gid: int | None = 0
    mode: Callable[[int], int] | None = None


class LayerWriter:
    """Writes into one layer.

    Args:
        view_fd: The layers below, as one tree.
        upper: The new layer's directory, an absolute path.
        wish: What becomes of files; it may be another one for each source.
    """

    def __init__(self, view_fd: int, upper: str, wish: Wish) -> None:
        self._view = f"/proc/self/fd/{view_fd}"
        self._upper = upper
        self._upper_fd = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.wish = wish
        self._made = {""}
        self._new: set[str] = set()
        self._first: dict[tuple[int, int], str] = {}
        self._linked: set[tuple[int, int]] = set()
        self._written: set[str] = set()

    def __enter__(self) -> "LayerWriter":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._upper_fd)

    def status(self, path: str) -> os.stat_result | None:
        """Return what is at a path without links, None for nothing."""
        for root in (self._upper, self._view):
            try:
                return os.lstat(f"{root}{path}")
            except (FileNotFoundError, NotADirectoryError):
                continue
        return None

    def resolve(self, path: str) -> str:
        """Return a path without links, ``..`` and dots, as far as it exists; the root is empty.

        Raises:
            BuildError: There are too many links.
        """
        pending, current, links = deque(path.split("/")), "", 0
        while pending:
            part = pending.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                current = current.rpartition("/")[0]
                continue
            candidate = f"{current}/{part}"
            status = self.status(candidate)
            if status is None or not stat.S_ISLNK(status.st_mode):
                current = candidate
                continue
            links += 1
            if links > _MOST_LINKS:
                raise BuildError(f"too many levels of symbolic links: '{path}'")
            target = self._readlink(candidate)
            current = "" if target.startswith("/") else current
            pending.extendleft(reversed(target.split("/")))
        return current

    def _readlink(self, path: str) -> str:
        try:
            return os.readlink(f"{self._upper}{path}")
        except OSError:
            return os.readlink(f"{self._view}{path}")

    def is_directory(self, path: str) -> bool:
        """Say whether there is a directory at a path without links."""
        status = self.status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def make_directory(self, path: str) -> bool:
        """Have a directory in the layer, with all above it; returns whether it is a new one.

        A new one has the wish's owner, or root for none.

        Raises:
            BuildError: Something else is there.
        """
        if path in self._made:
            return path in self._new
        above, _, name = path.rpartition("/")
        is_new = self.make_directory(above)
        status = None if is_new else self.status(path)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            raise BuildError(f"cannot copy to non-directory: '{path}'")
        target = f"{self._upper}{path}"
        try:
            os.mkdir(target, 0o755)
        except FileExistsError:
            self._made.add(path)  # an earlier writer of this layer has made it
            return False
        self._made.add(path)
        if status is not None:
            self._copy_up(above, name)
            return False
        self._new.add(path)
        os.chmod(target, 0o755)
        os.chown(target, self.wish.uid or 0, self.wish.gid or 0)
        return True

    def _copy_up(self, above: str, name: str) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        source_fd = os.open(f"{self._view}{above}", flags)
        try:
            target_fd = os.open(f"{self._upper}{above}", flags)
            try:
                files.copy_attributes(source_fd, target_fd, name)
            finally:
                os.close(target_fd)
        finally:
            os.close(source_fd)

    def write(self, picked: Picked, destination: str, *, into_directory: bool) -> None:
        """Write what was picked from one source.

        Args:
            picked: The files; a directory's content goes into the destination.
            destination: A path without links.
            into_directory: A single file keeps its name, and goes into the destination.

        Raises:
            BuildError: A file is to replace a directory, or the reverse.
        """
        if not picked.is_directory:
            if into_directory:
                destination = f"{destination}/{picked.name}"
            for entry in picked.entries:
                is_new = self.make_directory(destination.rpartition("/")[0])
                self._write_file(entry, destination, picked.is_private, is_new=is_new)
            return
        top, *rest = picked.entries
        owned = [(top, destination)] if self.make_directory(destination) else []
        for entry in rest:
            target = f"{destination}/{entry.target}"
            if stat.S_ISDIR(entry.status.st_mode):
                self.make_directory(target)
                owned.append((entry, target))
            else:
                is_new = target.rpartition("/")[0] in self._new
                self._write_file(entry, target, picked.is_private, is_new=is_new)
        # Last, and the deepest first: making files changes a directory's times.
        for entry, target in reversed(owned):
            self._own(entry, f"{self._upper}{target}")

    def _write_file(self, entry: Entry, path: str, is_private: bool, *, is_new: bool) -> None:
        target = f"{self._upper}{path}"
        if not is_new and self.is_directory(path):
            raise BuildError(f"cannot copy the file '{os.path.basename(path)}' over a directory")
        mode = entry.status.st_mode
        identity = (entry.status.st_dev, entry.status.st_ino)
        if not is_new or target in self._written:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)
        self._written.add(target)
        if entry.status.st_nlink > 1 and stat.S_ISREG(mode):
            first = self._first.setdefault(identity, target)
            if first != target:
                os.link(first, target)
                return
        if stat.S_ISREG(mode):
            if is_private and identity not in self._linked and self._is_as_wished(entry.status):
                self._linked.add(identity)
                self._link(entry.path, target)
                return
            _copy(entry, target)
        elif stat.S_ISLNK(mode):
            os.symlink(os.readlink(entry.path), target)
        elif stat.S_ISFIFO(mode):
            os.mkfifo(target)
        elif (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and not overlay.is_whiteout(entry.status):
            os.mknod(target, stat.S_IFMT(mode) | 0o600, entry.status.st_rdev)
        else:
            return  # a socket means nothing without the process that listens on it
        self._own(entry, target)

    def _is_as_wished(self, status: os.stat_result) -> bool:
        uid = status.st_uid if self.wish.uid is None else self.wish.uid
        gid = status.st_gid if self.wish.gid is None else self.wish.gid
        mode = stat.S_IMODE(status.st_mode)
        same_mode = self.wish.mode is None or self.wish.mode(status.st_mode) == mode
        return same_mode and (uid, gid) == (status.st_uid, status.st_gid)

    def _link(self, source: str, target: str) -> None:
        # With a directory's descriptor Python calls linkat(2) so that it follows what /proc/self/fd/N stands for.
        os.link(source, target, src_dir_fd=self._upper_fd)

    def _own(self, entry: Entry, target: str) -> None:
        """Give a file what it is to have; a change of the owner clears bits of the mode, so that comes first."""
        status = entry.status
        uid = status.st_uid if self.wish.uid is None else self.wish.uid
        gid = status.st_gid if self.wish.gid is None else self.wish.gid
        os.chown(target, uid, gid, follow_symlinks=False)
        is_link = stat.S_ISLNK(status.st_mode)
        if not is_link:
            mode = stat.S_IMODE(status.st_mode)
            os.chmod(target, mode if self.wish.mode is None else self.wish.mode(status.st_mode))
        for name in os.listxattr(entry.path, follow_symlinks=not is_link):
            if not name.startswith("trusted.overlay."):
                value = os.getxattr(entry.path, name, follow_symlinks=not is_link)
                os.setxattr(target, name, value, follow_symlinks=False)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _copy(entry: Entry, target: str) -> None:
    """Have the kernel copy a file's content; holes stay holes."""
    source_fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            files.copy_data(source_fd, target_fd)
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)
