"""cp, diff, export, import, commit, save and load in the command tree."""

import io
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import click
import docker.errors
import pytest

from nbcontainers.cli import invoke
from tests.conftest import RecordingFace


@pytest.fixture
def container(face: RecordingFace) -> str:
    script = (
        "mkdir -p /d/sub; echo text > /d/sub/file; chmod 750 /d/sub/file; ln -s sub /d/link; ln /d/sub/file /d/hard"
    )
    assert invoke(["run", "--name", "copied", "busybox", "sh", "-c", f"{script}; rm /bin/ls"], face) == 0
    return "copied"


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return sorted(tar.getnames())


def test_out_of_a_container(face: RecordingFace, container: str, tmp_path: Path) -> None:
    said = invoke(["cp", f"{container}:/d", str(tmp_path)], face)
    assert said.startswith("Successfully copied")
    assert (tmp_path / "d/sub/file").read_text() == "text\n"
    assert stat.S_IMODE((tmp_path / "d/sub/file").stat().st_mode) == 0o750
    assert os.readlink(tmp_path / "d/link") == "sub"
    assert os.path.samefile(tmp_path / "d/hard", tmp_path / "d/sub/file")
    invoke(["cp", f"{container}:/d", str(tmp_path / "new")], face)
    assert sorted(os.listdir(tmp_path / "new")) == ["hard", "link", "sub"]
    (tmp_path / "into").mkdir(mode=0o700)
    invoke(["cp", "-q", f"{container}:/d/.", str(tmp_path / "into")], face)
    assert sorted(os.listdir(tmp_path / "into")) == ["hard", "link", "sub"]
    assert stat.S_IMODE((tmp_path / "into").stat().st_mode) == 0o700
    invoke(["cp", "-L", f"{container}:/d/link", str(tmp_path / "followed")], face)
    assert os.listdir(tmp_path / "followed") == ["file"]
    invoke(["cp", f"{container}:/d/sub/file", str(tmp_path / "renamed")], face)
    assert (tmp_path / "renamed").read_text() == "text\n"


def test_into_a_container(face: RecordingFace, container: str, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/file").write_text("mine")
    for source, target in (
        (tmp_path / "dir", "/tmp"),
        (tmp_path / "dir", "/made"),
        (f"{tmp_path}/dir/.", "/d/link"),
        (tmp_path / "dir/file", "/d/other"),
        (tmp_path / "dir/file", "/d/sub/"),
    ):
        invoke(["cp", str(source), f"{container}:{target}"], face)
    invoke(["cp", f"{container}:/", "-"], face)
    expected = ["/tmp/dir/file", "/made/file", "/d/sub/file", "/d/other"]
    assert set(expected) <= set(names(face.written))


def test_archives_through_the_standard_streams(face: RecordingFace, container: str) -> None:
    invoke(["cp", f"{container}:/d/sub", "-"], face)
    face.stdin, face.written = face.written, b""
    invoke(["cp", "-", f"{container}:/tmp"], face)
    invoke(["cp", f"{container}:/tmp/sub/file", "-"], face)
    assert names(face.written) == ["file"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["cp", "a", "b"], "must specify at least one container source"),
        (["cp", "a:/x", "b:/y"], "copying between containers is not supported"),
        (["cp", "/no/such/file", "copied:/tmp"], "does not exist"),
        (["cp", "/etc", "copied:/d/sub/file"], "cannot copy a directory to the file"),
        (["cp", "/etc/passwd", "copied:/nothing/"], "does not exist"),
        (["cp", "copied:/d", "/no/such/place"], "does not exist"),
        (["cp", "copied:/d", "/etc/passwd"], "cannot copy a directory to the file"),
        (["load", "-i", "/no/such/file"], "cannot read '/no/such/file'"),
        (["save", "-o", "/tmp", "busybox"], "is a directory"),
    ],
)
def test_what_makes_no_sense(face: RecordingFace, container: str, words: list[str], text: str) -> None:
    with pytest.raises(click.UsageError, match=text):
        invoke(words, face)


def test_diff_is_a_table(face: RecordingFace, container: str) -> None:
    table = invoke(["diff", container], face)
    assert list(table.columns) == ["kind", "path"]
    assert table.kind.dtype == "category"
    assert dict(zip(table.path, table.kind, strict=True)) == {
        "/bin": "C",
        "/bin/ls": "D",
        "/d": "A",
        "/d/hard": "A",
        "/d/link": "A",
        "/d/sub": "A",
        "/d/sub/file": "A",
    }


def test_commit_save_load_export_import(face: RecordingFace, container: str, tmp_path: Path) -> None:
    saved, exported = tmp_path / "saved.tar", tmp_path / "exported.tar"
    image = invoke(["commit", "-m", "note", "-c", 'CMD ["cat", "/d/hard"]', container, "cli/made:1"], face)
    try:
        assert invoke(["save", "-o", str(saved), "cli/made:1"], face) is None
        invoke(["rm", container], face)
        invoke(["rmi", "cli/made:1"], face)
        face.stdin = b"nothing like it"
        with pytest.raises(docker.errors.ImageLoadError, match="cannot read the archive"):
            invoke(["load"], face)
        face.stdin = None
        assert invoke(["load", "-q", "-i", str(saved)], face) == "Loaded image: cli/made:1"
        assert face.client.api.inspect_image("cli/made:1")["Id"] == image
        invoke(["run", "--name", "again", "cli/made:1"], face)
        assert face.written == b"text\n"
        assert invoke(["export", "-o", str(exported), "again"], face) is None
        imported = invoke(["import", "-c", 'CMD ["cat", "/d/sub/file"]', str(exported), "cli/flat"], face)
        assert invoke(["run", "--rm", imported], face) == 0
        assert face.written == b"text\n" * 2
        assert sorted(os.listdir(tmp_path)) == ["exported.tar", "saved.tar"]
    finally:
        for name in ("again", "copied"):
            try:
                invoke(["rm", "-f", name], face)
            except docker.errors.NotFound:
                continue
        for name in ("cli/made:1", "cli/flat"):
            invoke(["rmi", "-f", name], face)


def test_an_archive_reaches_a_pipe_unchanged(face: RecordingFace) -> None:
    command = [sys.executable, "-c", "from nbcontainers.cli import main; main()", "save", "busybox"]
    environment = {**os.environ, "NBCONTAINERS_HOST": str(face.url)}
    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
    assert "manifest.json" in names(done.stdout)
    loading = [*command[:3], "load"]
    assert (
        b"Loaded image: busybox:latest"
        in subprocess.run(
            loading, input=done.stdout, env=environment, capture_output=True, check=True, timeout=60
        ).stdout
    )
