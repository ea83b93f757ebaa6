"""The socket: one unix socket for its owner alone, and the HTTP server behind it."""

import asyncio
import contextlib
import os
import socket
import stat

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api.hijack import Server
from nbcontainers.api.routing import Router

BACKLOG = 512
KEEP_ALIVE_SECONDS = 3600.0  # docker-py keeps connections and does not repeat a POST on one that was closed meanwhile


def socket_path(host: str) -> str:
    """Return the path in ``unix://PATH``.

    Raises:
        errors.InvalidArgument: The address is of another kind, or too long for ``unix(7)``.
    """
    scheme, separator, path = host.partition("://")
    if not separator or scheme != "unix" or not path.startswith("/"):
        raise errors.InvalidArgument(f"invalid host '{host}': unix://PATH with an absolute path is wanted")
    if len(os.fsencode(path)) > 107:
        raise errors.InvalidArgument(f"the socket's path '{path}' is too long: 107 bytes at most, see --host and --run")
    return path


def listen(path: str) -> socket.socket:
    """Return a listening socket at ``path`` that only its owner may connect to.

    A socket file that a killed engine left is replaced; one that answers is another engine's.

    Raises:
        errors.Conflict: Another engine answers there, or the path is no socket.

    Source: unix(7) § Pathname socket ownership and permissions.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise errors.Conflict(f"'{path}' exists and is not a socket: remove it, or give another --host")
        if _answers(path):
            raise errors.Conflict(f"another engine answers on '{path}': stop it, or give another --host")
        os.unlink(path)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)  # the file must never be there with a wider mode
    try:
        listening.bind(path)
    except OSError as error:
        listening.close()
        raise errors.Unavailable("the socket", f"'{path}': {error.strerror}", "give another --host") from error
    finally:
        os.umask(before)
    listening.listen(BACKLOG)
    return listening


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(path)
        except (ConnectionError, TimeoutError):
            return False
    return True


class ApiServer:
    """Serves a router on a listening socket until it is closed.

    Args:
        router: Answers the requests.
        listening: From ``listen``.
    """

    def __init__(self, router: Router, listening: socket.socket) -> None:
        self._path: str = listening.getsockname()
        self._listening = listening
        self._router = router

    async def start(self) -> None:
        """Accept connections from now on."""
        self._server = Server(
            self._router,
            handler_cancellation=True,  # a stream ends when its client goes away
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=0,
        )
        self._runner = web.ServerRunner(self._server, handle_signals=False)
        await self._runner.setup()
        await web.SockSite(self._runner, self._listening, backlog=BACKLOG).start()

    async def close(self) -> None:
        """Stop accepting, end all streams, and remove the socket's file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        for site in list(self._runner.sites):
            await site.stop()
        await asyncio.wait_for(self._server.shutdown(1.0), 5)
        await self._runner.cleanup()
