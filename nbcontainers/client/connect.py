"""Finding an engine, and starting one when there is none.

The order is: an explicit url; ``$NBCONTAINERS_HOST``; the engine of this user that runs already; a new one, started in
the background, which outlives the process that has started it. Docker's own daemon is used when asked for by name.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from typing import cast

import docker.errors
import requests
import urllib3.exceptions
from docker import DockerClient

from nbcontainers.errors import Unavailable
from nbcontainers.paths import default_run, default_socket

HOST_VARIABLE = "NBCONTAINERS_HOST"
DOCKER = "docker"
DOCKERS_SOCKET = "npipe:////./pipe/docker_engine" if os.name == "nt" else "unix:///var/run/docker.sock"
LOST = (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionResetError, ConnectionRefusedError)
"""What is raised, beside docker-py's own errors, when an engine ends while it is asked. Its subclasses come first."""
_SCHEMES = ("unix://", "tcp://", "http://", "https://", "npipe://", "ssh://")
_TIMEOUT_SECONDS = 3600
_HAS_OWN = hasattr(os, "geteuid")  # a user that engines and their directories can belong to: not on Windows


class Client(DockerClient):  # type: ignore[misc]
    """docker-py's client, which knows the address it was made for."""

    address: str = DOCKER

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def another(self) -> "Client":
        """Return a second client of the same engine, with connections of its own.

        A connection that was upgraded to a raw stream (attach) must not share a pool with others: docker-py's HTTP
        library takes it for idle, and would send the next request into the container's standard input.
        """
        if self.address == DOCKER:
            return cast("Client", Client.from_env(timeout=_TIMEOUT_SECONDS, version=self.api._version))
        client = Client(base_url=self.address, version=self.api._version, timeout=_TIMEOUT_SECONDS)
        client.address = self.address
        return client


def own_address() -> str:
    """Return the address of this user's own engine, whether or not it runs.

    Raises:
        Unavailable: This system has none.
    """
    if not _HAS_OWN:
        raise _unavailable_here()
    return f"unix://{default_socket()}"


def address(url: str | None = None) -> str:
    """Return the address that ``connect`` would ask."""
    return url or os.environ.get(HOST_VARIABLE) or own_address()


def connect(url: str | None = None, *, start: bool = True, timeout_seconds: float = _TIMEOUT_SECONDS) -> Client:
    """Return a client of an engine.

    Args:
        url: ``unix:///path`` or ``tcp://host:port``; ``docker`` for the daemon that ``$DOCKER_HOST`` or Docker's
            current context names; None to find or start this user's engine.
        start: Whether this user's engine is started when it does not run.
        timeout_seconds: How long the client waits for each answer.

    Raises:
        Unavailable: No engine answers, or none can be started; the message says why.
    """
    where = address(url)
    if where == DOCKER:
        return _open_docker(timeout_seconds)
    try:
        return _open(where, timeout_seconds)
    except Unavailable:
        if not start or not _HAS_OWN or where != own_address():
            raise
        start_engine()
        return _open(where, timeout_seconds)


def _open_docker(timeout_seconds: float) -> Client:
    where = os.environ.get("DOCKER_HOST") or DOCKERS_SOCKET
    client: Client | None = None
    try:
        _knock(where)
        client = cast("Client", Client.from_env(timeout=timeout_seconds))
        client.ping()
    except (docker.errors.DockerException, urllib3.exceptions.HTTPError, OSError) as error:
        if client is not None:
            client.close()
        remedy = "start it, see to it that you may use its socket, or leave it: context use default"
        raise Unavailable("Docker", f"'{where}' does not answer ({_first_cause(error)})", remedy) from error
    return client


def _open(url: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> Client:
    if not url.startswith(_SCHEMES):
        remedy = "give unix:///path, tcp://host:port, or docker"
        raise Unavailable("the engine", f"'{url}' is not the address of one", remedy)
    client: Client | None = None
    try:
        _knock(url)
        client = Client(base_url=url, version="auto", timeout=timeout_seconds)
        client.address = url
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        if client is not None:
            client.close()
        reason = f"'{url}' does not answer ({_first_cause(error)})"
        raise Unavailable("the engine", reason, _remedy(url, error)) from error
    return client


def _remedy(url: str, error: BaseException) -> str:
    if isinstance(error, PermissionError):
        return "its socket is another user's: ask as that user, such as with sudo"
    if _HAS_OWN and url == own_address():
        return "start it: nbcontainers serve"
    return "start it where it is, or use another: context use default"


def _knock(url: str) -> None:
    """Connect once where there is a socket's path: docker-py, refused, leaves its socket to the garbage collector.

    Raises:
        OSError: Nobody listens.
    """
    if url.startswith("unix://") and hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(url.removeprefix("unix://"))


def lost(url: str, error: Exception) -> Unavailable:
    """Return one sentence for an engine that has ended, or was killed, while it was asked."""
    reason = f"'{url}' broke off ({_first_cause(error)})"
    return Unavailable("the engine", reason, "ask again, or start it: nbcontainers serve; its containers go on")


def _first_cause(error: BaseException) -> str:
    """Return what the system said, which the libraries in between have wrapped: ``No such file or directory``."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error)


def _unavailable_here() -> Unavailable:
    remedy = f"name a Docker's socket, or set {HOST_VARIABLE}={DOCKER}"
    return Unavailable("the engine", f"it needs Linux, and this is {sys.platform}", remedy)


def start_engine() -> None:
    """Start this user's engine in the background, and return when it answers; a running one is left as it is.

    Raises:
        Unavailable: It could not start; the message is its own.
    """
    if sys.platform != "linux":
        raise _unavailable_here()
    import fcntl

    run = default_run()
    os.makedirs(run, mode=0o700, exist_ok=True)
    # Two notebooks may start at the same moment: one starts the engine, the other finds it running.
    lock_fd = os.open(os.path.join(run, "start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        try:
            _open(f"unix://{default_socket()}").close()
        except Unavailable:
            _spawn(run)
    finally:
        os.close(lock_fd)


def _spawn(run: str) -> None:
    """Start an engine detached from this process, and wait for its first word."""
    read_fd, write_fd = os.pipe()
    with open(os.path.join(run, "engine.log"), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "nbcontainers.api", "serve", "--ready-fd", str(write_fd)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=(write_fd,),
            start_new_session=True,
        )
    os.close(write_fd)
    with os.fdopen(read_fd) as ready:
        said = ready.readline().strip()
    if said != "ready":
        process.wait()
        said = said.removeprefix("the engine is not available: ")
        raise Unavailable("the engine", said or f"it ended at once, see '{log.name}'", "run: nbcontainers doctor")
    # The engine is meant to outlive us, so nobody waits for its end; if it ends before us all the same, a thread does.
    process.returncode = 0
    threading.Thread(target=_reap, args=(process.pid,), name="nbcontainers-engine", daemon=True).start()


def _reap(pid: int) -> None:
    """Take the exit status of a child when it has one, so that no zombie is left of it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
