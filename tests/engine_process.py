"""An engine in a process of its own, in directories of its own, for tests that talk to it from outside."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import docker

from nbcontainers.images.standby import MOST_READY
from tests.leaks import identity

READY_SECONDS = 30
STOP_SECONDS = 20


class EngineProcess:
    """Starts, kills and restarts ``python -m nbcontainers.api serve``; ``client`` is docker-py's.

    Args:
        directory: A directory of its own, short, for sockets' paths are.
        options: More words of its command line.
        log: Where what it says goes, in place of the tests' own output.
    """

    def __init__(self, directory: Path, options: Sequence[str] = (), log: Path | None = None) -> None:
        self.options = options
        self.log = log
        self.root = directory / "root"
        self.run = directory / "run"
        self.socket = self.run / "engine.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None
        self.client: docker.DockerClient

    def start(self) -> str:
        """Start the engine and return the line it says: ``ready``, or why it does not."""
        read_fd, write_fd = os.pipe()
        command = [sys.executable, "-m", "nbcontainers.api", "serve", "--root", str(self.root), "--run", str(self.run)]
        command += ["--ready-fd", str(write_fd), *self.options]
        with open(self.log, "ab") if self.log is not None else contextlib.nullcontext() as log:
            self.process = subprocess.Popen(command, pass_fds=(write_fd,), stderr=log)
        os.close(write_fd)
        with os.fdopen(read_fd) as ready:
            line = ready.readline().strip()
        if line == "ready":
            self.client = docker.DockerClient(base_url=self.url, timeout=60)
        else:
            self.process.wait(STOP_SECONDS)
        return line

    def kill(self) -> None:
        """Kill the engine without any chance to clean up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End the engine as a service manager does; return its exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        with contextlib.suppress(AttributeError):
            self.client.close()
        self.process.send_signal(number)
        status = self.process.wait(STOP_SECONDS)
        self.process = None
        return status

    @property
    def environment(self) -> dict[str, str]:
        """What a docker CLI needs to find this engine."""
        return {**os.environ, "DOCKER_HOST": self.url, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": str(self.run)}

    def docker(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> "subprocess.CompletedProcess[bytes]":
        """Run the docker CLI against this engine."""
        return subprocess.run(
            ["docker", *arguments], input=stdin, capture_output=True, env=self.environment, check=check, timeout=60
        )

    def first_lines(self, container: str, count: int) -> list[bytes]:
        """Follow a container's log until so many lines have come."""
        command = ["docker", "logs", "--follow", container]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=self.environment) as following:
            assert following.stdout is not None
            lines = [following.stdout.readline() for _ in range(count)]
            following.terminate()
        return lines

    def held(self) -> Counter[str]:
        """Return how many descriptors of each kind the engine has, but those of clients and of what lies ready.

        A thread may have something open just now: compare with ``<=``.
        """
        assert self.process is not None
        kinds: Counter[str] = Counter()
        for fd in os.listdir(f"/proc/{self.process.pid}/fd"):
            with contextlib.suppress(OSError):
                kind = os.readlink(f"/proc/{self.process.pid}/fd/{fd}").split(":")[0]
                kinds[kind] += kind not in ("socket", "net")
        kinds["/"] -= MOST_READY  # detached mounts
        return +kinds

    def remove_everything(self) -> None:
        """Remove all containers, whatever their state; starts the engine if it is down."""
        if self.process is None:
            assert self.start() == "ready"
        for container in self.client.containers.list(all=True, ignore_removed=True):
            with contextlib.suppress(docker.errors.NotFound):
                container.remove(force=True, v=True)


def leftovers(engine: EngineProcess) -> list[str]:
    """Return what an ended engine without containers has left on the machine: it should be nothing."""
    mark = identity(engine.root)
    found = [line.split(":")[1].strip() for line in _output("ip", "-o", "link") if f"nbc-{mark[:6]}" in line]
    found += [line for line in _output("nft", "list", "tables") if mark in line]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(engine.root) in line]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/nbcontainers/{mark}")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"nbcontainers/{mark}")]
    found += [str(path) for path in (engine.root / "containers").glob("*")]
    return found


def _output(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


@contextlib.contextmanager
def running_engine(options: Sequence[str] = (), log: Path | None = None) -> Iterator[EngineProcess]:
    """Run an engine, and assert at the end that nothing of it is left."""
    directory = Path(tempfile.mkdtemp(prefix="nbe-", dir="/tmp"))
    engine = EngineProcess(directory, options, log)
    try:
        assert engine.start() == "ready"
        yield engine
        engine.remove_everything()
        assert engine.stop() == 0
        left = leftovers(engine)
        assert left == [], left
    finally:
        if engine.process is not None:
            with contextlib.suppress(Exception):
                engine.remove_everything()
            engine.kill()
        shutil.rmtree(directory, ignore_errors=True)
