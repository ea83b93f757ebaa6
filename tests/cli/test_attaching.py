"""``attach`` as a command of the faces: output, input from a cell, exit codes, refusals, and at a terminal."""

import os
import pty
import signal
import subprocess
import sys

import click
import pytest

from nbcontainers.cli import invoke
from tests.conftest import RecordingFace
from tests.engine_process import EngineProcess

pytestmark = [pytest.mark.root]
_COMMAND = [sys.executable, "-c", "from nbcontainers.cli import main; main()", "attach", "--detach-keys", "ctrl-x"]


def _container(face: RecordingFace, *words: str) -> None:
    invoke(["run", "-d", "--name", "target", "--network", "none", *words], face)


def test_a_cell_is_the_input(face: RecordingFace) -> None:
    _container(face, "-i", "busybox", "sh", "-c", "read line; echo got $line; echo err >&2; exit 3")
    face.stdin = b"hello\n"
    assert invoke(["attach", "target"], face) == 3
    assert (face.written, face.remarks) == (b"got hello\n", b"err\n")


def test_output_only(face: RecordingFace) -> None:
    _container(face, "-i", "--rm", "busybox", "sh", "-c", "until [ -e /go ]; do sleep 0.05; done; echo end; exit 4")
    face.client.api.exec_start(face.client.api.exec_create("target", ["sh", "-c", "sleep 0.5; touch /go"])["Id"], True)
    assert invoke(["container", "attach", "--no-stdin", "target"], face) == 4
    assert face.written == b"end\n"


def test_what_cannot_be_attached_to(face: RecordingFace) -> None:
    _container(face, "busybox", "sleep", "600")
    face.stdin = b"text"
    with pytest.raises(click.UsageError, match="takes no input"):
        invoke(["attach", "target"], face)
    face.client.api.pause("target")
    with pytest.raises(click.ClickException, match="paused container"):
        invoke(["attach", "target"], face)
    face.client.api.unpause("target")
    face.client.api.kill("target")
    face.client.api.wait("target")
    with pytest.raises(click.ClickException, match="stopped container"):
        invoke(["attach", "target"], face)


def _interrupting(face: RecordingFace) -> None:
    """Have whoever is shown ``now`` interrupt once, as a notebook's kernel does."""
    show = face.out

    def out(data: bytes) -> None:
        show(data)
        if b"now" in data:
            face.out = show
            signal.raise_signal(signal.SIGINT)

    face.out = out


@pytest.mark.parametrize("words", [["start", "-a"], ["attach"]], ids=["start", "attach"])
def test_an_interrupt_is_the_containers(face: RecordingFace, words: list[str]) -> None:
    script = "trap 'exit 7' INT; while :; do echo now; sleep 0.1; done"
    invoke(["create", "--name", "target", "--network", "none", "busybox", "sh", "-c", script], face)
    if words == ["attach"]:
        invoke(["start", "target"], face)
    _interrupting(face)
    assert invoke([*words, "target"], face) == 7


@pytest.mark.parametrize(("typed", "code"), [(b"\x18", 0), (b"exit 5\r", 5)], ids=["left", "ended"])
def test_at_a_terminal(face: RecordingFace, faces_engine: EngineProcess, typed: bytes, code: int) -> None:
    _container(face, "-it", "busybox", "sh")
    leader_fd, terminal_fd = pty.openpty()
    environment = {**os.environ, "NBCONTAINERS_HOST": faces_engine.url}
    try:
        with subprocess.Popen(
            [*_COMMAND, "target"], stdin=terminal_fd, stdout=terminal_fd, stderr=terminal_fd, env=environment
        ) as process:
            os.write(leader_fd, b"echo $((6 * 7))\r")
            seen = b""
            while b"42" not in seen:
                seen += os.read(leader_fd, 4096)
            os.write(leader_fd, typed)
            assert process.wait(20) == code
    finally:
        os.close(leader_fd)
        os.close(terminal_fd)
    assert face.client.api.inspect_container("target")["State"]["Running"] == (code == 0)
