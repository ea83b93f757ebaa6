"""Unpacking a tar archive below a root, which nothing in it can leave.

An archive is hostile until proven otherwise, and so is the tree that it goes to when that is a container's. Every path
is resolved by the kernel with the root as its limit (``openat2(RESOLVE_IN_ROOT)``), so that neither ``..`` nor a link
leads out of it; the last component is never followed. What is found in the way is removed by its name in an open
directory.

Source: pax(1) § pax Interchange Format; OCI image-spec, layer.md; Documentation/filesystems/overlayfs.rst.
"""

import contextlib
import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import MutableMapping
from dataclasses import dataclass
from types import TracebackType
from typing import cast

from nbcontainers import errors
from nbcontainers.images import holes
from nbcontainers.images.compression import FAILURES
from nbcontainers.images.headers import Archive
from nbcontainers.images.packing import OPAQUE_MARKER, OVERLAY_XATTR, WHITEOUT_PREFIX, XATTR_PREFIX
from nbcontainers.images.sources import COPY_BYTES, Source
from nbcontainers.linux import files, mounts, overlay

_MOST_OPENED = 128
_FAILURES: tuple[type[Exception], ...] = (tarfile.TarError, OSError, ValueError, OverflowError, *FAILURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How an archive is unpacked.

    Args:
        whiteouts: Names that begin with ``.wh.`` say what is deleted below, as in a layer.
        keep_kinds: Nothing that is no directory takes a directory's place, nor the other way round.
        owner: Who everything will belong to; None for whom the archive names.
        duplicates: A file may come twice; then the later one counts.
        devices: Device nodes are made; else they are refused.
        root: What the archive says of its root directory is done to the one that is there.
    """

    whiteouts: bool = True
    keep_kinds: bool = False
    owner: tuple[int, int] | None = None
    duplicates: bool = True
    devices: bool = True
    root: bool = True


class Unpacker:
    """Extracts an archive's members below one directory; use it in a ``with`` statement.

    Args:
        root_fd: What no path leaves.
        rules: How.
        base: The directory that members are relative to: a path in the root.
        digests: Gets the SHA-256 of each regular file's content, by its inode's number.
    """

    def __init__(
        self, root_fd: int, rules: Rules, base: str = "", digests: MutableMapping[int, bytes] | None = None
    ) -> None:
        self._root_fd = root_fd
        self._rules = rules
        self._base = base
        self._digests = digests
        self._directories: list[tuple[str, tarfile.TarInfo]] = []
        self._opened: dict[str, int] = {}
        self._has_removed = False
        self._implied: dict[str, None] = {}
        self.size_bytes = 0

    @property
    def implied(self) -> list[str]:
        """The directories that the archive has something in, but not themselves: the upper ones first."""
        return list(self._implied)

    @property
    def has_root(self) -> bool:
        """Whether the archive said what its root directory is like."""
        return any(path == "." for path, _ in self._directories)

    def __enter__(self) -> "Unpacker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._forget_opened()
        if kind is None:
            self._set_times()

    def unpack(self, source: Source) -> None:
        """Extract all members.

        Raises:
            errors.InvalidArgument: It is no archive, is cut short, or has a name that leads out of the root.
            errors.Unavailable: The disk is full.
        """
        try:
            with Archive(source) as archive:
                self._archive, self._source = archive, source
                while (member := archive.next()) is not None:
                    self.extract(member)
                source.finish()
        except _FAILURES as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise errors.Unavailable("disk space", str(error), "free some space") from error
            if isinstance(error, OSError) and error.errno == errno.EROFS:
                raise
            raise errors.InvalidArgument(f"cannot unpack the archive: {error}") from error

    def extract(self, member: tarfile.TarInfo) -> None:
        """Extract one member over whatever has its name."""
        path = clean(member.name)
        if not path:
            if member.isdir() and self._rules.root:
                self._set_metadata_of_root(member)
                self._directories.append((".", member))
            return
        parent, _, name = path.rpartition("/")
        parent_fd = self._opened.get(parent, -1)
        if parent_fd < 0:
            if len(self._opened) >= _MOST_OPENED:
                self._forget_opened()
            parent_fd = self._opened[parent] = self._open_parent(parent)
        if self._rules.whiteouts and name.startswith(WHITEOUT_PREFIX):
            self._white_out(parent_fd, name, member)
            return
        self._make(parent_fd, path, member)
        if self._has_removed:
            self._has_removed = False
            self._forget_opened()
        if member.isdir():
            self._implied.pop(path, None)
            self._directories.append((path, member))

    def _forget_opened(self) -> None:
        """Find directories anew from now on: those that were opened may be at their paths no longer."""
        while self._opened:
            os.close(self._opened.popitem()[1])

    def _set_metadata_of_root(self, member: tarfile.TarInfo) -> None:
        fd = mounts.openat2(self._root_fd, self._base or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._set_metadata(fd, ".", member)
        finally:
            os.close(fd)

    def _white_out(self, parent_fd: int, name: str, member: tarfile.TarInfo) -> None:
        """Hide what is below; what the archive itself has put there stays.

        Raises:
            errors.InvalidArgument: It would hide the directory itself, or the one above.
        """
        if name == OPAQUE_MARKER:
            overlay.set_opaque(f"/proc/self/fd/{parent_fd}")
            return
        hidden = name.removeprefix(WHITEOUT_PREFIX)
        if hidden in ("", ".", ".."):
            raise errors.InvalidArgument(f"the archive's member '{member.name}' leads out of its root")
        if hidden.startswith(WHITEOUT_PREFIX):
            return  # a remark of the tool that made the layer, such as AUFS
        try:
            overlay.whiteout(hidden, parent_fd)
        except FileExistsError:
            if _is_directory(parent_fd, hidden):
                overlay.set_opaque(f"/proc/self/fd/{parent_fd}/{hidden}")

    def _open_parent(self, parent: str) -> int:
        """Open a directory inside the root, made with its parents when it is missing."""
        missing = []
        there = parent
        while True:
            place = f"{self._base}/{there}" if self._base else there or "."
            try:
                fd = mounts.openat2(self._root_fd, place, os.O_RDONLY | os.O_DIRECTORY)
                break
            except OSError as error:
                if error.errno != errno.ENOENT or not there:
                    raise
            missing.append(there)
            there = there.rpartition("/")[0]
        for path in reversed(missing):
            try:
                name = path.rpartition("/")[2]
                os.mkdir(name, 0o755, dir_fd=fd)
                self._implied[path] = None
                below_fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            finally:
                os.close(fd)
            fd = below_fd
        return fd

    def _make(self, parent_fd: int, path: str, member: tarfile.TarInfo) -> None:
        name = path.rpartition("/")[2]
        if member.isreg():
            self._make_file(parent_fd, name, path, member)
            return
        hides = self._clear(parent_fd, name, member)
        if member.isdir():
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent_fd)
            if hides:
                overlay.set_opaque(f"/proc/self/fd/{parent_fd}/{name}")
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent_fd)
            self.size_bytes += len(os.fsencode(member.linkname))
        elif member.islnk():
            self._link(parent_fd, name, member)
            return
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent_fd)
        elif (member.ischr() or member.isblk()) and self._rules.devices:
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(member.devmajor, member.devminor), dir_fd=parent_fd)
        else:
            raise errors.InvalidArgument(f"'{member.name}' is of a kind that cannot be here: {member.type!r}")
        self._set_metadata(parent_fd, name, member)

    def _clear(self, parent_fd: int, name: str, member: tarfile.TarInfo) -> bool:
        """Remove what has a member's name, unless both are directories; say whether that was a whiteout.

        Raises:
            errors.InvalidArgument: The rules forbid it.
        """
        try:
            status = os.lstat(name, dir_fd=parent_fd)
        except FileNotFoundError:
            return False
        was_directory = stat.S_ISDIR(status.st_mode)
        if was_directory and member.isdir():
            return False
        if self._rules.keep_kinds and was_directory:
            raise errors.InvalidArgument(f'cannot overwrite directory "{member.name}" with non-directory "{name}"')
        if self._rules.keep_kinds and member.isdir():
            raise errors.InvalidArgument(f'cannot overwrite non-directory "{member.name}" with directory "{name}"')
        hides = self._rules.whiteouts and overlay.is_whiteout(status)
        if not hides and not self._rules.duplicates:
            raise errors.InvalidArgument(f"the archive has '{member.name}' twice")
        if was_directory:
            files.remove_tree(name, dir_fd=parent_fd)
        else:
            os.unlink(name, dir_fd=parent_fd)
        self._has_removed = True
        return hides

    def _make_file(self, parent_fd: int, name: str, path: str, member: tarfile.TarInfo) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, 0o600, dir_fd=parent_fd)
        except FileExistsError:
            self._clear(parent_fd, name, member)
            fd = os.open(name, flags, 0o600, dir_fd=parent_fd)
        try:
            self._write_content(fd, path, member)
            uid, gid = self._rules.owner or (member.uid, member.gid)
            os.fchown(fd, uid, gid)
            os.fchmod(fd, member.mode & 0o7777)
            self._set_attributes(fd, member)
            os.utime(fd, (member.mtime, member.mtime))
        finally:
            os.close(fd)

    def _write_content(self, fd: int, path: str, member: tarfile.TarInfo) -> None:
        self.size_bytes += member.size
        if member.issparse():
            self._write_parts(fd, member)
            if self._digests is not None:
                self._digests.pop(os.fstat(fd).st_ino, None)  # of a file that has been replaced
            return
        left = member.size
        if left:
            self._source.content(left, path)
        ends_with_hole = False
        sha256 = hashlib.sha256()
        while left:
            data = self._source.read_content(left)
            left -= len(data)
            ends_with_hole = holes.write(fd, data)
            if self._digests is not None:
                sha256.update(data)
        if ends_with_hole:
            os.ftruncate(fd, member.size)
        if self._digests is not None:
            self._digests[os.fstat(fd).st_ino] = sha256.digest()

    def _write_parts(self, fd: int, member: tarfile.TarInfo) -> None:
        """Write what a sparse file has, each part where it belongs.

        Raises:
            tarfile.ReadError: The parts are more than the archive has, or are not in the file.
        """
        self._source.seek(member.offset_data)
        left = self._archive.offset - member.offset_data
        parts = cast(list[tuple[int, int]], member.sparse)  # what issparse() looks at
        for offset, size in parts:
            left -= size
            if left < 0 or size < 0 or not 0 <= offset <= member.size - size:
                raise tarfile.ReadError(f"the map of the sparse file '{member.name}' is damaged")
            os.lseek(fd, offset, os.SEEK_SET)
            for begin in range(0, size, COPY_BYTES):
                data = self._source.read(wanted := min(size - begin, COPY_BYTES))
                if len(data) < wanted:
                    raise tarfile.ReadError("unexpected end of data")
                holes.write(fd, data)
        os.ftruncate(fd, member.size)

    def _link(self, parent_fd: int, name: str, member: tarfile.TarInfo) -> None:
        target_parent, _, target_name = clean(member.linkname).rpartition("/")
        place = f"{self._base}/{target_parent}" if self._base else target_parent or "."
        target_fd = mounts.openat2(self._root_fd, place, os.O_PATH | os.O_DIRECTORY)
        try:
            os.link(target_name, name, src_dir_fd=target_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(target_fd)

    def _set_metadata(self, parent_fd: int, name: str, member: tarfile.TarInfo) -> None:
        uid, gid = self._rules.owner or (member.uid, member.gid)
        os.chown(name, uid, gid, dir_fd=parent_fd, follow_symlinks=False)
        if not member.issym():
            os.chmod(name, member.mode & 0o7777, dir_fd=parent_fd)
        if member.pax_headers:
            self._set_attributes(f"/proc/self/fd/{parent_fd}/{name}", member)
        os.utime(name, (member.mtime, member.mtime), dir_fd=parent_fd, follow_symlinks=False)

    def _set_attributes(self, file: str | int, member: tarfile.TarInfo) -> None:
        """Set a file's extended attributes; the file is a path without a link at its end, or a descriptor."""
        follow = isinstance(file, int)
        for key, value in member.pax_headers.items():
            attribute = key.removeprefix(XATTR_PREFIX)
            # An overlay's attributes would make a layer show what lies outside of it.
            if attribute != key and not attribute.startswith(OVERLAY_XATTR):
                encoded = value.encode("utf-8", "surrogateescape")
                try:
                    os.setxattr(file, attribute, encoded, follow_symlinks=follow)
                except OSError as error:
                    if error.errno != errno.ENOTSUP:  # the file system has no such attributes
                        raise

    def _set_times(self) -> None:
        """Set the times of directories again, which making their files has changed."""
        for path, member in reversed(self._directories):
            place = f"{self._base}/{path}" if self._base else path
            with contextlib.suppress(OSError):
                fd = mounts.openat2(self._root_fd, place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    os.utime(fd, (member.mtime, member.mtime))
                finally:
                    os.close(fd)


def clean(name: str) -> str:
    """Return a member's name relative to the root.

    Raises:
        errors.InvalidArgument: It leads out of the root.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise errors.InvalidArgument(f"the archive's member '{name}' leads out of its root")
    return "/".join(parts)


def _is_directory(parent_fd: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=parent_fd).st_mode)
    except FileNotFoundError:
        return False
