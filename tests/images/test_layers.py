import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.images import layers
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
    layers.unpack(
        archive(
            (member("x", tarfile.SYMTYPE, "/etc/passwd"), b""),
            (member("x"), b"file"),
            (member("y", tarfile.DIRTYPE), b""),
            (member("y/z"), b"gone"),
            (member("y"), b"file"),
        ),
        tmp_path,
    )
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
