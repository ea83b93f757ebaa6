"""Plain headers against ``tarfile``, which has the last word."""

import io
import tarfile
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcontainers.images import headers
from nbcontainers.images.sources import Source

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300)
MEMBERS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    name=NAMES | st.from_regex(r"[a-z/.]{1,120}", fullmatch=True),
    linkname=NAMES,
    type=st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE]),
    mode=st.integers(0, 0o177777),
    uid=st.integers(0, 1 << 32),
    gid=st.integers(0, 1 << 22),
    size=st.integers(0, 1 << 40),
    mtime=st.integers(-10, 1 << 36) | st.floats(0, 1e10),
)


def _member(facts: dict[str, Any]) -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    for name, value in facts.items():
        setattr(member, name, value)
    return member


@given(facts=MEMBERS)
def test_headers_are_written_as_tarfile_writes_them(facts: dict[str, Any]) -> None:
    expected = _member(facts).tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    assert headers.write(_member(facts)) == expected


@given(facts=MEMBERS, format=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT]), data=st.data())
def test_headers_are_read_as_tarfile_reads_them(
    facts: dict[str, Any], format: Literal[0, 1, 2], data: st.DataObject
) -> None:
    try:
        block = bytearray(_member(facts).tobuf(format, "utf-8", "surrogateescape")[-tarfile.BLOCKSIZE :])
    except ValueError:
        return  # it cannot be written in this format
    for _ in range(data.draw(st.integers(0, 2))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # as if the header had been made so
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    found = headers.read(bytes(block))
    if found is not None:
        expected = tarfile.TarInfo.frombuf(bytes(block), "utf-8", "surrogateescape")
        names = ("name", "type", "mode", "uid", "gid", "size", "mtime")
        assert [getattr(found, name) for name in names] == [getattr(expected, name) for name in names]
        assert not found.issym() or found.linkname == expected.linkname


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_plain_header_is_read_without_tarfile(format: Literal[0, 1, 2]) -> None:
    member = tarfile.TarInfo("d/file")
    member.size, member.uid = 12345, 1000
    found = headers.read(member.tobuf(format))
    assert found is not None
    assert (found.name, found.size, found.uid) == ("d/file", 12345, 1000)


@given(
    members=st.lists(st.tuples(NAMES, st.integers(0, 1500)), max_size=6),
    format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_archives_are_read_as_tarfile_reads_them(members: list[tuple[str, int]], format: Literal[0, 1, 2]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, size in members:
            member = tarfile.TarInfo(name)
            member.size = size
            tar.addfile(member, io.BytesIO(b"x" * size))
    buffer.seek(0)
    with tarfile.open(fileobj=buffer, encoding="utf-8", errors="surrogateescape") as tar:
        expected = [(member.name, member.size, member.offset_data) for member in tar]
    buffer.seek(0)
    with headers.Archive(Source(buffer)) as archive:
        found = []
        while (one := archive.next()) is not None:
            found.append((one.name, one.size, one.offset_data))
    assert found == expected


@pytest.mark.parametrize("name", ["plain", "long" * 40])
@pytest.mark.parametrize("padding", [0, 7])
def test_an_archive_may_end_with_its_last_content(name: str, padding: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.size = 5
        tar.addfile(member, io.BytesIO(b"12345"))
    whole = buffer.getvalue()
    ends = whole.rindex(b"12345") + 5
    with headers.Archive(Source(io.BytesIO(whole[: ends + padding]))) as archive:
        found = archive.next()
        assert found is not None
        assert found.name == name
        assert archive._source.read(5) == b"12345"
        assert archive.next() is None
    with headers.Archive(Source(io.BytesIO(whole[: ends - 1]))) as archive:
        archive.next()
        with pytest.raises((tarfile.ReadError, EOFError)):
            archive.next()


def test_a_file_cut_short_is_noticed() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = 5000
        tar.addfile(member, io.BytesIO(bytes(5000)))
    with headers.Archive(Source(io.BytesIO(buffer.getvalue()[:2000]))) as archive:
        archive.next()
        with pytest.raises(tarfile.ReadError, match="unexpected end of data"):
            archive.next()
