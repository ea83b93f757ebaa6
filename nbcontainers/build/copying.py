"""COPY and ADD: files from the context, or from another stage, into the new layer.

Sources and destinations are opened by the kernel with the context, and the container's root, as the root
(``openat2(RESOLVE_IN_ROOT)``): no link leads out of either. The destination is the merged file system, so that links
in the layers below are followed as a program in the container would follow them.

Source: Dockerfile reference § COPY, § ADD.
"""

import glob
import hashlib
import os
import posixpath
import stat
import tarfile
from dataclasses import dataclass

from nbcontainers.build.events import BuildError
from nbcontainers.images import layers
from nbcontainers.images.unpacking import Rules
from nbcontainers.linux.mounts import openat2

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyTask:
    """One COPY or ADD: from where, what, to where, and whose it becomes.

    Args:
        source_fd: The context's directory, or the root of another stage.
        sources: Patterns, relative to it.
        destination: Absolute path; with a slash at its end it is a directory.
        uid: Owner of the copies, None to keep it.
        gid: Group of the copies, None to keep it.
        mode: Permissions of the copies, None to keep them.
        extract: Unpack tar archives, as ADD does.
    """

    source_fd: int
    sources: list[str]
    destination: str
    uid: int | None = 0
    gid: int | None = 0
    mode: int | None = None
    extract: bool = False


def matches(task: CopyTask) -> list[str]:
    """Return the sources' paths, patterns replaced by what they fit.

    Raises:
        BuildError: Something is not there.
    """
    found: list[str] = []
    for pattern in task.sources:
        clean = posixpath.normpath("/" + pattern).lstrip("/") or "."
        if glob.has_magic(clean):
            paths = sorted(glob.glob(clean, root_dir=f"/proc/self/fd/{task.source_fd}", include_hidden=True))
        else:
            paths = [clean] if _exists(task.source_fd, clean) else []
        if not paths:
            raise BuildError(f"file not found in build context: stat {pattern}: file does not exist")
        found += paths
    return found


def _exists(root_fd: int, path: str) -> bool:
    try:
        os.close(openat2(root_fd, path, os.O_PATH))
    except OSError:
        return False
    return True


def digest(task: CopyTask, paths: list[str]) -> str:
    """Return a digest of everything that would be copied: names, modes, contents, link targets; no times."""
    sha256 = hashlib.sha256()
    for path in paths:
        fd = openat2(task.source_fd, path, os.O_PATH)
        try:
            _digest_one(sha256, f"/proc/self/fd/{fd}", os.path.basename(path), os.fstat(fd))
        finally:
            os.close(fd)
    return sha256.hexdigest()


def _digest_one(sha256: "hashlib._Hash", path: str, name: str, status: os.stat_result) -> None:
    """Feed one file or tree to the digest; ``path`` may be a magic link, so ``status`` says what it is."""
    sha256.update(f"{len(name)}:{name}:{status.st_mode:o}:".encode("utf-8", "surrogateescape"))
    if stat.S_ISDIR(status.st_mode):
        for child in sorted(os.listdir(path)):
            _digest_one(sha256, f"{path}/{child}", child, os.lstat(f"{path}/{child}"))
        sha256.update(b"/")
    elif stat.S_ISLNK(status.st_mode):
        sha256.update(os.fsencode(os.readlink(path)))
    elif stat.S_ISREG(status.st_mode):
        sha256.update(f"{status.st_size}:".encode())
        with open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                sha256.update(block)


def copy(task: CopyTask, paths: list[str], root_fd: int) -> None:
    """Copy into a container's root.

    Args:
        task: What to copy.
        paths: From ``matches``.
        root_fd: The mounted root file system.

    Raises:
        BuildError: Several sources and a destination that is no directory.
    """
    into_directory = task.destination.endswith("/") or _is_directory(root_fd, task.destination)
    if len(paths) > 1 and not task.destination.endswith("/"):
        raise BuildError(
            "when using COPY with more than one source file, the destination must be a directory and end with a /"
        )
    for path in paths:
        source_fd = openat2(task.source_fd, path, os.O_PATH)
        try:
            _copy_source(task, source_fd, os.path.basename(path), root_fd, into_directory=into_directory)
        finally:
            os.close(source_fd)


def _copy_source(task: CopyTask, source_fd: int, name: str, root_fd: int, *, into_directory: bool) -> None:
    source = f"/proc/self/fd/{source_fd}"
    is_directory = stat.S_ISDIR(os.fstat(source_fd).st_mode)
    if task.extract and not is_directory and tarfile.is_tarfile(source):
        directory_fd = make_directories(task, root_fd, task.destination)
        try:
            with open(source, "rb") as archive:
                layers.extract(archive, directory_fd, Rules(whiteouts=False))
        finally:
            os.close(directory_fd)
    elif is_directory:
        directory_fd = make_directories(task, root_fd, task.destination)
        try:
            for child in sorted(os.listdir(source)):
                _copy_tree(task, f"{source}/{child}", child, directory_fd)
        finally:
            os.close(directory_fd)
    else:
        parent, target = (task.destination, name) if into_directory else posixpath.split(task.destination)
        directory_fd = make_directories(task, root_fd, parent)
        try:
            _copy_file(task, source, target, directory_fd, os.fstat(source_fd))
        finally:
            os.close(directory_fd)


def _is_directory(root_fd: int, path: str) -> bool:
    try:
        fd = openat2(root_fd, path, os.O_PATH)
    except OSError:
        return False
    try:
        return stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def make_directories(task: CopyTask, root_fd: int, path: str) -> int:
    """Return a descriptor of a directory in the root, made with its parents, which the task's owner gets."""
    try:
        return openat2(root_fd, path or "/", os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != 2:
            raise BuildError(f"cannot make the directory '{path}': {error}") from error
    parent, name = posixpath.split(path.rstrip("/"))
    parent_fd = make_directories(task, root_fd, parent)
    try:
        os.mkdir(name, 0o755, dir_fd=parent_fd)
        os.chown(name, task.uid or 0, task.gid or 0, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)
    return openat2(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)


def _copy_tree(task: CopyTask, source: str, name: str, directory_fd: int) -> None:
    status = os.lstat(source)
    if not stat.S_ISDIR(status.st_mode):
        _copy_file(task, source, name, directory_fd, status)
        return
    try:
        os.mkdir(name, 0o755, dir_fd=directory_fd)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=directory_fd).st_mode):
            raise BuildError(f"cannot copy the directory '{name}' over a file") from None
    child_fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        for child in sorted(os.listdir(source)):
            _copy_tree(task, f"{source}/{child}", child, child_fd)
    finally:
        os.close(child_fd)
    _own(task, name, directory_fd, status)


def _copy_file(task: CopyTask, source: str, name: str, directory_fd: int, status: os.stat_result) -> None:
    """Copy a file, link or pipe over whatever has its name."""
    try:
        os.unlink(name, dir_fd=directory_fd)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        raise BuildError(f"cannot copy the file '{name}' over a directory") from None
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), name, dir_fd=directory_fd)
    elif stat.S_ISREG(status.st_mode):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        target_fd = os.open(name, flags, 0o600, dir_fd=directory_fd)
        try:
            with open(source, "rb") as file:
                _copy_content(file.fileno(), target_fd)
        finally:
            os.close(target_fd)
    elif stat.S_ISFIFO(status.st_mode):
        os.mkfifo(name, dir_fd=directory_fd)
    else:
        return  # sockets and devices of a context mean nothing in an image
    _own(task, name, directory_fd, status)


def _copy_content(source_fd: int, target_fd: int) -> None:
    """Have the kernel copy a file's content; ``sendfile(2)``."""
    offset = 0
    while copied := os.sendfile(target_fd, source_fd, offset, 1 << 30):
        offset += copied


def _own(task: CopyTask, name: str, directory_fd: int, status: os.stat_result) -> None:
    uid = status.st_uid if task.uid is None else task.uid
    gid = status.st_gid if task.gid is None else task.gid
    os.chown(name, uid, gid, dir_fd=directory_fd, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        mode = stat.S_IMODE(status.st_mode) if task.mode is None else task.mode
        os.chmod(name, mode, dir_fd=directory_fd)
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=directory_fd, follow_symlinks=False)
