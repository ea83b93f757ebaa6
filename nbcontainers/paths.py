"""Where an engine keeps its things, agreed between the engine and the faces that look for it.

An engine has two directories: ``root`` holds what must outlive a reboot (images, volumes, the database),
``run`` what belongs to this boot (the socket, the shims' sockets). Root's engine uses ``/var/lib`` and
``/run``; a user's engine the XDG base directories (XDG Base Directory Specification). ``$NBCONTAINERS_ROOT`` and
``$NBCONTAINERS_RUN`` put them elsewhere, for the engine that a face starts, too.
"""

import os


def default_root() -> str:
    """Return the directory of an engine's lasting state."""
    if given := os.environ.get("NBCONTAINERS_ROOT"):
        return given
    if os.geteuid() == 0:
        return "/var/lib/nbcontainers"
    data_home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data_home, "nbcontainers")


def default_run() -> str:
    """Return the directory of an engine's sockets and other state of this boot."""
    return os.environ.get("NBCONTAINERS_RUN") or shared_run()


def shared_run() -> str:
    """Return the directory of what all engines of this user share, wherever each has its own state."""
    if os.geteuid() == 0:
        return "/run/nbcontainers"
    runtime_directory = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/nbcontainers-{os.geteuid()}"
    return os.path.join(runtime_directory, "nbcontainers")


def default_socket(run: str | None = None) -> str:
    """Return the path of the engine's API socket below ``run``."""
    return os.path.join(run or default_run(), "engine.sock")
