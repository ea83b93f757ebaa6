"""Hostile layers, made at random: nothing leaves the root, there is one clear error, and nothing is left over."""

import contextlib
import gzip
import io
import os
import stat
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbcontainers import errors
from nbcontainers.images import Images, layers
from nbcontainers.images.packing import Hash
from nbcontainers.images.unpacking import Rules

pytestmark = pytest.mark.root
OUTSIDE = "outside"

PARTS = st.sampled_from(
    [
        "a",
        "b",
        "l",
        ".",
        "..",
        "",
        ".wh.a",
        ".wh.b",
        ".wh..",
        ".wh...",
        ".wh..wh..opq",
        ".wh.",
        "é",
        "n" * 255,
        "n" * 256,
    ]
)
NAMES = (
    st.lists(PARTS, min_size=1, max_size=4).map("/".join)
    | st.sampled_from(
        ["/", "/etc/passwd", "../outside/f", "a/../../outside/f", "d/" * 1500 + "f", "d/" * 2100, "x" * 4096]
    )
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
)
LINKS = st.sampled_from(["a", "l", ".", "..", "../outside", "/outside", "../../outside/f", "a/b", "", "x" * 5000])
KINDS = st.sampled_from(
    [b"0", b"\0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"g", b"x", b"L", b"K", b"M", b"V", b"Z", b"\xff"]
)
PAX = st.dictionaries(
    st.sampled_from(
        [
            "path",
            "linkpath",
            "size",
            "uid",
            "mtime",
            "GNU.sparse.map",
            "GNU.sparse.size",
            "GNU.sparse.major",
            "GNU.sparse.minor",
            "GNU.sparse.realsize",
            "SCHILY.xattr.user.x",
            "SCHILY.xattr.trusted.overlay.redirect",
            "SCHILY.xattr.security.capability",
        ]
    ),
    st.sampled_from(
        ["", "0", "1", "-1", "1e9", "nan", "99999999999999999999", "0,5", "0,-5,3", "../outside/f", "/a", "y"]
    ),
    max_size=3,
)
MEMBERS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    name=NAMES,
    linkname=LINKS,
    type=KINDS,
    mode=st.sampled_from([0, 0o644, 0o755, 0o7777]),
    uid=st.sampled_from([0, 1000, 1 << 21]),
    mtime=st.sampled_from([0, -1, 1 << 33, 1.5]),
    pax_headers=PAX,
    content=st.binary(max_size=700),
)


def _archive(members: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for facts in members:
            member = tarfile.TarInfo()
            for name, value in facts.items():
                if name != "content":
                    setattr(member, name, value)
            member.size = len(facts["content"])
            tar.addfile(member, io.BytesIO(facts["content"]))
    return buffer.getvalue()


ARCHIVES = st.lists(MEMBERS, max_size=6).map(_archive)


class Tar(bytes):
    """An archive that shows itself in a few characters."""

    def __repr__(self) -> str:
        return f"Tar(zlib.decompress({zlib.compress(self)!r}))"


@st.composite
def _damaged(draw: st.DrawFn) -> Tar:
    data = bytearray(draw(ARCHIVES))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data) - 1))
        data[at] = draw(st.sampled_from([0, 0x20, 0x2F, 0x37, 0x80, 0xFF]))
        if draw(st.booleans()):  # with a checksum that fits all the same
            block = at - at % 512
            data[block + 148 : block + 156] = b" " * 8
            data[block + 148 : block + 156] = b"%06o\0 " % sum(data[block : block + 512])
    return Tar(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    """A directory with something in it that no archive may reach."""
    with tempfile.TemporaryDirectory() as directory:
        ground = Path(directory)
        (ground / OUTSIDE).mkdir()
        (ground / OUTSIDE / "f").write_text("outside")
        yield ground


def _facts(ground: Path) -> list[object]:
    status = (ground / OUTSIDE / "f").lstat()
    return [
        sorted(path.name for path in ground.iterdir()),
        [path.name for path in (ground / OUTSIDE).iterdir()],
        (ground / OUTSIDE / "f").read_text(),
        (status.st_mode, status.st_uid, status.st_nlink, status.st_mtime_ns),
        stat.S_IMODE((ground / OUTSIDE).lstat().st_mode),
        os.listxattr(ground / OUTSIDE / "f"),
        len(os.listdir("/proc/self/fd")),
    ]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=_damaged())
def test_a_layer_stays_in_its_place_and_comes_out_as_it_went_in(ground: Path, data: Tar) -> None:
    before = _facts(ground)
    with tempfile.TemporaryDirectory(dir=ground / OUTSIDE / "..", prefix="layer-") as directory:
        files = Path(directory, "fs")
        files.mkdir()
        unpacked = None
        with contextlib.suppress(errors.InvalidArgument, errors.Unavailable):
            unpacked = layers.unpack(io.BytesIO(data), files)
        if unpacked is not None:
            hashed = Hash()
            layers.write(files, hashed)
            assert hashed.digest == unpacked.diff_id
    assert _facts(ground) == before


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    data=_damaged(), rules=st.builds(Rules, whiteouts=st.booleans(), keep_kinds=st.booleans(), devices=st.booleans())
)
def test_a_tree_with_links_out_of_it_is_not_left(ground: Path, data: Tar, rules: Rules) -> None:
    before = _facts(ground)
    with tempfile.TemporaryDirectory(dir=ground, prefix="tree-") as directory:
        os.symlink("../outside", f"{directory}/l")
        os.symlink(str(ground / OUTSIDE), f"{directory}/b")
        root_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            with contextlib.suppress(errors.InvalidArgument, errors.Unavailable):
                layers.extract(io.BytesIO(data), root_fd, rules)
        finally:
            os.close(root_fd)
    assert _facts(ground) == before


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=_damaged(), compress=st.booleans())
def test_a_refused_import_leaves_nothing(ground: Path, data: Tar, compress: bool) -> None:
    with tempfile.TemporaryDirectory(dir=ground, prefix="store-") as directory:
        images = Images(Path(directory), [])
        try:
            images.import_tar(io.BytesIO(gzip.compress(data) if compress else data), message="", reference="")
            return
        except (errors.InvalidArgument, errors.Unavailable):
            pass
        assert images.snapshots.committed() == []
        for place in ("snapshots/active", "snapshots/layers", "snapshots/trash", "blobs/sha256"):
            assert os.listdir(f"{directory}/{place}") == []


def _header(kind: bytes, size: int, name: str = "x") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


class _Endless:
    """A stream that begins with some bytes and never ends; counts what is taken of it."""

    def __init__(self, beginning: bytes, byte: bytes = b"a") -> None:
        self._beginning = io.BytesIO(beginning)
        self._rest = byte * (1 << 16)
        self.taken = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._beginning.read(size) or self._rest[: size if size >= 0 else None]
        self.taken += len(data)
        return data


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_headers_that_would_fill_the_memory_are_refused(tmp_path: Path, kind: bytes) -> None:
    stream = _Endless(_header(kind, 1 << 32))
    with pytest.raises(errors.InvalidArgument, match="header is too long"):
        layers.unpack(stream, tmp_path)
    assert stream.taken < 4 << 20


def test_a_chain_of_headers_is_refused(tmp_path: Path) -> None:
    chain = b"".join(_header(b"L", 10) + b"name".ljust(512, b"\0") for _ in range(2000))
    with pytest.raises(errors.InvalidArgument, match="header"):
        layers.unpack(io.BytesIO(chain), tmp_path)


def _old_sparse(parts: list[tuple[int, int]], stored: int, real: int) -> bytes:
    """Return the header of a sparse file as GNU tar has made them first: the map stands in the header itself."""
    block = bytearray(_header(b"S", stored))
    for number, (offset, size) in enumerate(parts):
        struct.pack_into("12s12s", block, 386 + 24 * number, b"%011o\0" % offset, b"%011o\0" % size)
    struct.pack_into("12s", block, 483, b"%011o\0" % real)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_a_sparse_file_of_terabytes_takes_no_time(tmp_path: Path) -> None:
    real = 8**11 - 1  # 8 GB; as long as it can be said there
    layers.unpack(
        io.BytesIO(_old_sparse([(4096, 5), (real - 5, 5)], 10, real) + b"helloworld".ljust(512, b"\0") + bytes(1024)),
        tmp_path,
    )
    file = tmp_path / "x"
    assert (file.stat().st_size, file.stat().st_blocks < 100) == (real, True)
    with open(file, "rb") as opened:
        opened.seek(4096)
        assert opened.read(5) == b"hello"
        opened.seek(real - 5)
        assert opened.read() == b"world"


@pytest.mark.parametrize(("parts", "real"), [([(0, 600)], 600), ([(595, 10)], 600), ([(0, 5), (50, 6)], 55)])
def test_a_sparse_files_map_that_does_not_fit_is_refused(
    tmp_path: Path, parts: list[tuple[int, int]], real: int
) -> None:
    data = _old_sparse(parts, 10, real) + b"x" * 512 + bytes(1024)
    with pytest.raises(errors.InvalidArgument, match="map of the sparse file"):
        layers.unpack(io.BytesIO(data), tmp_path)
