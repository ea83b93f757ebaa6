"""An OCI image layout in a folder that anybody may have made, and may change meanwhile.

It is looked at with the folder as the root, and no link in it is followed. What is read is a plain file of the size
that was promised, and has the digest that was promised. What is written gets its name when it is whole, the index last:
whoever is killed, the old index and all that it names are there. Two that write wait for each other (``flock(2)``).

Source: OCI image-spec, image-layout.md, image-index.md.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from nbcontainers import errors
from nbcontainers.images import config, layers, manifests
from nbcontainers.images.exporting import INDEX_TYPE, REFERENCE_ANNOTATION
from nbcontainers.images.manifests import Contents
from nbcontainers.images.parcels import Gzipped
from nbcontainers.images.registry import Descriptor, Manifest, media
from nbcontainers.linux.descriptors import write_all
from nbcontainers.linux.files import RESOLVE_NO_SYMLINKS
from nbcontainers.linux.mounts import RESOLVE_IN_ROOT, openat2

LONGEST_DOCUMENT = 8 << 20
_MOST_MANIFESTS = 1000
_BLOCK_BYTES = 1 << 20
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_TEMPORARY = ".nbcontainers-new-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BLOBS = "blobs/sha256"


class _Entry(msgspec.Struct, rename="camel", omit_defaults=True):
    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: dict[str, str] = {}
    platform: dict[str, object] | None = None


class _Index(msgspec.Struct, rename="camel"):
    manifests: list[_Entry]
    schema_version: int = 2
    media_type: str = INDEX_TYPE


class Layout:
    """One folder; close it, or use it in a ``with`` statement.

    Args:
        path: An absolute path.

    Raises:
        OSError: ENOENT, ENOTDIR, EACCES.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, _DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the folder go, and the lock."""
        os.close(self._fd)

    def manifest(self, tag: str, digest: str = "") -> Manifest | None:
        """Return what is called so, or has this digest; None for nothing.

        Raises:
            errors.InvalidArgument: The folder is no layout, or is damaged.
        """
        for entry in self._index().manifests:
            if digest == entry.digest or (not digest and entry.annotations.get(REFERENCE_ANNOTATION) == tag):
                descriptor = Descriptor(entry.media_type, entry.digest, entry.size)
                return Manifest(entry.media_type, entry.digest, self.document(descriptor))
        return None

    def _index(self) -> _Index:
        try:
            index = msgspec.json.decode(self._read("index.json", None), type=_Index)
        except (msgspec.DecodeError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise errors.InvalidArgument(f"'{self._path}/index.json' is no index of an OCI layout: {reason}") from error
        if len(index.manifests) > _MOST_MANIFESTS:
            raise errors.InvalidArgument(f"'{self._path}/index.json' has '{len(index.manifests)}' manifests")
        return index

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a short blob whole.

        Raises:
            errors.InvalidArgument: It is not there, or not what its descriptor says.
        """
        name = _blob_name(descriptor.digest)
        try:
            data = self._read(name, descriptor.size)
        except OSError as error:
            raise errors.InvalidArgument(f"'{self._path}/{name}' cannot be read: {error.strerror}") from error
        if config.digest(data) != descriptor.digest:
            raise errors.InvalidArgument(f"'{self._path}/{name}' is damaged: it has the digest {config.digest(data)}")
        return data

    def _read(self, name: str, size: int | None) -> bytes:
        with self._opened(name, size) as fd:
            if os.fstat(fd).st_size > LONGEST_DOCUMENT:
                raise OSError(errno.EFBIG, f"it is longer than {LONGEST_DOCUMENT} bytes")
            return b"".join(iter(lambda: os.read(fd, _BLOCK_BYTES), b""))[: LONGEST_DOCUMENT + 1]

    @contextlib.contextmanager
    def _opened(self, name: str, size: int | None) -> Iterator[int]:
        """Open a plain file; a pipe or a device there does not hold anybody up."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        fd = openat2(self._fd, name, flags, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is no plain file")
            if size is not None and status.st_size != size:
                raise OSError(errno.EINVAL, f"it has {status.st_size} bytes, not {size}")
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator["Blob"]:
        """Have a blob to read.

        Raises:
            errors.InvalidArgument: It is not there, or has another size.
        """
        name = _blob_name(descriptor.digest)
        with contextlib.ExitStack() as held:
            try:
                fd = held.enter_context(self._opened(name, descriptor.size))
            except OSError as error:
                raise errors.InvalidArgument(f"'{self._path}/{name}' cannot be read: {error.strerror}") from error
            yield Blob(fd, descriptor)


class Blob:
    """A blob that is read, and what its digest turns out to be.

    Args:
        fd: Of the file.
        descriptor: What it is to be.
    """

    def __init__(self, fd: int, descriptor: Descriptor) -> None:
        self._fd = fd
        self._expected = descriptor
        self._left = descriptor.size
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Return at most so many bytes, none at the end."""
        data = os.read(self._fd, min(self._left, _BLOCK_BYTES if size < 0 else size))
        self._left -= len(data)
        self._hash.update(data)
        return data

    def verify(self) -> None:
        """Read what is left, and compare the digest.

        Raises:
            errors.InvalidArgument: It is another one.
        """
        while self.read():
            continue
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self._expected.digest:
            raise errors.InvalidArgument(f"the blob '{self._expected.digest}' is damaged: it has the digest {found}")


class LayoutWriter(Layout):
    """A folder that is written to; it is made where it is missing, and whoever has it made has the files as well.

    Args:
        path: An absolute path.

    Raises:
        OSError: EACCES, ENOTDIR, EROFS: it cannot be made.
        errors.InvalidArgument: There is something in it that is no layout.
    """

    def __init__(self, path: str) -> None:
        _make(path)
        super().__init__(path)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            status = os.fstat(self._fd)
            self._owner = status.st_uid, status.st_gid
            self._blobs_fd = self._directory()
        except BaseException:
            super().close()
            raise
        try:
            for fd in (self._fd, self._blobs_fd):
                _sweep(fd)
            if not self._has("index.json"):
                self._write(self._fd, "oci-layout", _VERSION)
            else:
                self._index()  # it may be anything else of this name
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let the folder go, and the lock."""
        os.close(self._blobs_fd)
        super().close()

    def _directory(self) -> int:
        """Open the blobs' directory, and make it where it is missing."""
        below = self._fd
        for name in _BLOBS.split("/"):
            try:
                os.mkdir(name, 0o755, dir_fd=below)
                os.chown(name, *self._owner, dir_fd=below, follow_symlinks=False)
            except FileExistsError:
                pass
            before, below = below, os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=below)
            if before != self._fd:
                os.close(before)
        return below

    def _has(self, name: str) -> bool:
        try:
            os.lstat(name, dir_fd=self._fd)
        except FileNotFoundError:
            return False
        return True

    def named(self, tag: str) -> Contents | None:
        """Return what is called so now; None for nothing that makes sense."""
        if not self._has("index.json"):
            return None
        with contextlib.suppress(errors.Error):
            manifest = self.manifest(tag)
            found = manifests.read(manifest, _AnyKind()) if manifest is not None else None
            return found if isinstance(found, Contents) else None
        return None

    def is_whole(self, descriptor: Descriptor) -> bool:
        """Say whether a blob is there, byte for byte."""
        try:
            with self.blob(descriptor) as blob:
                blob.verify()
        except errors.InvalidArgument:
            return False
        return True

    def put_layer(self, directory: Path) -> tuple[Descriptor, int]:
        """Compress a layer; return what it is, and how long its archive was.

        Raises:
            OSError: ENOSPC, the disk is full; nothing of it is left.
        """
        with self._temporary(self._blobs_fd) as (fd, name):
            digest, size = hashlib.sha256(), 0

            def write(data: bytes, _: int) -> None:
                nonlocal size
                digest.update(data)
                size += len(data)
                write_all(fd, data)

            sink = Gzipped(write)
            layers.write(directory, sink)
            sink.close()
            self._settle(self._blobs_fd, fd, name, digest.hexdigest())
        return Descriptor(media.OCI_LAYER_GZIP, f"sha256:{digest.hexdigest()}", size), sink.read_bytes

    def put_document(self, data: bytes) -> str:
        """Write a short blob; return its digest."""
        digest = config.digest(data)
        self._write(self._blobs_fd, digest.removeprefix("sha256:"), data)
        return digest

    def name(self, tag: str, manifest: Manifest, artifact_type: str) -> None:
        """Call a manifest, which is written, so; what only the one before needed is removed."""
        entries = self._index().manifests if self._has("index.json") else []
        old = [entry for entry in entries if entry.annotations.get(REFERENCE_ANNOTATION) == tag]
        others = [entry for entry in entries if entry not in old]
        unneeded = {blob for entry in old for blob in self._blobs_of(entry) or ()}
        new = _Entry(
            media_type=manifest.media_type,
            digest=manifest.digest,
            size=len(manifest.data),
            artifact_type=artifact_type,
            annotations={REFERENCE_ANNOTATION: tag},
        )
        os.fsync(self._blobs_fd)
        self._write(self._fd, "index.json", msgspec.json.encode(_Index([*others, new])))
        os.fsync(self._fd)
        needed = [self._blobs_of(entry) for entry in (*others, new)]
        if None not in needed:  # else nobody knows what else is needed
            for blob in unneeded.difference(*(blobs or () for blobs in needed)):
                with contextlib.suppress(OSError):
                    os.unlink(blob.removeprefix("sha256:"), dir_fd=self._blobs_fd)

    def _blobs_of(self, entry: _Entry) -> set[str] | None:
        """Return what a manifest consists of, None where that is not known."""
        try:
            data = self.document(Descriptor(entry.media_type, entry.digest, entry.size))
            found = manifests.read(Manifest(entry.media_type, entry.digest, data), _AnyKind())
        except errors.Error:
            return None
        if not isinstance(found, Contents):
            return None
        return {entry.digest, found.config.digest, *(layer.digest for layer in found.layers)}

    def _write(self, dir_fd: int, name: str, data: bytes) -> None:
        with self._temporary(dir_fd) as (fd, temporary):
            write_all(fd, data)
            self._settle(dir_fd, fd, temporary, name)

    @contextlib.contextmanager
    def _temporary(self, dir_fd: int) -> Iterator[tuple[int, str]]:
        name = f"{_TEMPORARY}{os.urandom(8).hex()}"
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=dir_fd)
        try:
            yield fd, name
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=dir_fd)
            raise
        finally:
            os.close(fd)

    def _settle(self, dir_fd: int, fd: int, temporary: str, name: str) -> None:
        """Give a file that is whole its name; its content is on the disk before."""
        os.fchmod(fd, 0o644)
        os.fchown(fd, *self._owner)
        os.fsync(fd)
        os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)


class _AnyKind:
    """Whatever a configuration may be."""

    def __contains__(self, _: object) -> bool:
        return True


def _blob_name(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise errors.InvalidArgument(f"'{digest}' is no digest of the kind sha256")
    return f"{_BLOBS}/{value}"


def _make(path: str) -> None:
    """Make a folder with all above it; each belongs to whom the one above belongs."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    _make(above)
    os.mkdir(path, 0o755)
    status = os.stat(above)
    os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)


def _sweep(dir_fd: int) -> None:
    """Remove what somebody who was killed has left."""
    for name in os.listdir(dir_fd):
        if name.startswith(_TEMPORARY):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=dir_fd)
