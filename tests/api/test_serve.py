"""The engine as a service: it says when it is ready and when it ends, and the unit that is shipped is sound."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "packaging/systemd/nbcontainers.service"
SECONDS = 40


@pytest.fixture
def place() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="nbe-", dir="/tmp"))
    yield place
    shutil.rmtree(place)


@pytest.mark.root
def test_a_service_manager_hears_of_its_begin_and_end(place: Path) -> None:
    run = place / "run"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place / "notify"))
        manager.settimeout(SECONDS)
        command = [sys.executable, "-m", "nbcontainers.api", "serve", "--root", str(place / "root"), "--run", str(run)]
        environment = {**os.environ, "NOTIFY_SOCKET": str(place / "notify")}
        with subprocess.Popen(command, env=environment) as engine:
            try:
                assert manager.recv(100) == b"READY=1"
                assert (run / "engine.sock").is_socket()
                engine.send_signal(signal.SIGTERM)
                assert manager.recv(100) == b"STOPPING=1"
                assert engine.wait(SECONDS) == 0
            finally:
                engine.kill()
    assert not (run / "engine.sock").exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze: apt install systemd")
def test_the_unit_is_sound() -> None:
    checked = subprocess.run(["systemd-analyze", "verify", UNIT], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    text = UNIT.read_text()
    assert "Type=notify" in text
    assert "KillMode=process" in text  # or systemd would end the containers, too
