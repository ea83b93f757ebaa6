"""The engine's process: ``python -m nbcontainers.api serve``, also ``nbcontainers serve``.

It tells whoever started it that it is ready, or why it is not, in one line on a descriptor (``--ready-fd``), as s6
does, and a service manager such as systemd by its socket (``$NOTIFY_SOCKET``). SIGTERM and SIGINT end it cleanly: the
socket goes first, the containers stay.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from nbcontainers import __version__, errors
from nbcontainers.paths import default_root, default_run, default_socket

EXIT_REFUSED = 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    run = options.run or default_run()
    host = options.host or f"unix://{default_socket(run)}"
    try:
        asyncio.run(_serve(options, Path(options.root or default_root()), Path(run), host))
    except (errors.Error, OSError) as error:
        _tell(options.ready_fd, str(error))
        print(f"nbcontainers serve: {error}", file=sys.stderr)
        return EXIT_REFUSED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nbcontainers", description="Run a container engine in the foreground.")
    parser.add_argument("--version", action="version", version=f"nbcontainers {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the Docker Engine API on a unix socket")
    serve.add_argument("--root", metavar="DIR", help=f"directory of images and containers ({default_root()})")
    serve.add_argument("--run", metavar="DIR", help=f"directory of this boot's sockets ({default_run()})")
    serve.add_argument("--host", metavar="unix://PATH", help="where to listen (engine.sock in the run directory)")
    serve.add_argument("--ready-fd", type=int, metavar="N", help="descriptor that gets one line: ready, or an error")
    serve.add_argument(
        "--config-file", type=Path, metavar="FILE", help="settings as JSON (/etc/nbcontainers/engine.json)"
    )
    serve.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST|NETWORK",
        help="registry that may speak plain HTTP, and whose certificate need not be good",
    )
    serve.add_argument(
        "--registry-mirror",
        action="append",
        default=[],
        metavar="URL",
        help="where Docker Hub's images are looked for first",
    )
    serve.add_argument(
        "--registry-certificates",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="where registries' certificates are, as DIR/HOST:PORT/ca.crt, in place of /etc/docker/certs.d "
        "and /etc/nbcontainers/certs.d",
    )
    return parser


def _tell(ready_fd: int | None, line: str) -> None:
    """Write one line to the descriptor of whoever waits for us, and close it."""
    if ready_fd is None:
        return
    with contextlib.suppress(OSError):
        os.write(ready_fd, (" ".join(line.split()) + "\n").encode())
        os.close(ready_fd)


def _notify(state: str) -> None:
    """Tell the service manager that has started us, if one has: ``READY=1``, ``STOPPING=1``.

    Source: sd_notify(3) § Notes.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect("\0" + address[1:] if address.startswith("@") else address)
        manager.send(state.encode())


async def _serve(options: argparse.Namespace, root: Path, run: Path, host: str) -> None:
    # Imported here, so that --help and a wrong option cost nothing.
    from nbcontainers.api.routes import routes
    from nbcontainers.api.routing import Router
    from nbcontainers.api.server import ApiServer, listen, socket_path
    from nbcontainers.engine.engine import Engine
    from nbcontainers.images.registry.settings import load

    path = socket_path(host)
    settings = load(
        options.config_file, options.insecure_registry, options.registry_mirror, options.registry_certificates
    )
    ended = _end_on_signals()
    engine = Engine(root, run, settings)
    await engine.start()
    try:
        server = ApiServer(Router(engine, routes()), listen(path))
        await server.start()
        gc.freeze()  # what was imported stays; the collector need not look at it again
        _tell(options.ready_fd, "ready")
        _notify("READY=1")
        try:
            await ended.wait()
        finally:
            _notify("STOPPING=1")
            await server.close()
    finally:
        await engine.close()


def _end_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    return ended
