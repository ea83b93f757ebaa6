import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from nbcontainers import errors
from nbcontainers.images import layers
from nbcontainers.images.unpacking import Rules
from nbcontainers.linux import overlay

pytestmark = pytest.mark.root  # unpacking keeps owners


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **facts: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755 if kind == tarfile.DIRTYPE else 0o644
    for fact, value in facts.items():
        setattr(info, fact, value)
    return info


def test_files_owners_modes_links_and_devices_are_kept(tmp_path: Path) -> None:
    layers.unpack(
        archive(
            (member("d", tarfile.DIRTYPE, uid=7, gid=8, mtime=1000), b""),
            (member("d/file", uid=1000, mode=0o4755, mtime=2000), b"content"),
            (member("d/hard", tarfile.LNKTYPE, "d/file"), b""),
            (member("d/soft", tarfile.SYMTYPE, "/etc/passwd"), b""),
            (member("d/null", tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
        ),
        tmp_path,
    )
    file = (tmp_path / "d/file").lstat()
    assert (file.st_uid, stat.S_IMODE(file.st_mode), file.st_mtime, file.st_nlink) == (1000, 0o4755, 2000, 2)
    assert (tmp_path / "d").stat().st_mtime == 1000
    assert os.readlink(tmp_path / "d/soft") == "/etc/passwd"
    assert (tmp_path / "d/null").lstat().st_rdev == os.makedev(1, 3)


@pytest.mark.parametrize("name", ["../out", "a/../../out", "a/..", ".."])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(errors.InvalidArgument, match="leads out of its root"):
        layers.unpack(archive((member(name), b"x")), root)
    assert not (tmp_path / "out").exists()


def test_links_and_absolute_names_stay_inside(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    layers.unpack(
        archive(
            (member("/absolute"), b"1"),
            (member(str(outside).lstrip("/"), tarfile.DIRTYPE), b""),
            (member("link", tarfile.SYMTYPE, str(outside)), b""),
            (member("link/file"), b"2"),
        ),
        root,
    )
    assert (root / "absolute").read_bytes() == b"1"
    assert list(outside.iterdir()) == []
    assert (root / str(outside).lstrip("/") / "file").read_bytes() == b"2"


def test_a_hard_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument):
        layers.unpack(archive((member("passwd", tarfile.LNKTYPE, "/etc/passwd"), b"")), tmp_path)


def test_later_members_replace_earlier_ones(tmp_path: Path) -> None:
    twice = archive(
        (member("x", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("x"), b"file"),
        (member("y", tarfile.DIRTYPE), b""),
        (member("y/z"), b"gone"),
        (member("y"), b"file"),
    )
    root_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        layers.extract(twice, root_fd, Rules())
    finally:
        os.close(root_fd)
    assert (tmp_path / "x").read_bytes() == b"file"
    assert (tmp_path / "y").read_bytes() == b"file"
    assert not (tmp_path / "x").is_symlink()


def test_whiteouts_and_opaque_directories(tmp_path: Path) -> None:
    layers.unpack(
        archive((member("d", tarfile.DIRTYPE), b""), (member("d/.wh..wh..opq"), b""), (member("d/.wh.gone"), b"")),
        tmp_path,
    )
    assert overlay.is_whiteout((tmp_path / "d/gone").lstat())
    assert overlay.is_opaque(str(tmp_path / "d"))


@pytest.mark.parametrize("data", [b"", b"not an archive at all", archive((member("a"), b"x" * 5000)).getvalue()[:900]])
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(errors.InvalidArgument, match="cannot unpack the archive"):
        layers.unpack(io.BytesIO(data), tmp_path)


def test_the_digest_is_of_contents_not_of_places(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for directory in (one, two):
        directory.mkdir()
        layers.unpack(archive((member("a", mtime=5), b"1"), (member("b", mtime=5), b"2")), directory)
    assert layers.diff_id(one) == layers.diff_id(two)
    (two / "b").write_bytes(b"3")
    assert layers.diff_id(one) != layers.diff_id(two)


def stored(directory: Path) -> bytes:
    buffer = io.BytesIO()
    layers.pack(directory, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_layer_gives_away_the_archive_that_it_came_in(
    tmp_path: Path, compress: Callable[[bytes], bytes], form: int
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, data in (
            (member("z" * 90 + "/" + "y" * 60, mtime=5), b"x" * 1000),
            (member("d", tarfile.DIRTYPE), b""),
            (member("d/full", uid=5), b"f" * 1024),
            (member("d/hard", tarfile.LNKTYPE, "d/full"), b""),
            (member("d/.wh.gone"), b""),
            (member("a/.wh..wh..opq"), b""),
            (member("d/empty"), b""),
        ):
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    layer = tmp_path / "fs"
    layer.mkdir()
    unpacked = layers.unpack(io.BytesIO(compress(buffer.getvalue())), layer)
    assert unpacked.size_bytes == 2024
    assert stored(layer) == buffer.getvalue()
    assert unpacked.diff_id == layers.diff_id(layer) == f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}"


def test_sparse_files_stay_sparse(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with open(tmp_path / "source/file", "wb") as file:
        file.truncate(8 << 20)
        file.seek(3 << 20)
        file.write(b"data")
    for number, options in enumerate((["--sparse"], ["--sparse", "--format=pax"], [])):
        data = subprocess.run(
            ["tar", *options, "-C", str(tmp_path / "source"), "-c", "file"], capture_output=True, check=True
        ).stdout
        layer = tmp_path / str(number) / "fs"
        layer.mkdir(parents=True)
        layers.unpack(io.BytesIO(data), layer)
        assert (layer / "file").read_bytes() == (tmp_path / "source/file").read_bytes()
        assert (layer / "file").stat().st_blocks < 4096
        assert stored(layer) == data


def test_attributes_are_kept_but_those_of_overlays(tmp_path: Path) -> None:
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"[:20]
    info = member("file")
    info.pax_headers = {
        "SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape"),
        "SCHILY.xattr.user.note": "héllo",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
    }
    layer = tmp_path / "fs"
    layer.mkdir()
    layers.unpack(archive((info, b"x")), layer)
    assert sorted(os.listxattr(layer / "file")) == ["security.capability", "user.note"]
    assert os.getxattr(layer / "file", "security.capability") == capability
    (tmp_path / "skeleton").unlink()
    again = tmp_path / "again" / "fs"
    again.mkdir(parents=True)
    layers.unpack(io.BytesIO(stored(layer)), again)
    assert os.getxattr(again / "file", "security.capability") == capability
    assert os.getxattr(again / "file", "user.note") == "héllo".encode()


@pytest.mark.parametrize("name", [".wh...", ".wh..", "d/.wh...", ".wh."])
def test_whiteouts_of_what_is_above_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="leads out of its root"):
        layers.unpack(archive((member(name), b"")), tmp_path)


def test_a_file_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument, match="'a' twice"):
        layers.unpack(archive((member("a"), b"1"), (member("a"), b"2")), tmp_path)


def test_a_whiteout_and_what_comes_in_its_place(tmp_path: Path) -> None:
    """Whatever the order: what is below is hidden, and what the layer has is there."""
    layers.unpack(
        archive(
            (member(".wh.one"), b""),
            (member("one", tarfile.DIRTYPE), b""),
            (member("two", tarfile.DIRTYPE), b""),
            (member(".wh.two"), b""),
            (member("three"), b"3"),
            (member(".wh.three"), b""),
            (member(".wh.four"), b""),
            (member("four"), b"4"),
        ),
        tmp_path,
    )
    assert overlay.is_opaque(str(tmp_path / "one"))
    assert overlay.is_opaque(str(tmp_path / "two"))
    assert ((tmp_path / "three").read_bytes(), (tmp_path / "four").read_bytes()) == (b"3", b"4")


def test_a_damaged_header_in_the_middle_is_noticed(tmp_path: Path) -> None:
    data = bytearray(archive((member("a"), b""), (member("b"), b"")).getvalue())
    data[512 + 10] ^= 0xFF
    with pytest.raises(errors.InvalidArgument, match="bad checksum"):
        layers.unpack(io.BytesIO(data), tmp_path)


@pytest.mark.parametrize(
    "compress", [gzip.compress, lzma.compress, zstandard.ZstdCompressor(write_checksum=True).compress]
)
def test_damaged_compression_is_refused(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    data = compress(archive((member("a"), os.urandom(50_000))).getvalue())
    for broken in (data[:-30_000], data[:20_000] + bytes(10) + data[20_010:]):
        layer = tmp_path / os.urandom(4).hex()
        layer.mkdir()
        with pytest.raises(errors.InvalidArgument, match="cannot unpack"):
            layers.unpack(io.BytesIO(broken), layer)
