"""A dockerd to compare with, which leaves nothing behind: directories, a socket and a bridge of its own."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from nbcontainers.linux import mounts

START_SECONDS, STOP_SECONDS = 30, 30


@contextlib.contextmanager
def private_dockerd() -> Iterator[str]:
    """Start a dockerd with directories, a socket and a bridge of its own; yields its url."""
    bridge = f"nbcb{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="bench-") as name, _bridge(bridge):
        place = Path(name)
        options = {
            "data-root": place / "data",
            "exec-root": place / "exec",
            "pidfile": place / "pid",
            "host": f"unix://{place}/docker.sock",
            "bridge": bridge,
            "iptables": "false",
        }
        command = ["dockerd", *(f"--{option}={value}" for option, value in options.items())]
        with (place / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as daemon:
            try:
                _wait_for(place / "docker.sock", daemon)
                yield f"unix://{place}/docker.sock"
            finally:
                daemon.terminate()
                daemon.wait(STOP_SECONDS)
                unmount_below(place)


@contextlib.contextmanager
def _bridge(name: str) -> Iterator[None]:
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", f"172.29.{os.getpid() % 256}.1/24", "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield
    finally:
        subprocess.run(["ip", "link", "delete", name], check=True)


def _wait_for(path: Path, daemon: "subprocess.Popen[bytes]") -> None:
    """Wait until somebody listens: a request waits for the rest."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(str(path))
            return
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"dockerd did not start: {(path.parent / 'log').read_text()[-2000:]}")
        time.sleep(0.1)


def unmount_below(directory: Path) -> None:
    """Unmount all that is mounted below a directory: dockerd leaves its handle of the host's network namespace.

    Source: proc_pid_mountinfo(5), field 5; a space in it stands in octal.
    """
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].replace("\\040", " ") for line in lines]
    for point in reversed(points):
        if Path(point).is_relative_to(directory):
            mounts.umount2(point, mounts.MNT_DETACH)
