"""The files of a volume for whoever reads or writes them from outside, without any container.

The volume's root is one descriptor, and the kernel resolves every path below it: neither ``..`` nor a link that some
container has left there leads out of the volume.

Source: openat2(2) § RESOLVE_IN_ROOT.
"""

import contextlib
import errno
import functools
import os
import posixpath
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from nbcontainers import errors
from nbcontainers.engine import archive
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.threads import run_apart
from nbcontainers.engine.volume_imports import VolumeImports
from nbcontainers.images.compression import Readable
from nbcontainers.images.unpacking import Rules
from nbcontainers.linux import files
from nbcontainers.linux.mounts import openat2
from nbcontainers.volumes import Volumes

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a volume.

    Args:
        name: Its name in the directory that was listed; its path from there where all below was asked for.
        kind: ``file``, ``directory``, ``link``, ``fifo``, ``socket``, ``character device`` or ``block device``.
        size_bytes: Of its content.
        mode: Permissions, with set-user-id, set-group-id and sticky.
        uid: Who has it.
        gid: Which group has it.
        modified_ns: When its content was changed, nanoseconds since the epoch.
        target: Where a link leads; else empty.
    """

    name: str
    kind: str
    size_bytes: int
    mode: int
    uid: int
    gid: int
    modified_ns: int
    target: str


class VolumeFiles:
    """Opens the volumes of one engine.

    Attributes:
        imports: Gives them other files.
    """

    def __init__(self, volumes: Volumes, lifecycle: Lifecycle) -> None:
        self._volumes = volumes
        self.imports = VolumeImports(volumes, lifecycle, self.opened)

    @contextlib.asynccontextmanager
    async def opened(self, name: str, *, to_write: bool = False) -> AsyncIterator[int]:
        """Open a volume's root.

        Args:
            name: The volume.
            to_write: Something is to be changed.

        Yields:
            A descriptor, from which paths are to be resolved with ``openat2(RESOLVE_IN_ROOT)``.

        Raises:
            errors.NoSuchVolume: There is no such volume.
            errors.Conflict: It is in memory, and is not, because no container that has it runs.
            errors.Internal: It has a file system of its own, which cannot be mounted.
        """
        volume = self._volumes.get(name)
        if to_write and volume.is_in_memory and not self._volumes.is_mounted(name):
            raise errors.Conflict(
                f"cannot write to the volume '{name}': it is in memory as long as a container that has it runs"
            )
        if volume.has_own_file_system:
            fd = await run_apart(functools.partial(self._volumes.opened, name), "volume")
        else:
            fd = os.open(volume.mountpoint, _DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)


def entries(root_fd: int, path: str, where: str, *, deep: bool) -> list[Entry]:
    """Return what a directory has, by name; of anything else, that one alone.

    Args:
        root_fd: The volume's root.
        path: What to list; a link to a directory is followed.
        where: What the volume was called, for errors.
        deep: All that is below it as well, each directory before what it has.

    Raises:
        errors.NotFound: There is nothing.
        errors.InvalidArgument: It is below something that is no directory.
    """
    try:
        fd = openat2(root_fd, archive.absolute(path), os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno != errno.ENOTDIR:
            raise archive.explained(error, path, where) from error
        found = archive.find(root_fd, path, where)
        try:
            return [_entry(found.parent_fd, found.entry, found.name, found.status)]
        finally:
            found.close()
    try:
        return list(_below(fd, deep=deep))
    finally:
        os.close(fd)


def _below(fd: int, *, deep: bool) -> Iterator[Entry]:
    pending = ["."]
    while pending:
        directory = pending.pop()
        below = []
        with contextlib.suppress(OSError) if directory != "." else contextlib.nullcontext():  # it has gone meanwhile
            with files.opened(fd, directory) as directory_fd:
                for name in sorted(os.listdir(directory_fd)):
                    path = posixpath.normpath(f"{directory}/{name}")
                    with contextlib.suppress(FileNotFoundError):
                        status = os.lstat(name, dir_fd=directory_fd)
                        yield _entry(directory_fd, name, path, status)
                        if deep and stat.S_ISDIR(status.st_mode):
                            below.append(path)
        pending += reversed(below)


def _entry(dir_fd: int, entry: str, name: str, status: os.stat_result) -> Entry:
    target = ""
    if stat.S_ISLNK(status.st_mode):
        with contextlib.suppress(OSError):  # it is none any more
            target = os.readlink(entry, dir_fd=dir_fd)
    return Entry(
        name=_text(name),
        kind=_KINDS.get(stat.S_IFMT(status.st_mode), "unknown"),
        size_bytes=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        modified_ns=status.st_mtime_ns,
        target=_text(target),
    )


def _text(name: str) -> str:
    """Return a name of any bytes as JSON can have it."""
    return os.fsencode(name).decode(errors="replace")


def extract(root_fd: int, path: str, stream: Readable, where: str) -> None:
    """Unpack an archive into a directory of a volume, over what is there.

    Raises:
        errors.NotFound: There is no such directory.
        errors.InvalidArgument: It is no directory, or the archive is damaged.
        errors.Forbidden: The volume is read-only.
    """
    archive.check_target(root_fd, path, where)
    archive.extract_at(root_fd, path, Rules(whiteouts=False), stream)


def remove(root_fd: int, path: str, where: str, *, deep: bool) -> None:
    """Remove a file, or an empty directory; links are not followed at the end of the path.

    Args:
        root_fd: The volume's root.
        path: What to remove.
        where: What the volume was called, for errors.
        deep: A directory with all that it has.

    Raises:
        errors.NotFound: There is nothing.
        errors.InvalidArgument: It is the volume's root.
        errors.Conflict: It is a directory that is not empty.
        errors.Forbidden: The volume is read-only.
    """
    found = archive.find(root_fd, posixpath.normpath(f"/{path}"), where)
    try:
        if found.entry == ".":
            raise errors.InvalidArgument(f"invalid path '{path}': the root of {where} cannot be removed")
        if not stat.S_ISDIR(found.status.st_mode):
            os.unlink(found.entry, dir_fd=found.parent_fd)
        elif deep:
            files.remove_tree(found.entry, dir_fd=found.parent_fd)
        else:
            os.rmdir(found.entry, dir_fd=found.parent_fd)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            raise errors.Conflict(f"cannot remove '{path}' of {where}: the directory is not empty") from error
        if error.errno in (errno.EROFS, errno.EPERM, errno.EBUSY):
            raise errors.Forbidden(f"cannot remove '{path}' of {where}: {os.strerror(error.errno).lower()}") from error
        raise archive.explained(error, path, where) from error
    finally:
        found.close()
