"""Between archives and directories: unpacking a tar safely, and the archive that a layer's digest is of.

An archive is hostile until proven otherwise. Every path in it is resolved by the kernel with the layer's directory
as the root (``openat2(RESOLVE_IN_ROOT)``), so that neither ``..`` nor a link leads out of it; the last component is
never followed.

Source: OCI image-spec, layer.md; Documentation/filesystems/overlayfs.rst.
"""

import contextlib
import hashlib
import os
import stat
import tarfile
from pathlib import Path
from typing import IO

from nbcontainers import errors
from nbcontainers.linux import files, mounts, overlay

WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = ".wh..wh..opq"
_COPY_BYTES = 1 << 20
_XATTR = "SCHILY.xattr."


def unpack(stream: IO[bytes], directory: Path) -> None:
    """Unpack a tar archive, compressed or not, into a layer's directory.

    Args:
        stream: The archive.
        directory: Where to; it exists.

    Raises:
        errors.InvalidArgument: It is no archive, is cut short, or has a name that leads out of the root.
    """
    root_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            unpacker = _Unpacker(root_fd, archive)
            for member in archive:
                unpacker.extract(member)
            unpacker.finish()
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno == 28:
            raise errors.Unavailable("disk space", str(error), "free some space") from error
        raise errors.InvalidArgument(f"cannot unpack the archive: {error}") from error
    finally:
        os.close(root_fd)


class _Unpacker:
    """Extracts members below one directory."""

    def __init__(self, root_fd: int, archive: tarfile.TarFile) -> None:
        self._root_fd = root_fd
        self._archive = archive
        self._directories: list[tuple[str, tarfile.TarInfo]] = []

    def extract(self, member: tarfile.TarInfo) -> None:
        """Extract one member over whatever has its name."""
        path = _clean(member.name)
        if not path:
            if member.isdir():
                self._set_metadata(self._root_fd, ".", member)
            return
        parent, _, name = path.rpartition("/")
        parent_fd = self._open_parent(parent)
        try:
            if name == OPAQUE_MARKER:
                overlay.set_opaque(f"/proc/self/fd/{parent_fd}")
            elif name.startswith(WHITEOUT_PREFIX):
                _remove(parent_fd, name.removeprefix(WHITEOUT_PREFIX))
                overlay.whiteout(name.removeprefix(WHITEOUT_PREFIX), parent_fd)
            else:
                self._make(parent_fd, name, member)
        finally:
            os.close(parent_fd)
        if member.isdir():
            self._directories.append((path, member))

    def _open_parent(self, parent: str) -> int:
        """Open a directory inside the root, made with its parents when it is missing."""
        try:
            return mounts.openat2(self._root_fd, parent or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if error.errno != 2:
                raise
        above, _, name = parent.rpartition("/")
        above_fd = self._open_parent(above)
        try:
            os.mkdir(name, 0o755, dir_fd=above_fd)
        finally:
            os.close(above_fd)
        return self._open_parent(parent)

    def _make(self, parent_fd: int, name: str, member: tarfile.TarInfo) -> None:
        if not (member.isdir() and _is_directory(parent_fd, name)):
            _remove(parent_fd, name)
        if member.isdir():
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent_fd)
        elif member.isreg():
            self._write_file(parent_fd, name, member)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent_fd)
        elif member.islnk():
            self._link(parent_fd, name, member)
            return
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent_fd)
        elif member.ischr() or member.isblk():
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(member.devmajor, member.devminor), dir_fd=parent_fd)
        else:
            raise errors.InvalidArgument(f"'{member.name}' is of a kind that no layer has: {member.type!r}")
        self._set_metadata(parent_fd, name, member)

    def _write_file(self, parent_fd: int, name: str, member: tarfile.TarInfo) -> None:
        source = self._archive.extractfile(member)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=parent_fd)
        try:
            while source is not None and (data := source.read(_COPY_BYTES)):
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
        finally:
            os.close(fd)

    def _link(self, parent_fd: int, name: str, member: tarfile.TarInfo) -> None:
        target_parent, _, target_name = _clean(member.linkname).rpartition("/")
        target_fd = mounts.openat2(self._root_fd, target_parent or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.link(target_name, name, src_dir_fd=target_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(target_fd)

    def _set_metadata(self, parent_fd: int, name: str, member: tarfile.TarInfo) -> None:
        os.chown(name, member.uid, member.gid, dir_fd=parent_fd, follow_symlinks=False)
        if not member.issym():
            os.chmod(name, member.mode & 0o7777, dir_fd=parent_fd)
        for key, value in member.pax_headers.items():
            if key.startswith(_XATTR):
                path = f"/proc/self/fd/{parent_fd}/{name}"
                encoded = value.encode("utf-8", "surrogateescape")
                os.setxattr(path, key.removeprefix(_XATTR), encoded, follow_symlinks=False)
        os.utime(name, (member.mtime, member.mtime), dir_fd=parent_fd, follow_symlinks=False)

    def finish(self) -> None:
        """Set the times of directories again, which making their files has changed."""
        for path, member in reversed(self._directories):
            with contextlib.suppress(OSError):
                fd = mounts.openat2(self._root_fd, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    os.utime(fd, (member.mtime, member.mtime))
                finally:
                    os.close(fd)


def _clean(name: str) -> str:
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


def _remove(parent_fd: int, name: str) -> None:
    """Remove a file or a directory tree by its name, following nothing."""
    try:
        os.unlink(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        files.remove_tree(name, dir_fd=parent_fd)


class _Hash:
    """A file to write to, of which only the digest is kept."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return len(data)


def diff_id(directory: Path) -> str:
    """Return the digest of the archive that a layer's directory stands for."""
    sink = _Hash()
    pack(directory, sink)  # type: ignore[arg-type]
    return f"sha256:{sink.sha256.hexdigest()}"


def pack(directory: Path, sink: IO[bytes]) -> None:
    """Write a layer's directory as a tar archive, the same bytes for the same files.

    Source: OCI image-spec, layer.md § Representing Changes.
    """
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        links: dict[tuple[int, int], str] = {}
        root = str(directory)
        for path in files.walk(root):
            _add(archive, path, path[len(root) + 1 :], links)


def _add(archive: tarfile.TarFile, path: str, name: str, links: dict[tuple[int, int], str]) -> None:
    status = os.lstat(path)
    if overlay.is_whiteout(status):
        parent, _, base = name.rpartition("/")
        archive.addfile(tarfile.TarInfo(f"{parent}/{WHITEOUT_PREFIX}{base}".lstrip("/")))
        return
    if stat.S_ISSOCK(status.st_mode):
        return  # a socket means nothing without the process that listens on it
    member = _member(path, name, status, links)
    if member.isreg():
        with open(path, "rb") as file:
            archive.addfile(member, file)
    else:
        archive.addfile(member)
    if member.isdir() and overlay.is_opaque(path):
        archive.addfile(tarfile.TarInfo(f"{name}/{OPAQUE_MARKER}"))


def _member(path: str, name: str, status: os.stat_result, links: dict[tuple[int, int], str]) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.uid, member.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    member.mtime = int(status.st_mtime)
    member.pax_headers = _xattrs(path)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        member.type = tarfile.DIRTYPE
    elif kind == stat.S_IFLNK:
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        member.type = tarfile.CHRTYPE if kind == stat.S_IFCHR else tarfile.BLKTYPE
        member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    elif kind == stat.S_IFIFO:
        member.type = tarfile.FIFOTYPE
    elif status.st_nlink > 1 and (first := links.setdefault((status.st_dev, status.st_ino), name)) != name:
        member.type, member.linkname = tarfile.LNKTYPE, first
    else:
        member.size = status.st_size
    return member


def _xattrs(path: str) -> dict[str, str]:
    """Return the extended attributes that belong to the file, not to overlayfs."""
    found = {}
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if not name.startswith("trusted.overlay."):
            value = os.getxattr(path, name, follow_symlinks=False)
            found[_XATTR + name] = value.decode("utf-8", "surrogateescape")
    return found
