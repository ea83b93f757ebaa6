"""Tar archives as trees of files: a build's context, and what ADD unpacks.

Other than a layer's archive (``images.layers``) this one has no whiteouts: every name in it is a file's. It is hostile
until proven otherwise: each path is resolved by the kernel with the directory as the root, and the last component is
never followed.

Source: POSIX.1-2017, pax § ustar Interchange Format; Dockerfile reference § ADD.
"""

import os
import stat
import tarfile
from typing import IO

from nbcontainers.errors import InvalidArgument, Unavailable
from nbcontainers.linux import files
from nbcontainers.linux.mounts import openat2

_COPY_BYTES = 1 << 20
_XATTR = "SCHILY.xattr."
_NO_SPACE = 28
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
"""The first bytes of what gzip, bzip2, xz and zstd have compressed."""
_USTAR = slice(257, 262)


def is_archive(path: str) -> bool:
    """Say whether a file is a tar archive, compressed or not: its content tells, not its name."""
    with open(path, "rb") as file:
        head = file.read(512)
    if head[_USTAR] == b"ustar":
        return True
    if not head.startswith(_MAGIC):
        return False
    try:
        with opened(open(path, "rb")) as archive:
            return archive.next() is not None
    except (tarfile.TarError, EOFError, OSError):
        return False


class opened:  # noqa: N801  used as a function
    """Open an archive, compressed or not, for reading from front to back; closes the stream at the end.

    Raises:
        tarfile.ReadError: It is none.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __enter__(self) -> tarfile.TarFile:
        try:
            self._source = _decompressed(self._stream)
            self._archive = tarfile.open(fileobj=self._source, mode="r|*", bufsize=_COPY_BYTES)
        except BaseException:
            self._stream.close()
            raise
        return self._archive

    def __exit__(self, *_: object) -> None:
        self._archive.close()
        self._source.close()
        self._stream.close()


def _decompressed(stream: IO[bytes]) -> IO[bytes]:
    """Return the stream itself but for zstd, which ``tarfile`` does not know yet."""
    head = stream.read(4) if stream.seekable() else b""
    if stream.seekable():
        stream.seek(0)
    if head != _MAGIC[3]:
        return stream
    import zstandard

    return zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)


def unpack(stream: IO[bytes], directory: str, *, keep_owners: bool) -> None:
    """Unpack an archive below a directory, and close it.

    Args:
        stream: The archive.
        directory: Where to; it exists.
        keep_owners: Files keep their owners, and devices are made; without, all is root's, and devices are refused.

    Raises:
        InvalidArgument: It is no archive, is cut short, or has a name that leads out of the root.
    """
    root_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with opened(stream) as archive:
            unpacker = _Unpacker(root_fd, archive, keep_owners=keep_owners)
            for member in archive:
                unpacker.extract(member)
                archive.members.clear()  # type: ignore[attr-defined]  # ``tarfile`` keeps them all otherwise
            unpacker.finish()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == _NO_SPACE:
            raise Unavailable("disk space", str(error), "free some space") from error
        raise InvalidArgument(f"cannot unpack the archive: {error}") from error
    finally:
        os.close(root_fd)


class _Unpacker:
    """Extracts members below one directory."""

    def __init__(self, root_fd: int, archive: tarfile.TarFile, *, keep_owners: bool) -> None:
        self._root_fd = root_fd
        self._archive = archive
        self._keep_owners = keep_owners
        self._directories: list[tuple[str, tarfile.TarInfo]] = []
        self._parent = ""
        self._parent_fd = -1

    def extract(self, member: tarfile.TarInfo) -> None:
        """Extract one member over whatever has its name."""
        path = _clean(member.name)
        if not path:
            return
        parent, _, name = path.rpartition("/")
        parent_fd = self._in(parent)
        if not (member.isdir() and _is_directory(parent_fd, name)):
            self._remove(parent_fd, name)
            self._make(parent_fd, name, member)
        if member.islnk():
            return
        if member.isdir():
            self._directories.append((path, member))
        self._set_metadata(parent_fd, name, member)

    def _in(self, parent: str) -> int:
        """Return a descriptor of a directory, which most often is that of the member before."""
        if self._parent_fd < 0 or parent != self._parent:
            fd = self._open(parent)
            self._forget()
            self._parent, self._parent_fd = parent, fd
        return self._parent_fd

    def _forget(self) -> None:
        if self._parent_fd >= 0:
            os.close(self._parent_fd)
            self._parent_fd = -1

    def _open(self, parent: str) -> int:
        """Open a directory inside the root, made with its parents when it is missing."""
        try:
            return openat2(self._root_fd, parent or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if error.errno != 2:
                raise
        above, _, name = parent.rpartition("/")
        above_fd = self._open(above)
        try:
            os.mkdir(name, 0o755, dir_fd=above_fd)
        finally:
            os.close(above_fd)
        return self._open(parent)

    def _remove(self, parent_fd: int, name: str) -> None:
        try:
            os.unlink(name, dir_fd=parent_fd)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            files.remove_tree(name, dir_fd=parent_fd)
            self._forget()

    def _make(self, parent_fd: int, name: str, member: tarfile.TarInfo) -> None:
        if member.isreg():
            self._write_file(parent_fd, name, member)
        elif member.isdir():
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent_fd)
        elif member.islnk():
            self._link(parent_fd, name, member)
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent_fd)
        elif (member.ischr() or member.isblk()) and self._keep_owners:
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(member.devmajor, member.devminor), dir_fd=parent_fd)
        else:
            raise InvalidArgument(f"'{member.name}' is a device, or of a kind that is not known: {member.type!r}")

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
        target_fd = openat2(self._root_fd, target_parent or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.link(target_name, name, src_dir_fd=target_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(target_fd)

    def _set_metadata(self, parent_fd: int, name: str, member: tarfile.TarInfo) -> None:
        if self._keep_owners:
            os.chown(name, member.uid, member.gid, dir_fd=parent_fd, follow_symlinks=False)
        if not member.issym():
            os.chmod(name, member.mode & 0o7777, dir_fd=parent_fd)
        for key, value in member.pax_headers.items():
            if self._keep_owners and key.startswith(_XATTR):
                path = f"/proc/self/fd/{parent_fd}/{name}"
                encoded = value.encode("utf-8", "surrogateescape")
                os.setxattr(path, key.removeprefix(_XATTR), encoded, follow_symlinks=False)
        os.utime(name, (member.mtime, member.mtime), dir_fd=parent_fd, follow_symlinks=False)

    def finish(self) -> None:
        """Set the times of directories again, which making their files has changed."""
        self._forget()
        for path, member in reversed(self._directories):
            try:
                fd = openat2(self._root_fd, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except OSError:
                continue  # a later member has taken its place
            try:
                os.utime(fd, (member.mtime, member.mtime))
            finally:
                os.close(fd)


def _clean(name: str) -> str:
    """Return a member's name relative to the root.

    Raises:
        InvalidArgument: It leads out of the root.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidArgument(f"the archive's member '{name}' leads out of its root")
    return "/".join(parts)


def _is_directory(parent_fd: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=parent_fd).st_mode)
    except FileNotFoundError:
        return False
