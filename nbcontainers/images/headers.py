"""Headers of tar archives that have nothing unusual, read and written fast.

Nearly all headers of an archive are plain: a regular file, directory or link with a short name and numbers that fit.
``tarfile`` needs a tenth of a millisecond for one, reading or writing, which is more than the kernel takes to make the
file. So plain headers are done here; all others, and all that is damaged, are left to ``tarfile``, whose results these
are as well.

Source: POSIX.1-2017, pax § ustar Interchange Format.
"""

import struct
import tarfile
from typing import Protocol

_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_CHECKSUM = slice(148, 156)
_BLANK_CHECKSUM = b" " * 8
_POSIX, _GNU = b"ustar\x0000", b"ustar  \x00"
_PLAIN = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE)
_LONGEST_NAME = 100
_LARGEST_ID, _LARGEST_SIZE = 8**7, 8**11
_BLOCK = tarfile.BLOCKSIZE
_LONGEST_HEADER = 1 << 20
"""Of a long name, of pax records and of a sparse file's map, which are kept in memory; as much as Go allows."""


def read(block: bytes) -> tarfile.TarInfo | None:
    """Return the member that a plain header describes; None for any other header, and for what is none."""
    if len(block) != _BLOCK:
        return None
    name, mode, uid, gid, size, mtime, checksum, kind, link, magic, _, _, major, minor, prefix = _FIELDS.unpack(block)
    is_plain = kind in _PLAIN and (magic == _POSIX or (magic == _GNU and not prefix.strip(b"\0")))
    if not is_plain:
        return None
    try:
        if _octal(checksum) != sum(block) - sum(block[_CHECKSUM]) + sum(_BLANK_CHECKSUM):
            return None
        member = tarfile.TarInfo(_text(name))
        member.mode, member.uid, member.gid = _octal(mode), _octal(uid), _octal(gid)
        member.size, member.mtime = _octal(size), _octal(mtime)
        member.devmajor, member.devminor = _octal(major), _octal(minor)
    except ValueError:
        return None
    if member.size < 0:
        return None
    member.type = kind
    if kind == tarfile.SYMTYPE:
        member.linkname = _text(link)
    elif kind == tarfile.DIRTYPE:
        member.name = member.name.rstrip("/")
    if above := _text(prefix):
        member.name = f"{above}/{member.name}"
    return member


def _octal(field: bytes) -> int:
    return int(field.rstrip(b" \0") or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def write(member: tarfile.TarInfo) -> bytes:
    """Return a member's header, with what precedes it."""
    fits = (
        member.type in _PLAIN
        and not member.pax_headers
        and len(member.name) <= _LONGEST_NAME
        and len(member.linkname) <= _LONGEST_NAME
        and member.name.isascii()
        and member.linkname.isascii()
        and 0 <= member.uid < _LARGEST_ID
        and 0 <= member.gid < _LARGEST_ID
        and 0 <= member.size < _LARGEST_SIZE
        and isinstance(member.mtime, int)
        and 0 <= member.mtime < _LARGEST_SIZE
    )
    if not fits:
        return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    name = f"{member.name}/" if member.type == tarfile.DIRTYPE else member.name
    if len(name) > _LONGEST_NAME:
        return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    block = _FIELDS.pack(
        name.encode("ascii"),
        b"%07o\0" % (member.mode & 0o7777),
        b"%07o\0" % member.uid,
        b"%07o\0" % member.gid,
        b"%011o\0" % member.size,
        b"%011o\0" % int(member.mtime),
        _BLANK_CHECKSUM,
        member.type,
        member.linkname.encode("ascii"),
        _POSIX,
        b"",
        b"",
        b"",
        b"",
        b"",
    )
    return b"%b%06o\0%b" % (block[:148], sum(block), block[155:])


class Source(Protocol):
    """A stream that an archive is read from, forward, as ``sources.Source`` is."""

    def tell(self) -> int:
        """Return how much has been read."""

    def seek(self, position: int) -> int:
        """Skip forward."""

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes, less only at the end."""

    def unread(self, data: bytes) -> None:
        """Have the last bytes come again."""

    def bound(self, size: int | None) -> None:
        """Have reading fail after so many more bytes; None for no such limit."""


class Archive(tarfile.TarFile):
    """An archive that is read once, from its beginning to its end; it keeps no member that was read.

    Args:
        source: Where it comes from.

    Raises:
        tarfile.TarError: It is no archive.
    """

    firstmember: tarfile.TarInfo | None
    members: list[tarfile.TarInfo]

    def __init__(self, source: Source) -> None:
        self._source = source
        self._content_end: int | None = None
        super().__init__(fileobj=source, mode="r")  # type: ignore[arg-type]

    def next(self) -> tarfile.TarInfo | None:
        """Return the next member, None at the end.

        Raises:
            tarfile.TarError: A header is damaged, or the archive cut short.
        """
        if (first := self.firstmember) is not None:
            self.firstmember = None
            return first
        block = self._block()
        member = None if self.pax_headers else read(block)
        if member is not None:
            member.offset, member.offset_data = self.offset, self.offset + _BLOCK
            self.offset = self._content_end = member.offset_data
            if member.type == tarfile.REGTYPE:
                self._content_end += member.size
                self.offset += -(-member.size // _BLOCK) * _BLOCK
            return member
        self._content_end = None
        self._source.unread(block)
        self._source.bound(_LONGEST_HEADER)
        try:
            member = super().next()
        except RecursionError as error:
            raise tarfile.ReadError("a member has too many headers") from error
        finally:
            self._source.bound(None)
        self.members = []  # it would keep them all
        if member is not None and member.isreg() and not member.issparse():
            self._content_end = member.offset_data + member.size
        return member

    def _block(self) -> bytes:
        """Read the next header's first block, past what is left of the last member.

        An archive may end with a member's content, without what fills its last block: ``docker build -f -`` sends such.
        """
        source, offset = self._source, self.offset
        if source.tell() + _BLOCK < offset:
            source.seek(offset - 1)
        skipped = offset - source.tell()
        data = source.read(skipped + _BLOCK)
        if len(data) < skipped and self._content_end is not None and source.tell() >= self._content_end:
            self.offset = source.tell()
            return b""
        if len(data) < skipped:
            raise tarfile.ReadError("unexpected end of data")
        return data[skipped:]
