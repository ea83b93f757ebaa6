"""The stock docker CLI, unchanged, against a real engine."""

import json
import subprocess
import threading
from pathlib import Path
from typing import IO, cast

import pytest

from tests.engine_process import EngineProcess

pytestmark = [pytest.mark.root, pytest.mark.peer]


def test_version_and_info(cli: EngineProcess) -> None:
    version = json.loads(cli.docker("version", "--format", "json").stdout)
    assert version["Server"]["ApiVersion"] == "1.47"
    info = json.loads(cli.docker("info", "--format", "json").stdout)
    assert info["ServerVersion"] == version["Server"]["Version"]


def test_run(cli: EngineProcess) -> None:
    done = cli.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert cli.docker("ps", "-aq").stdout == b""


def test_run_reads_its_standard_input_to_the_end(cli: EngineProcess) -> None:
    text = b"line\n" * 20_000
    assert cli.docker("run", "--rm", "-i", "busybox", "cat", stdin=text).stdout == text


def test_run_without_network(cli: EngineProcess) -> None:
    assert cli.docker("run", "--rm", "--network", "none", "busybox", "hostname").stdout


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["/nothing/here"], 127),
        (["/etc/passwd"], 126),
        (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
        (["false"], 1),
    ],
)
def test_exit_statuses(cli: EngineProcess, command: list[str], status: int) -> None:
    assert cli.docker("run", "--rm", "busybox", *command, check=False).returncode == status


def test_an_unknown_image(cli: EngineProcess) -> None:
    done = cli.docker("run", "--rm", "nothing-like-it", check=False)
    assert done.returncode == 125
    assert b"Unable to find image 'nothing-like-it:latest' locally" in done.stderr


def test_the_life_of_a_container(cli: EngineProcess) -> None:
    container = cli.docker("run", "-d", "--name", "life", "busybox", "sh", "-c", "echo hello; sleep 60").stdout.strip()
    assert b"Up " in cli.docker("ps").stdout
    assert cli.docker("inspect", "-f", "{{.State.Running}}", "life").stdout == b"true\n"
    cli.docker("stop", "-t", "0", "life")
    assert cli.docker("wait", "life").stdout == b"137\n"
    assert cli.docker("logs", "life").stdout == b"hello\n"
    assert b"Exited (137)" in cli.docker("ps", "-a").stdout
    cli.docker("start", "life")
    cli.docker("kill", "life")
    assert cli.docker("rm", "life").stdout == b"life\n"
    assert len(container) == 64


def test_logs_follow_until_the_end(cli: EngineProcess) -> None:
    cli.docker("run", "-d", "--name", "talker", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
    assert cli.docker("logs", "-f", "talker").stdout == b"1\n2\n3\n"
    assert cli.docker("logs", "--tail", "2", "talker").stdout == b"2\n3\n"
    stamped = cli.docker("logs", "-t", "talker").stdout.splitlines()
    assert [line.split()[1] for line in stamped] == [b"1", b"2", b"3"]
    assert len(stamped[0].split()[0]) == len(b"2006-01-02T15:04:05.000000000Z")


def test_a_terminal(cli: EngineProcess) -> None:
    cli.docker("run", "-d", "-t", "--name", "terminal", "busybox", "tty")
    cli.docker("wait", "terminal")
    assert cli.docker("logs", "terminal").stdout == b"/dev/pts/0\r\n"


def test_events(cli: EngineProcess) -> None:
    with subprocess.Popen(
        ["docker", "events", "--filter", "type=container", "--format", "{{.Action}}"],
        stdout=subprocess.PIPE,
        env=cli.environment,
    ) as events:
        lines = cast(IO[bytes], events.stdout)
        seen: list[bytes] = []
        reading = threading.Thread(target=lambda: seen.extend(iter(lines.readline, b"destroy\n")))
        reading.start()
        while not seen:  # the CLI listens once it shows something
            cli.docker("run", "--rm", "busybox", "true")
            reading.join(0.2)
            if not reading.is_alive():
                break
        reading.join(10)
        events.terminate()
    assert seen[-1] in (b"die\n", b"start\n", b"attach\n", b"create\n")
    assert b"die\n" in seen


def test_stats(cli: EngineProcess) -> None:
    cli.docker("run", "-d", "-m", "64m", "--name", "busy", "busybox", "sleep", "60")
    row = json.loads(cli.docker("stats", "--no-stream", "--format", "json", "busy").stdout)
    assert row["MemUsage"].endswith("/ 64MiB")
    assert int(row["PIDs"]) == 1


def test_build(cli: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        'FROM busybox\nCOPY word /word\nRUN cat /word > /twice\nCMD ["cat", "/twice"]\n'
    )
    (tmp_path / "word").write_text("built\n")
    output = cli.docker("build", "-t", "built:1", str(tmp_path)).stdout
    assert b"Step 1/4 : FROM busybox" in output
    assert b"Successfully tagged built:1" in output
    assert b"built" in cli.docker("images").stdout
    assert cli.docker("run", "--rm", "built:1").stdout == b"built\n"
    assert b"Using cache" in cli.docker("build", "-t", "built:1", str(tmp_path)).stdout
    cli.docker("rmi", "built:1")


def test_a_build_that_fails(cli: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN exit 3\n")
    done = cli.docker("build", str(tmp_path), check=False)
    assert done.returncode == 3
    (tmp_path / "Dockerfile").write_text("FROM busybox\nNONSENSE x\n")
    done = cli.docker("build", str(tmp_path), check=False)
    assert done.returncode == 1
    assert b"line 2" in done.stderr


def test_what_is_not_supported_is_refused(cli: EngineProcess) -> None:
    done = cli.docker("run", "--log-driver", "syslog", "--rm", "busybox", "true", check=False)
    assert done.returncode == 125
    assert b"the log driver is not supported by this engine: 'syslog'" in done.stderr


def test_networks_and_volumes(cli: EngineProcess) -> None:
    assert cli.docker("network", "ls", "--format", "{{.Name}}").stdout.split() == [b"bridge", b"host", b"none"]
    cli.docker("volume", "create", "data")
    cli.docker("run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", "echo kept > /d/f")
    assert cli.docker("run", "--rm", "-v", "data:/d", "busybox", "cat", "/d/f").stdout == b"kept\n"
    assert b"data" in cli.docker("volume", "ls").stdout
    cli.docker("volume", "rm", "data")
