"""A launcher with a control group of its own, and containers that are started with one call."""

import asyncio
import io
import shutil
import signal
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from nbcontainers.linux import cgroups, namespaces
from nbcontainers.runtime.client import ExitStatus, ShimConnection
from nbcontainers.runtime.defaults import default_spec
from nbcontainers.runtime.launching import Launcher
from nbcontainers.runtime.log import END, Reader
from nbcontainers.runtime.spec import Request, Rootfs, Shared, Spec
from tests.busybox import root_file_system

SECONDS = 60
PATH = "PATH=/usr/bin:/bin"


class Bench:
    """Starts containers below a directory, and keeps what it started to clean it up."""

    def __init__(self, directory: Path, image: Path, launcher: Launcher, cgroup_parent: str) -> None:
        self.directory = directory
        self.image = image
        self.launcher = launcher
        self.cgroup_parent = cgroup_parent
        self.connections: list[ShimConnection] = []
        self._count = 0

    def request(
        self, *args: str, tty: bool = False, open_stdin: bool = False, host: bool = False, network: str = "none"
    ) -> Request:
        self._count += 1
        own = self.directory / f"container{self._count}"
        for name in ("upper", "work"):
            (own / name).mkdir(parents=True)
        spec: Spec = default_spec(args=list(args), env=[PATH], hostname="bench")
        spec["process"]["terminal"] = tty
        spec["linux"]["cgroupsPath"] = f"{self.cgroup_parent}/container{self._count}"
        rootfs = Rootfs(
            lower=[] if host else [str(self.image)],
            upper=str(own / "upper"),
            work=str(own / "work"),
            host=[str(self.directory)] if host else None,
            volatile=True,
        )
        kind: Literal["none", "host", "namespace"] = network  # type: ignore[assignment]
        return Request(
            id=own.name, directory=str(own), spec=spec, rootfs=rootfs, tty=tty, openStdin=open_stdin,
            logMaxBytes=1 << 20, logMaxFiles=2, network=kind,
        )  # fmt: skip

    async def launch(self, request: Request, shared: dict[Shared, int] | None = None) -> ShimConnection:
        """Start a container; ``shared``: the kinds of namespaces that it shares, and with which process."""
        request["shared"] = list(shared or ())
        fds = [namespaces.open_namespace(kind, pid) for kind, pid in (shared or {}).items()]
        connection = await asyncio.wait_for(self.launcher.launch(request, shared_fds=fds), SECONDS)
        self.connections.append(connection)
        return connection

    async def run(self, request: Request, shared: dict[Shared, int] | None = None) -> tuple[ExitStatus, bytes]:
        """Run a container to its end; returns its status and all it has written."""
        connection = await self.launch(request, shared)
        status = await asyncio.wait_for(connection.wait(), SECONDS)
        assert status is not None
        return status, output(request)

    async def shell(self, script: str) -> tuple[int, str]:
        status, written = await self.run(self.request("sh", "-c", script))
        return status.code, written.decode()


def output(request: Request) -> bytes:
    reader = Reader(request["directory"])
    try:
        return b"".join(frame.data for frame in reader.frames() if frame.stream != END)
    finally:
        reader.close()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(scope="session")
def image(need: Callable[..., None]) -> Iterator[Path]:
    """The directory of an image with busybox."""
    need("root", "busybox")
    directory = Path(tempfile.mkdtemp(prefix="nbr-image-", dir="/tmp"))
    directory.chmod(0o755)
    with tarfile.open(fileobj=io.BytesIO(root_file_system())) as tar:
        tar.extractall(directory, filter="fully_trusted")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
async def bench(image: Path) -> AsyncIterator[Bench]:
    """A bench; afterwards its containers are killed, and their groups and files removed."""
    directory = Path(tempfile.mkdtemp(prefix="nbr-", dir="/tmp"))
    cgroup_parent = f"/nbcontainers/test-{directory.name}"
    launcher = Launcher(cgroup_parent)
    bench = Bench(directory, image, launcher, cgroup_parent)
    try:
        yield bench
    finally:
        for connection in bench.connections:
            connection.signal(signal.SIGKILL)
            await asyncio.wait_for(connection.wait(), SECONDS)
            connection.close()
        await launcher.close()
        await asyncio.to_thread(_remove_groups, cgroup_parent)
        shutil.rmtree(directory)


def _remove_groups(cgroup_parent: str) -> None:
    driver = cgroups.detect()
    for name in driver.children(cgroup_parent):
        _remove_groups(f"{cgroup_parent}/{name}")
    driver.open(cgroup_parent).remove()
