"""Copying between a container's files and tar archives, as ``docker cp`` does.

A path is first made absolute and cleaned, as text; then the kernel resolves it, with the container's root as its limit.
The last component is not followed when something is read, unless it ends with ``/`` or ``/.``; it is followed when
something is written there.

Source: Docker Engine API v1.47, ``/containers/{id}/archive``; Docker CLI reference, "docker container cp".
"""

import errno
import os
import posixpath
import stat
from collections.abc import Callable
from dataclasses import dataclass

from nbcontainers import errors
from nbcontainers.engine.model import Container
from nbcontainers.images import layers
from nbcontainers.images.compression import Readable
from nbcontainers.images.packing import Packer, Sink
from nbcontainers.images.unpacking import Rules
from nbcontainers.linux.mounts import openat2
from nbcontainers.runtime import users

_KERNELS_OWN = ("/proc", "/sys")
_NOT_ENTERED = (*_KERNELS_OWN, "/dev")
_MOST_LINKS = 255
_LONGEST_DATABASE = 8 << 20
_READ_ONLY = "mounted volume is marked read-only"

# Go's FileMode, which has the kinds of files where Linux does not.
_MODE_BITS: tuple[tuple[Callable[[int], bool], int], ...] = (
    (stat.S_ISDIR, 1 << 31),
    (stat.S_ISLNK, 1 << 27),
    (stat.S_ISBLK, 1 << 26),
    (stat.S_ISFIFO, 1 << 25),
    (stat.S_ISSOCK, 1 << 24),
    (lambda mode: bool(mode & stat.S_ISUID), 1 << 23),
    (lambda mode: bool(mode & stat.S_ISGID), 1 << 22),
    (stat.S_ISCHR, 1 << 26 | 1 << 21),
    (lambda mode: bool(mode & stat.S_ISVTX), 1 << 20),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file of a container, found by a path.

    Args:
        parent_fd: The directory that it is in, or itself.
        entry: Its name there, or ``.``.
        name: What the archive will call it: the last component of what was asked for.
        status: What ``lstat`` says.
        link_target: Where a link leads in the end, as an absolute path in the container; else empty.
    """

    parent_fd: int
    entry: str
    name: str
    status: os.stat_result
    link_target: str

    @property
    def go_mode(self) -> int:
        """Its kind and permissions as Go's ``os.FileMode`` has them."""
        mode = self.status.st_mode
        return (mode & 0o777) | sum(bit for test, bit in _MODE_BITS if test(mode))

    def close(self) -> None:
        """Let the directory go."""
        os.close(self.parent_fd)


def absolute(path: str) -> str:
    """Return a path from the container's root on, cleaned, with the ``/`` or ``/.`` that it ends with."""
    cleaned = "/" + posixpath.normpath(f"/{path}").lstrip("/")
    if posixpath.basename(path) == ".":
        return f"{cleaned.rstrip('/')}/."
    return f"{cleaned}/" if path.endswith("/") and cleaned != "/" else cleaned


def find(root_fd: int, path: str, where: str) -> Found:
    """Find a file in a container or a volume.

    Args:
        root_fd: The root of it.
        path: The path, which has something in it.
        where: What it was called, for the error, such as ``container web``.

    Raises:
        errors.NotFound: There is no such file.
        errors.InvalidArgument: It is below something that is no directory.
    """
    whole = absolute(path)
    directory, _, base = whole.rpartition("/")
    follow = base in ("", ".")
    try:
        parent_fd = openat2(root_fd, whole if follow else directory or "/", os.O_PATH | os.O_DIRECTORY)
        try:
            status = os.lstat("." if follow else base, dir_fd=parent_fd)
            _refuse_the_kernels(root_fd, status, path, where)
            link = evaluate(root_fd, whole) if stat.S_ISLNK(status.st_mode) else ""
        except BaseException:
            os.close(parent_fd)
            raise
    except OSError as error:
        raise explained(error, path, where) from error
    name = base or posixpath.basename(directory) or "/"
    return Found(parent_fd=parent_fd, entry="." if follow else base, name=name, status=status, link_target=link)


def _refuse_the_kernels(root_fd: int, status: os.stat_result, path: str, where: str) -> None:
    """Refuse what is in /proc or /sys of a running container, where files have no size that could be told."""
    for place in _own(root_fd, _KERNELS_OWN):
        if status.st_dev == place[0] and status.st_ino != place[1]:
            raise errors.NotFound(f"Could not find the file {path} in {where}")


def _own(root_fd: int, paths: tuple[str, ...]) -> set[tuple[int, int]]:
    """Return device and inode of those of some paths that are mounts of their own."""
    found = set()
    root = os.fstat(root_fd)
    for path in paths:
        try:
            fd = openat2(root_fd, path, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY)
        except OSError:
            continue
        status = os.fstat(fd)
        os.close(fd)
        if status.st_dev != root.st_dev:
            found.add((status.st_dev, status.st_ino))
    return found


def explained(error: OSError, path: str, where: str) -> Exception:
    """Turn what the kernel says of a path into what Docker does."""
    if error.errno == errno.ENOENT:
        return errors.NotFound(f"Could not find the file {path} in {where}")
    if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL):
        return errors.InvalidArgument(f"{path}: {os.strerror(error.errno).lower()}")
    return error


def evaluate(root_fd: int, path: str) -> str:
    """Return what a path means without any link in it, also where there is nothing at its end.

    The answer is a text to show; the kernel resolves the path again when it is used.

    Raises:
        OSError: ELOOP, there are too many links.
    """
    done, rest, links = "", [part for part in reversed(path.split("/")) if part not in ("", ".")], 0
    while rest:
        part = rest.pop()
        if part == "..":
            done = posixpath.dirname(done).rstrip("/")
            continue
        target = _read_link(root_fd, done or "/", part)
        if target is None:
            done = f"{done}/{part}"
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        done = "" if target.startswith("/") else done
        rest += [piece for piece in reversed(target.split("/")) if piece not in ("", ".")]
    return done or "/"


def _read_link(root_fd: int, directory: str, name: str) -> str | None:
    try:
        fd = openat2(root_fd, directory, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError:
        return None
    finally:
        os.close(fd)


def pack(root_fd: int, found: Found, sink: Sink) -> None:
    """Write what was found as an archive, a directory with all that it has.

    What the kernel shows in /proc, /sys and /dev of a running container is no part of it.
    """
    packer = Packer(sink)
    if packer.add(found.parent_fd, found.entry, found.name, found.status):
        left_out = _own(root_fd, _NOT_ENTERED)
        if (found.status.st_dev, found.status.st_ino) not in left_out:
            prefix = found.name if found.name.endswith("/") else f"{found.name}/"
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(found.entry, flags, dir_fd=found.parent_fd)
            try:
                packer.add_tree(fd, ".", prefix, lambda status: (status.st_dev, status.st_ino) not in left_out)
            finally:
                os.close(fd)
    packer.close()


def export(root_fd: int, sink: Sink) -> None:
    """Write a container's whole root as an archive."""
    packer = Packer(sink)
    packer.add_tree(root_fd, ".", "")
    packer.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """Where an archive goes, and how: see ``PUT /containers/{id}/archive``."""

    path: str
    keep_kinds: bool
    owned_by_user: bool


def extract(root_fd: int, container: Container, asked: Extraction, stream: Readable, name: str) -> None:
    """Unpack an archive into a directory of a container.

    Args:
        root_fd: The container's root.
        container: Whose user may become the owner.
        asked: Where and how.
        stream: The archive, compressed or not.
        name: What the container was called, for errors.

    Raises:
        errors.NotFound: There is no such directory.
        errors.InvalidArgument: It is no directory, the archive is damaged, or breaks a rule.
        errors.Forbidden: The directory is on something that is mounted read-only.
    """
    where = f"container {name}"
    check_target(root_fd, asked.path, where)
    owner = None
    if asked.owned_by_user and container.config.user:
        identity = users.look_up(container.config.user, [], read=lambda path: read_inside(root_fd, path))
        owner = (identity.uid, identity.gid)
    extract_at(
        root_fd, asked.path, Rules(whiteouts=False, keep_kinds=asked.keep_kinds, owner=owner, root=False), stream
    )


def check_target(root_fd: int, path: str, where: str) -> None:
    """Refuse to unpack into what is no directory, is the kernel's, or is mounted read-only."""
    try:
        fd = openat2(root_fd, absolute(path), os.O_PATH)
    except OSError as error:
        raise explained(error, path, where) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISDIR(status.st_mode):
            raise errors.InvalidArgument("extraction point is not a directory")
        _refuse_the_kernels(root_fd, status, path, where)
        refusal = "container rootfs is marked read-only" if status.st_dev == os.fstat(root_fd).st_dev else _READ_ONLY
        if os.statvfs(fd).f_flag & os.ST_RDONLY:
            raise errors.Forbidden(refusal)
    finally:
        os.close(fd)


def extract_at(root_fd: int, path: str, rules: Rules, stream: Readable) -> None:
    """Unpack an archive, compressed or not, into a directory below a root.

    Raises:
        errors.InvalidArgument: The archive is damaged, or breaks a rule.
        errors.Forbidden: The directory is on something that is mounted read-only.
    """
    try:
        layers.extract(stream, root_fd, rules, absolute(path))
    except OSError as error:
        if error.errno == errno.EROFS:
            raise errors.Forbidden(_READ_ONLY) from error
        raise


def read_inside(root_fd: int, path: str) -> str:
    """Return the text of a file below a root, wherever its links lead inside of it; empty where there is none."""
    try:
        with open(openat2(root_fd, path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ""
            return file.read(_LONGEST_DATABASE).decode(errors="surrogateescape")
    except OSError:
        return ""
