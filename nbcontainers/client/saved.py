"""Reading the archive that ``docker save`` writes, as it comes: what its layers have, without what is in the files.

Layers are archives in an archive, compressed or not; which one is which is said at the end of it.

Source: Docker image specification v1.2 § Combined Image JSON + Filesystem Changeset Format; OCI image-spec, layer.md.
"""

import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple, cast

from nbcontainers.errors import InvalidArgument

WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = ".wh..wh..opq"
_LARGEST_DOCUMENT = 8 << 20
_COMPRESSED = (b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh")
_ZSTD = b"\x28\xb5\x2f\xfd"
_READ_BYTES = 1 << 20
_KINDS = {
    tarfile.REGTYPE: "f",
    tarfile.AREGTYPE: "f",
    tarfile.CONTTYPE: "f",
    tarfile.GNUTYPE_SPARSE: "f",
    tarfile.DIRTYPE: "d",
    tarfile.SYMTYPE: "l",
    tarfile.LNKTYPE: "h",
    tarfile.CHRTYPE: "c",
    tarfile.BLKTYPE: "b",
    tarfile.FIFOTYPE: "p",
}


class Member(NamedTuple):
    """One member of a layer's archive, as ``contents.Entry`` has it; markers of what is deleted are members too."""

    path: str
    kind: str
    size: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    target: str
    digest: str


class Archive(NamedTuple):
    """One image: its configuration, and the members of its layers, the lowest first."""

    config: dict[str, Any]
    layers: list[list[Member]]


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            if (chunk := next(self._chunks, None)) is None:
                return 0
            self._rest = chunk
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def read(chunks: Iterable[bytes], *, digests: bool) -> Archive:
    """Read an archive of one image.

    Args:
        chunks: The archive.
        digests: Whether the files' contents are read as well, for their digests.

    Raises:
        InvalidArgument: It is no such archive.
    """
    reader = _Reader(digests=digests)
    try:
        stream = io.BufferedReader(_Chunks(chunks), _READ_BYTES)
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_READ_BYTES) as outer:
            for member in outer:
                reader.take(outer, member)
        return reader.image()
    except (tarfile.TarError, EOFError, KeyError, ValueError) as error:
        raise InvalidArgument(f"cannot read what the server has saved: {error}") from error


class _Reader:
    """Takes the outer archive's members as they come."""

    def __init__(self, *, digests: bool) -> None:
        self._digests = digests
        self._documents: dict[str, bytes] = {}
        self._layers: dict[str, list[Member]] = {}
        self._links: dict[str, str] = {}

    def take(self, outer: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = posixpath.normpath(member.name)
        if member.issym() or member.islnk():
            start = posixpath.dirname(name) if member.issym() else ""
            self._links[name] = posixpath.normpath(posixpath.join(start, member.linkname))
        elif member.isfile() and (file := outer.extractfile(member)) is not None:
            buffered = io.BufferedReader(cast(Any, file), _READ_BYTES)
            head = buffered.peek(tarfile.BLOCKSIZE)[: tarfile.BLOCKSIZE]
            if head.startswith(_ZSTD):
                import zstandard

                with zstandard.ZstdDecompressor().stream_reader(buffered, read_across_frames=True) as plain:
                    self._layers[name] = list(_members(plain, self._digests))
            elif head.startswith(_COMPRESSED) or _is_header(head):
                self._layers[name] = list(_members(buffered, self._digests))
            elif member.size <= _LARGEST_DOCUMENT:
                self._documents[name] = buffered.read()

    def image(self) -> Archive:
        """Put it together, now that the archive's end has said how."""
        [manifest] = json.loads(self._documents["manifest.json"])
        config = json.loads(self._documents[posixpath.normpath(manifest["Config"])])
        wanted = [posixpath.normpath(name) for name in manifest["Layers"] or []]
        return Archive(config, [self._layers[self._links.get(name, name)] for name in wanted])


def _is_header(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return len(head) == tarfile.BLOCKSIZE and not head.strip(b"\0")
    return True


def _members(file: IO[bytes], digests: bool) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r|*", bufsize=_READ_BYTES) as archive:
        for member in archive:
            digest = ""
            if digests and member.isfile() and (content := archive.extractfile(member)) is not None:
                digest = _digest(content)
            yield Member(
                path=_readable(posixpath.normpath(f"/{member.name}").lstrip("/")),
                kind=_KINDS.get(member.type, "f"),
                size=member.size if member.isfile() else 0,
                mode=member.mode & 0o7777,
                uid=member.uid,
                gid=member.gid,
                mtime_ns=int(member.mtime * 10**9),
                target=_target(member),
                digest=digest,
            )


def _target(member: tarfile.TarInfo) -> str:
    if member.islnk():
        return _readable(posixpath.normpath(f"/{member.linkname}").lstrip("/"))
    return _readable(member.linkname) if member.issym() else ""


def _readable(path: str) -> str:
    """Return a path as text that can be shown."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _digest(content: IO[bytes]) -> str:
    sha256 = hashlib.sha256()
    while data := content.read(_READ_BYTES):
        sha256.update(data)
    return sha256.hexdigest()
