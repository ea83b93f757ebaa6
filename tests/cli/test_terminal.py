"""A user of ``nbcontainers`` at a terminal: run, start, exec and attach, their jobs, sizes, keys and exit codes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from nbcontainers.cli import invoke
from tests import waiting
from tests.conftest import RecordingFace
from tests.engine_process import EngineProcess
from tests.terminal import at_terminal, resize, until

pytestmark = [pytest.mark.root]

_COMMAND = [sys.executable, "-c", "from nbcontainers.cli import main; main()"]
_IPYTHON = [sys.executable, "-m", "IPython", "--no-banner", "--simple-prompt", "--ext", "nbcontainers"]
_TARGET = ["--name", "target", "--network", "none", "busybox"]
Talk = Callable[[int], None]


@pytest.fixture
def user(faces_engine: EngineProcess, face: RecordingFace) -> Callable[[list[str], Talk], int]:
    """Gives a command at a terminal, and returns its exit status."""
    environment = {**os.environ, "NBCONTAINERS_HOST": faces_engine.url}
    return lambda words, talk: at_terminal([*_COMMAND, *words], environment, talk)


def test_run(user: Callable[[list[str], Talk], int], face: RecordingFace) -> None:
    def talk(master_fd: int) -> None:
        until(master_fd, b"# ")
        os.write(master_fd, b"stty size\r")
        until(master_fd, b"40 100")
        resize(master_fd, 33, 77)
        os.write(master_fd, b"until [ \"$(stty size)\" = '33 77' ]; do :; done; echo re''sized\r")
        until(master_fd, b"resized")
        sleeper = b"sh -c 'echo slee\"\"ping; exec sleep 100'\r"
        os.write(master_fd, sleeper)
        until(master_fd, b"sleeping")
        os.write(master_fd, b"\x03")
        until(master_fd, b"# ")
        os.write(master_fd, b"echo status $?\r")
        until(master_fd, b"status 130")
        os.write(master_fd, sleeper)
        until(master_fd, b"sleeping")
        os.write(master_fd, b"\x1a")
        until(master_fd, b"Stopped")
        os.write(master_fd, b"exec sh -c 'exit 5'\r")

    assert user(["run", "-it", "--rm", *_TARGET, "sh"], talk) == 5
    assert face.client.containers.list(all=True) == []


def test_leaving_and_coming_back(user: Callable[[list[str], Talk], int], face: RecordingFace) -> None:
    def leave(master_fd: int) -> None:
        until(master_fd, b"# ")
        os.write(master_fd, b"\x10\x11")
        until(master_fd, b"read escape sequence")

    assert user(["container", "run", "-it", *_TARGET, "sh"], leave) == 0
    assert face.client.containers.get("target").status == "running"

    def come_and_leave(master_fd: int) -> None:
        os.write(master_fd, b"echo ba''ck\r")
        until(master_fd, b"back")
        os.write(master_fd, b"\x18x")

    assert user(["attach", "--detach-keys", "ctrl-x,x", "target"], come_and_leave) == 0

    def end(master_fd: int) -> None:
        os.write(master_fd, b"exit 6\r")

    assert user(["attach", "target"], end) == 6

    def again(master_fd: int) -> None:
        until(master_fd, b"# ")
        os.write(master_fd, b"exit 7\r")

    assert user(["start", "-ai", "target"], again) == 7


def test_exec(user: Callable[[list[str], Talk], int], face: RecordingFace) -> None:
    invoke(["run", "-d", *_TARGET, "sleep", "600"], face)

    def leave(master_fd: int) -> None:
        until(master_fd, b"# ")
        resize(master_fd, 20, 60)
        os.write(master_fd, b"until [ \"$(stty size)\" = '20 60' ]; do :; done; echo re''sized\r")
        until(master_fd, b"resized")
        os.write(master_fd, b"\x10\x11")

    assert user(["exec", "-it", "target", "sh"], leave) == 0
    assert b"sh" in face.client.containers.get("target").exec_run(["ps", "-o", "comm"]).output.split()

    def end(master_fd: int) -> None:
        until(master_fd, b"# ")
        os.write(master_fd, b"sh -c 'echo slee\"\"ping; exec sleep 100'\r")
        until(master_fd, b"sleeping")
        os.write(master_fd, b"\x03")
        until(master_fd, b"# ")
        os.write(master_fd, b"exit 5\r")

    assert user(["exec", "-it", "target", "sh"], end) == 5


def test_stats_until_interrupted(user: Callable[[list[str], Talk], int], face: RecordingFace) -> None:
    invoke(["run", "-d", *_TARGET, "sleep", "600"], face)

    def look(master_fd: int) -> None:
        for _ in range(2):
            until(master_fd, b"NAME ")
            until(master_fd, b"target ")
        os.write(master_fd, b"\x03")

    assert user(["stats"], look) == 130
    assert user(["stats", "--no-stream"], lambda master_fd: (until(master_fd, b"target "), None)[1]) == 0


def test_a_terminal_that_is_only_looked_at(user: Callable[[list[str], Talk], int]) -> None:
    def look(master_fd: int) -> None:
        until(master_fd, b"40 100")

    assert user(["run", "-t", "--rm", *_TARGET, "stty", "size"], look) == 0


def test_who_has_no_terminal(faces_engine: EngineProcess, face: RecordingFace) -> None:
    environment = {**os.environ, "NBCONTAINERS_HOST": faces_engine.url}
    command = [*_COMMAND, "run", "-it", *_TARGET, "true"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (125, b"Error: the input device is not a TTY\n")
    assert face.client.containers.list(all=True) == []


def test_ipython_in_a_terminal(faces_engine: EngineProcess, face: RecordingFace) -> None:
    """``%container run -it`` has the terminal that IPython runs in, and gives it back."""

    def talk(master_fd: int) -> None:
        until(master_fd, b"In [1]: ")
        os.write(master_fd, b"%container run -it --rm busybox sh\r")
        until(master_fd, b"# ")
        os.write(master_fd, b"stty size; exit\r")
        until(master_fd, b"40 100")
        until(master_fd, b"In [2]: ")
        os.write(master_fd, b"%container run -i --rm busybox head -n1\r")
        os.write(master_fd, b"a li''ne\r")
        until(master_fd, b"In [3]: ")
        os.write(master_fd, b"6 * 7\r")  # is IPython's, not the ended container's
        until(master_fd, b"42")
        os.write(master_fd, b"%container ps -a\r")
        until(master_fd, b"CONTAINER ID")  # the command line's table, not pandas'
        os.write(master_fd, b"exit\r")

    environment = {**os.environ, "NBCONTAINERS_HOST": faces_engine.url}
    assert at_terminal(_IPYTHON, environment, talk) == 0


def _kills(face: RecordingFace, container: str) -> int:
    """Return how many signals a container was sent."""
    now = f"{time.time():.6f}"
    filters = {"event": "kill", "container": container}
    return len(list(face.client.events(decode=True, since=0, until=now, filters=filters)))


@pytest.mark.parametrize(("times", "code"), [(1, 3), (3, 1)], ids=["passed on", "forced"])
def test_signals(faces_engine: EngineProcess, face: RecordingFace, times: int, code: int) -> None:
    """Without a terminal a command's signals are the container's; one that minds none of three is left."""
    script = "trap 'exit 3' INT" if times == 1 else "trap '' INT"
    command = [*_COMMAND, "run", *_TARGET, "sh", "-c", f"{script}; echo ready; while :; do sleep 0.05; done"]
    environment = {**os.environ, "NBCONTAINERS_HOST": faces_engine.url}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        container = face.client.containers.get("target").id
        for number in range(1, times + 1):
            process.send_signal(signal.SIGINT)
            waiting.until(lambda number=number: number == 3 or _kills(face, container) == number)  # type: ignore[misc]
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code
    assert (b"forcefully exiting" in said) == (times == 3)
