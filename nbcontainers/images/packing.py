"""Trees of files as tar archives: the same bytes for the same files, written as they are read.

Nothing in a tree is followed: each directory is found by a path without links (``openat2``), each file is opened by
its name in there. So a tree may be written while a hostile container changes it; a file that becomes shorter meanwhile
is filled up with zeros, for the archive has promised its size by then.

Source: pax(1) § pax Interchange Format; OCI image-spec, layer.md § Representing Changes.
"""

import contextlib
import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterable
from typing import Protocol

from nbcontainers.images import headers
from nbcontainers.linux import files, overlay
from nbcontainers.linux.descriptors import write_all

WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = ".wh..wh..opq"
XATTR_PREFIX = "SCHILY.xattr."
OVERLAY_XATTR = "trusted.overlay."
_COPY_BYTES = 1 << 20
_ZEROS = bytes(1 << 16)
_VANISHED = frozenset((errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO))
Enter = Callable[[os.stat_result], bool]


class Sink(Protocol):
    """Where an archive goes."""

    def write(self, data: bytes) -> object:
        """Take bytes."""

    def copy(self, fd: int, size: int) -> None:
        """Take the first ``size`` bytes of a file, zeros where it ends before."""


class Hash:
    """Keeps the digest alone."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    @property
    def digest(self) -> str:
        """What was written, as references have it."""
        return f"sha256:{self.sha256.hexdigest()}"

    def write(self, data: bytes) -> None:
        """Take bytes."""
        self.sha256.update(data)
        self.size_bytes += len(data)

    def copy(self, fd: int, size: int) -> None:
        """Take a file's bytes."""
        copy_by_reading(fd, size, self.write)


class Count:
    """Keeps the number of bytes alone, without reading any file."""

    def __init__(self) -> None:
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        """Take bytes."""
        self.size_bytes += len(data)

    def copy(self, fd: int, size: int) -> None:
        """Take a file's bytes."""
        self.size_bytes += size


class Descriptor:
    """Writes to a descriptor, such as a pipe; files go there without passing through this process.

    Raises:
        BrokenPipeError: Nobody reads any more.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> None:
        """Take bytes."""
        write_all(self._fd, data)

    def copy(self, fd: int, size: int) -> None:
        """Take a file's bytes."""
        offset = 0
        while offset < size:
            try:
                sent = os.sendfile(self._fd, fd, offset, min(size - offset, _COPY_BYTES))
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EIO):
                    raise
                sent = 0  # a file system that cannot, or a file that cannot be read to its end
            if not sent:
                break
            offset += sent
        if offset < size:
            os.lseek(fd, offset, os.SEEK_SET)
            copy_by_reading(fd, size - offset, self.write)


def copy_by_reading(fd: int, size: int, write: Callable[[bytes], object]) -> None:
    """Pass the next ``size`` bytes of a file on, zeros where it ends before."""
    while size:
        data = os.read(fd, min(size, _COPY_BYTES)) or _ZEROS[: min(size, len(_ZEROS))]
        write(data)
        size -= len(data)


class Packer:
    """Writes members of one archive.

    Args:
        sink: Where it goes.
        layer: Whether the tree is an upper directory, whose whiteouts become what archives have for them.
    """

    def __init__(self, sink: Sink, *, layer: bool = False) -> None:
        self._sink = sink
        self._layer = layer
        self._links: dict[tuple[int, int], str] = {}

    def add_tree(self, root_fd: int, directory: str, name: str, enter: Enter | None = None) -> None:
        """Write all that is below a directory, not the directory itself; what vanishes meanwhile is left out.

        Args:
            root_fd: What the path is relative to.
            directory: The directory, by a path without links.
            name: What it is called in the archive: the beginning of its members' names.
            enter: Says of a directory's status whether what it has is to be in the archive as well; by default it is.
        """
        pending = [(directory, name)]
        while pending:
            directory, name = pending.pop()
            try:
                with files.opened(root_fd, directory) as fd:
                    found = self._add_entries(fd, name, enter)
            except OSError as error:
                if error.errno in _VANISHED:
                    continue
                raise
            pending += [(f"{directory}/{entry}", f"{name}{entry}/") for entry in reversed(found)]

    def _add_entries(self, fd: int, prefix: str, enter: Enter | None) -> list[str]:
        """Write a directory's entries; return those that are directories to go on with."""
        directories = []
        for entry in sorted(os.listdir(fd)):
            try:
                status = os.lstat(entry, dir_fd=fd)
            except FileNotFoundError:
                continue
            if self.add(fd, entry, f"{prefix}{entry}", status) and (enter is None or enter(status)):
                directories.append(entry)
        return directories

    def add(self, dir_fd: int, entry: str, name: str, status: os.stat_result) -> bool:
        """Write one member.

        Args:
            dir_fd: The directory that it is in.
            entry: What it is called there; ``.`` for the directory itself.
            name: What it is to be called in the archive.
            status: What ``lstat`` says of it.

        Returns:
            Whether it is a directory.
        """
        if self._layer and overlay.is_whiteout(status):
            parent, _, base = name.rpartition("/")
            self._mark(f"{parent}/{WHITEOUT_PREFIX}{base}".lstrip("/"))
            return False
        if stat.S_ISSOCK(status.st_mode):
            return False  # a socket means nothing without the process that listens on it
        path = f"/proc/self/fd/{dir_fd}/{entry}"
        try:
            if stat.S_ISREG(status.st_mode):
                self._add_file(dir_fd, entry, name)
                return False
            member = self._member(name, status, _xattrs(path))
            if member.issym():
                member.linkname = os.readlink(entry, dir_fd=dir_fd)
        except OSError as error:
            # EINVAL: it is no link any more.
            if error.errno in _VANISHED or (stat.S_ISLNK(status.st_mode) and error.errno == errno.EINVAL):
                return False
            raise
        self._sink.write(headers.write(member))
        if member.isdir() and self._layer and overlay.is_opaque(path):
            self._mark(f"{name}/{OPAQUE_MARKER}")
        return member.isdir()

    def _add_file(self, dir_fd: int, entry: str, name: str) -> None:
        # O_NONBLOCK: should somebody put a pipe in its place meanwhile, opening it does not wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(entry, flags, dir_fd=dir_fd)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return
            member = self._member(name, status, _xattrs(fd))
            self._sink.write(headers.write(member))
            self._sink.copy(fd, member.size)
            self._sink.write(bytes(-member.size % tarfile.BLOCKSIZE))
        finally:
            os.close(fd)

    def _member(self, name: str, status: os.stat_result, xattrs: dict[str, str]) -> tarfile.TarInfo:
        member = tarfile.TarInfo(name)
        member.mode, member.uid, member.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        member.mtime = int(status.st_mtime)
        member.pax_headers = xattrs
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            member.type = tarfile.DIRTYPE
        elif kind == stat.S_IFLNK:
            member.type = tarfile.SYMTYPE
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            member.type = tarfile.CHRTYPE if kind == stat.S_IFCHR else tarfile.BLKTYPE
            member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        elif kind == stat.S_IFIFO:
            member.type = tarfile.FIFOTYPE
        else:
            inode = (status.st_dev, status.st_ino)
            if status.st_nlink > 1 and (first := self._links.setdefault(inode, name)) != name:
                member.type, member.linkname = tarfile.LNKTYPE, first
            else:
                member.size = status.st_size
        return member

    def _mark(self, name: str) -> None:
        self._sink.write(headers.write(tarfile.TarInfo(name)))

    def add_data(self, name: str, data: bytes) -> None:
        """Write a file that is not on the disk, with nothing about it that could change: root's, of the epoch."""
        self.add_header(name, len(data))
        self._sink.write(data)
        self.add_padding(len(data))

    def add_header(self, name: str, size: int | None = None, link: str = "") -> None:
        """Write the head of a file that is root's and of the epoch, of a directory (None), or of a link."""
        member = tarfile.TarInfo(name)
        member.mode = 0o644
        if link:
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, link, 0o777
        elif size is None:
            member.type, member.mode = tarfile.DIRTYPE, 0o755
        else:
            member.size = size
        self._sink.write(headers.write(member))

    def add_padding(self, size: int) -> None:
        """Write what follows the content of a file of ``size`` bytes."""
        self._sink.write(bytes(-size % tarfile.BLOCKSIZE))

    def close(self) -> None:
        """Write the end of the archive."""
        self._sink.write(bytes(2 * tarfile.BLOCKSIZE))


def _xattrs(path: str | int) -> dict[str, str]:
    """Return the extended attributes that belong to the file, not to overlayfs."""
    found: dict[str, str] = {}
    follow = isinstance(path, int)  # a descriptor is no link
    with contextlib.suppress(OSError):
        for name in sorted(_names(os.listxattr(path, follow_symlinks=follow))):
            value = os.getxattr(path, name, follow_symlinks=follow)
            found[XATTR_PREFIX + name] = value.decode("utf-8", "surrogateescape")
    return found


def _names(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(OVERLAY_XATTR)]
