"""``exec`` as a command of the faces: in a cell, with pipes, and at a terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import click
import docker
import pytest

from nbcontainers.cli import invoke
from tests.conftest import RecordingFace
from tests.engine_process import EngineProcess
from tests.waiting import until

pytestmark = [pytest.mark.root]
_COMMAND = [sys.executable, "-c", "from nbcontainers.cli import main; main()"]


@pytest.fixture
def target(face: RecordingFace) -> str:
    """The name of a container that does nothing."""
    invoke(["run", "-d", "--name", "target", "--network", "none", "busybox", "sleep", "600"], face)
    return "target"


def _exec(face: RecordingFace, *words: str) -> Any:
    return invoke(["exec", *words], face)


def test_streams_and_exit_code(face: RecordingFace, target: str) -> None:
    assert _exec(face, target, "sh", "-c", "echo out; echo err >&2; exit 3") == 3
    assert (face.written, face.remarks) == (b"out\n", b"err\n")


def test_options(face: RecordingFace, target: str, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# comment\nFILE=file\n")
    options = ["-e", "A=b", "--env-file", str(tmp_path / "env"), "-u", "nobody", "-w", "/tmp"]
    assert _exec(face, *options, target, "sh", "-c", "echo $A $FILE; id -u; pwd") == 0
    assert face.written.split() == [b"b", b"file", b"65534", b"/tmp"]
    assert invoke(["container", "exec", "--privileged", target, "grep", "CapEff", "/proc/self/status"], face) == 0
    assert int(face.written.split()[-1], 16) > 0xA80425FB


def test_a_cell_is_the_input(face: RecordingFace, target: str) -> None:
    face.stdin = b"one\ntwo\n"
    assert _exec(face, "-i", target, "wc", "-l") == 0
    assert face.written == b"2\n"


def test_a_terminal_without_anybody_at_it(face: RecordingFace, target: str) -> None:
    assert _exec(face, "-t", target, "tty") == 0
    assert face.written == b"/dev/pts/0\r\n"


def test_detached(face: RecordingFace, target: str) -> None:
    assert _exec(face, "-d", target, "sh", "-c", "echo done >/done") is None
    until(lambda: _exec(face, target, "cat", "/done") == 0)
    assert face.written == b"done\n"


def test_what_is_refused(face: RecordingFace, target: str) -> None:
    with pytest.raises(click.UsageError):
        _exec(face, target)
    with pytest.raises(docker.errors.NotFound):
        _exec(face, "nobody", "true")
    assert _exec(face, target, "nope") == 127
    assert b"executable file not found in $PATH" in face.written


def test_a_file_as_input_in_a_shell(faces_engine: EngineProcess, face: RecordingFace, target: str) -> None:
    data = os.urandom(1 << 20)
    done = subprocess.run(
        [*_COMMAND, "exec", "-i", target, "sh", "-c", "cat | wc -c; exit 4"],
        input=data, capture_output=True, timeout=60, check=False,
        env={**os.environ, "NBCONTAINERS_HOST": faces_engine.url},
    )  # fmt: skip
    assert (done.stdout, done.returncode) == (b"%d\n" % len(data), 4)


def test_at_a_terminal(faces_engine: EngineProcess, face: RecordingFace, target: str) -> None:
    master_fd, slave_fd = pty.openpty()
    fcntl.ioctl(slave_fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        [*_COMMAND, "exec", "-it", target, "sh"],
        stdin=slave_fd, stdout=slave_fd, stderr=slave_fd, start_new_session=True,
        env={**os.environ, "NBCONTAINERS_HOST": faces_engine.url, "TERM": "xterm"},
    )  # fmt: skip
    os.close(slave_fd)
    seen = b""

    def await_text(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            seen += os.read(master_fd, 4096)
        seen = seen[seen.index(text) + len(text) :]

    try:
        await_text(b"# ")
        os.write(master_fd, b"stty size; sleep 100\r")
        await_text(b"40 100")
        os.write(master_fd, b"\x03")
        await_text(b"# ")
        os.write(master_fd, b"exit 5\r")
        assert process.wait(30) == 5
    finally:
        process.kill()
        process.wait()
        os.close(master_fd)


@pytest.mark.parametrize("command", [["run", "-it", "busybox", "sh"], ["exec", "-ti", "target", "sh"]])
def test_a_cell_in_which_nobody_can_type(face: RecordingFace, target: str, command: list[str]) -> None:
    with pytest.raises(click.ClickException, match="a notebook has no terminal to type in"):
        invoke(command, face)
