"""Two JupyterLabs with the extension: one on the tests' engine, one on the user's own, which comes and goes."""

import os
import select
import signal
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbcontainers.linux import namespaces
from tests.engine_process import STOP_SECONDS, EngineProcess, leftovers
from tests.jupyter_process import JupyterProcess, running_jupyter
from tests.networks.wire import new_namespace


@pytest.fixture(scope="session")
def loopback_fd(need: Callable[..., None]) -> Iterator[int]:
    """A network namespace for Jupyter and its browser.

    Chromium drops its requests whenever an interface comes or goes, as containers' do; JupyterLab does not repeat them.
    """
    need("root")
    home_fd = namespaces.open_namespace("net", "thread-self")
    try:
        loopback_fd = new_namespace(home_fd)
    finally:
        os.close(home_fd)
    yield loopback_fd
    os.close(loopback_fd)


@pytest.fixture(scope="session")
def jupyter(faces_engine: EngineProcess, loopback_fd: int) -> Iterator[JupyterProcess]:
    """JupyterLab with the extension, on the tests' engine, and beside it an extension that asks nobody's name."""
    extensions = "{'nbcontainers.server': True, 'tests.server.unprotected': True}"
    options = [f"--ServerApp.jpserver_extensions={extensions}", "--expose-app-in-browser"]
    with running_jupyter(faces_engine.url, "jupyterlab", *options, network_fd=loopback_fd) as running:
        yield running
        assert "Traceback" not in running.output


class OwnEngine:
    """The engine that the faces start, in directories of the tests."""

    def __init__(self, directory: Path) -> None:
        self._process = EngineProcess(directory)
        self.socket = self._process.socket
        self.environment = {
            "NBCONTAINERS_ROOT": str(self._process.root),
            "NBCONTAINERS_RUN": str(self._process.run),
            "NBCONTAINERS_HOST": "",
        }

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, if it runs, or remove the socket that a killed one has left."""
        if (pid := self.pid()) is None:
            self.socket.unlink(missing_ok=True)
            return
        # Who has started it is its parent, and may not have waited for it: it need not be gone to have ended.
        pidfd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(pidfd, number)
            assert select.select([pidfd], [], [], STOP_SECONDS)[0], "the engine does not end"
        finally:
            os.close(pidfd)

    def pid(self) -> int | None:
        """Return the process that listens on the socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.socket))
            except OSError:
                return None
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def left(self) -> list[str]:
        """Return what it has left on the machine."""
        return leftovers(self._process)


@pytest.fixture(scope="session")
def own_jupyter(loopback_fd: int) -> Iterator[tuple[JupyterProcess, OwnEngine]]:
    with tempfile.TemporaryDirectory(prefix="nbo-", dir="/tmp") as directory:
        own = OwnEngine(Path(directory))
        with running_jupyter(None, "jupyterlab", network_fd=loopback_fd, environment=own.environment) as running:
            yield running, own
            # What an engine that was killed has left, the next one clears away.
            assert running.request("POST", "/nbcontainers/engine")[0] == 204
            own.end()
            assert own.left() == []


@pytest.fixture
def own(own_jupyter: tuple[JupyterProcess, OwnEngine]) -> Iterator[OwnEngine]:
    """That engine: it does not run when a test begins, and none does after it."""
    _, own = own_jupyter
    yield own
    own.end()


@pytest.fixture
def on_own(own_jupyter: tuple[JupyterProcess, OwnEngine]) -> JupyterProcess:
    """The Jupyter server that asks it."""
    return own_jupyter[0]
