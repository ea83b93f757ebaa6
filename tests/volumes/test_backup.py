"""Volumes saved to archives and restored from them: nothing lost, nothing outside touched, all of it or nothing."""

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from nbcontainers.cli import invoke
from nbcontainers.client.volumes import Volume, restore, volume
from tests.conftest import RecordingFace
from tests.engine_process import EngineProcess

pytestmark = [pytest.mark.root]

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


@pytest.fixture
def data(engine: EngineProcess) -> Iterator[Volume]:
    engine.client.volumes.create("data")
    yield volume("data", engine.client)
    engine.remove_everything()
    for made in engine.client.volumes.list():
        made.remove()


def inside(engine: EngineProcess, name: str = "data") -> Path:
    return Path(engine.client.volumes.get(name).attrs["Mountpoint"])


def archive(**contents: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, facts in contents.items():
            member = tarfile.TarInfo(facts.pop("name", name))
            content = facts.pop("content", b"")
            member.size = len(content)
            for key, value in facts.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_there_and_back(engine: EngineProcess, data: Volume) -> None:
    root = inside(engine)
    (root / "sub").mkdir()
    (root / "sub/file").write_text("content")
    os.link(root / "sub/file", root / "again")
    os.chown(root / "again", 70, 71)
    os.chmod(root / "again", 0o4750)
    os.setxattr(root / "again", "security.capability", CAPABILITY)
    os.setxattr(root / "sub", "user.note", b"\xff\x00x")
    (root / "out").symlink_to("/etc/passwd")
    os.mkfifo(root / "pipe")
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with (root / "sparse").open("wb") as file:
        file.truncate(32 << 20)
        file.seek(16 << 20)
        file.write(b"in the middle")
    os.chown(root, 999, 998)
    os.chmod(root, 0o700)
    restore(engine.client, "copy", data.backup())
    copy = inside(engine, "copy")
    assert names(copy) == names(root)
    for one, other in ((root / name, copy / name) for name in (".", *names(root))):
        was, now = one.lstat(), other.lstat()
        facts = [(s.st_mode, s.st_uid, s.st_gid, s.st_rdev, int(s.st_mtime)) for s in (was, now)]
        assert facts[0] == facts[1], one
        assert stat.S_ISDIR(was.st_mode) or was.st_size == now.st_size, one
    assert (copy / "again").stat().st_ino == (copy / "sub/file").stat().st_ino
    assert os.getxattr(copy / "again", "security.capability") == CAPABILITY
    assert os.getxattr(copy / "sub", "user.note") == b"\xff\x00x"
    assert os.readlink(copy / "out") == "/etc/passwd"
    assert (copy / "sparse").stat().st_blocks * 512 < 1 << 20
    assert (copy / "sparse").read_bytes() == (root / "sparse").read_bytes()


def test_what_the_archive_has_not_stays_unless_replaced(engine: EngineProcess, data: Volume) -> None:
    data.write_text("kept/mine", "of before")
    data.write_text("kept/both", "of before")
    os.chown(inside(engine), 70, 70)
    os.chmod(inside(engine) / "kept", 0o701)
    data.restore(archive(both={"name": "kept/both", "content": b"of the archive"}))
    assert data.read_text("kept/mine") == "of before"
    assert data.read_text("kept/both") == "of the archive"
    assert inside(engine).stat().st_uid == 70
    assert stat.S_IMODE((inside(engine) / "kept").stat().st_mode) == 0o701
    data.restore(archive(new={"content": b"x"}), replace=True)
    assert names(inside(engine)) == ["new"]


def test_a_damaged_archive_leaves_the_volume_as_it_was(engine: EngineProcess, data: Volume) -> None:
    data.write_text("mine", "of before")
    whole = gzip.compress(archive(one={"content": os.urandom(300_000)}, two={"content": b"x"}))
    for damaged in (whole[: len(whole) // 2], b"no archive", whole[:200] + bytes(100) + whole[300:]):
        with pytest.raises(APIError) as caught:
            data.restore(damaged)
        assert caught.value.status_code == 400
        assert names(inside(engine)) == ["mine"]
    with pytest.raises(APIError):
        restore(engine.client, "unborn", b"no archive")
    assert [made.name for made in engine.client.volumes.list()] == ["data"]


def test_a_hostile_archive_stays_inside(engine: EngineProcess, data: Volume, tmp_path: Path) -> None:
    link = {"type": tarfile.SYMTYPE, "linkname": str(tmp_path)}
    data.restore(archive(link={"name": "out", **link}))
    with pytest.raises(APIError):
        data.restore(archive(link={"name": "way", **link}, file={"name": "way/file", "content": b"x"}))
    with pytest.raises(APIError, match="leads out of its root"):
        data.restore(archive(up={"name": "../../up", "content": b"x"}))
    with pytest.raises(APIError):
        data.restore(archive(hard={"type": tarfile.LNKTYPE, "linkname": "out/../../etc/passwd"}))
    assert names(tmp_path) == []
    assert names(inside(engine)) == ["out"]
    data.restore(archive(white={"name": ".wh.out", "content": b"x"}))
    assert names(inside(engine)) == [".wh.out", "out"]  # a name like others


def test_not_while_a_container_runs(engine: EngineProcess, data: Volume) -> None:
    mounted = {"data": {"bind": "/v", "mode": "rw"}}
    busy = engine.client.containers.run("busybox", ["sleep", "600"], name="busy", detach=True, volumes=mounted)
    with pytest.raises(APIError, match="container 'busy' uses it and runs: stop it first") as caught:
        data.restore(archive(new={"content": b"x"}))
    assert caught.value.status_code == 409
    busy.kill()
    busy.wait()
    data.restore(archive(new={"content": b"x"}))
    busy.start()
    assert busy.exec_run(["cat", "/v/new"]).output == b"x"


def test_killed_in_the_middle(engine: EngineProcess, data: Volume) -> None:
    data.write_text("mine", "of before")

    def chunks() -> Iterator[bytes]:
        yield archive(new={"content": b"x" * (1 << 20)})[: 1 << 19]
        engine.kill()
        yield b"x"

    with pytest.raises(Exception, match=r"onnection|roken"):
        data.restore(chunks())
    assert engine.start() == "ready"
    assert names(inside(engine)) == ["mine"]
    assert os.listdir(inside(engine).parents[1]) == ["data"]


def test_the_commands(engine: EngineProcess, data: Volume, tmp_path: Path) -> None:
    own = RecordingFace(engine.url)
    data.write_text("mine", "of before")
    for name in ("data.tar", "data.tar.gz"):
        invoke(["volume", "export", "-o", str(tmp_path / name), "data"], own)
        invoke(["volume", "import", name.replace(".", "-"), str(tmp_path / name)], own)
        assert volume(name.replace(".", "-"), engine.client).read_text("mine") == "of before"
    assert (tmp_path / "data.tar.gz").read_bytes().startswith(b"\x1f\x8b")
    data.write_text("more", "")
    invoke(["volume", "import", "--replace", "data", str(tmp_path / "data.tar")], own)
    assert list(data.ls()["name"]) == ["mine"]
    own.client.close()
