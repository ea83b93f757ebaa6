"""A Jupyter server in a process of its own, with this source tree's extensions and directories of its own."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.networks.wire import inside
from tests.waiting import until

TREE = Path(__file__).parent.parent
LABEXTENSION = TREE / "labextension" / "dist"
TOKEN = "a-token-of-tests"
START_SECONDS = 90  # it imports much, which takes long where many want the disk
STOP_SECONDS = 20


class JupyterProcess:
    """Runs ``jupyter server`` or ``jupyter lab``.

    Args:
        directory: Its own, for its settings, its state and its output.
        engine: The address of the engine that the server extension asks; None for what it chooses.
        network_fd: The network namespace that it lives in.
        environment: Variables besides.
    """

    def __init__(
        self, directory: Path, engine: str | None, network_fd: int, environment: Mapping[str, str] | None = None
    ) -> None:
        self.directory = directory
        self._network_fd = network_fd
        self._engine = engine
        self._variables = dict(environment or {})
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *application: str) -> None:
        """Start it and return when it listens."""
        self._link(TREE / "jupyter-config" / "nbcontainers.json", "jupyter_server_config.d/nbcontainers.json")
        if LABEXTENSION.exists():
            self._link(LABEXTENSION, "data/labextensions/nbcontainers")
        # JupyterLab would ask whether it may fetch its news.
        self.set("@jupyterlab/apputils-extension", "notification", fetchNews="false", checkForUpdates=False)
        command = [*within(self._network_fd), sys.executable, "-m", *application, "--no-browser", "--allow-root"]
        command += ["--ip=127.0.0.1", f"--port={inside(self._network_fd, _free_port)}"]
        if self._engine is not None:
            command.append(f"--ContainersServer.engine={self._engine}")
        with (self.directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                command,
                pass_fds=(self._network_fd,),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                env=self._environment(),
            )
        until(self._listens, pause_seconds=0.05, seconds=START_SECONDS)

    def set(self, package: str, plugin: str, **values: object) -> None:
        """Write a plugin's settings, as the user's; JupyterLab's pages read them when they are loaded."""
        file = self.directory / "settings" / package / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))

    def stop(self) -> None:
        """End it, without the question that an interrupt asks."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
            self._process = None

    @property
    def output(self) -> str:
        """What it has printed."""
        return (self.directory / "output").read_text(errors="replace")

    def address(self) -> str:
        """Return the address of JupyterLab, as nobody has opened it before."""
        return f"http://127.0.0.1:{self.port}/lab?reset&token={TOKEN}"

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = TOKEN,
        headers: dict[str, str] | None = None,
        body: object = None,
    ) -> tuple[int, Any]:
        """Make one request, with a body of JSON; return its status and its JSON, None where there is none."""
        sent = None if body is None else json.dumps(body)
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, path, body=sent, headers={**(headers or {}), **_credentials(token)})
            response = connection.getresponse()
            text = response.read()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, None

    @contextlib.contextmanager
    def stream(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """Make a request whose answer is read as it comes."""
        with contextlib.closing(self.connection()) as connection:
            connection.request("GET", path, headers=_credentials(TOKEN))
            with connection.getresponse() as response:
                yield response

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection to it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.sock = self._connect()
        return connection

    def _connect(self) -> socket.socket:
        return inside(self._network_fd, lambda: socket.create_connection(("127.0.0.1", self.port), timeout=30))

    def open_sockets(self) -> int:
        """Return how many sockets it has open."""
        assert self._process is not None
        count = 0
        for fd in Path(f"/proc/{self._process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += os.readlink(fd).startswith("socket:")
        return count

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.output
        information = self.directory / "runtime" / f"jpserver-{self._process.pid}.json"
        with contextlib.suppress(OSError, ValueError):
            self.port = json.loads(information.read_text())["port"]
            # It writes that file a moment before it listens.
            self._connect().close()
            return True
        return False

    def _link(self, source: Path, name: str) -> None:
        link = self.directory / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source)

    def _environment(self) -> dict[str, str]:
        places = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_CONFIG_PATH": "",
            "JUPYTER_DATA_DIR": "own-data",
            "JUPYTER_PATH": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "NBCONTAINERS"))}
        own = {name: str(self.directory / place) for name, place in places.items()}
        path = os.pathsep.join(filter(None, [str(TREE), os.environ.get("PYTHONPATH", "")]))
        return {**kept, **own, "JUPYTER_TOKEN": TOKEN, "PYTHONPATH": path, **self._variables}


def _credentials(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"token {token}"}


def _free_port() -> int:
    """Return a port that was free just now; Jupyter takes another one if it no longer is, and says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def within(network_fd: int) -> list[str]:
    """Return a command that executes the one that follows it in a network namespace, whose descriptor it is given."""
    return ["nsenter", f"--net=/proc/self/fd/{network_fd}", "--"]


@contextlib.contextmanager
def running_jupyter(
    engine: str | None, *application: str, network_fd: int, environment: Mapping[str, str] | None = None
) -> Iterator[JupyterProcess]:
    """Run a Jupyter application: ``jupyter_server``, or ``jupyterlab``, with options."""
    directory = Path(tempfile.mkdtemp(prefix="nbj-", dir="/tmp"))
    jupyter = JupyterProcess(directory, engine, network_fd, environment)
    try:
        jupyter.start(*application)
        yield jupyter
    finally:
        jupyter.stop()
        shutil.rmtree(directory, ignore_errors=True)
