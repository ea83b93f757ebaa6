"""The image ``debian:12``, made on this machine from Debian's packages: nothing comes from a registry of images.

``mmdebstrap(1)`` installs Debian's smallest set of packages into a directory and packs it. The archive is kept in the
user's cache, so that it is made once per machine; an engine imports it in seconds. Packages come from where this
machine's own ``apt`` has them, and containers of the image install theirs from there too.

Example:
    >>> from nbcontainers.lessons import debian
    >>> debian.provide()
    'debian:12'
"""

import fcntl
import hashlib
import os
import subprocess
from contextlib import closing
from pathlib import Path

import docker
from docker.errors import ImageNotFound
from platformdirs import user_cache_path

from nbcontainers.client import connect
from nbcontainers.errors import Unavailable

TAG = "debian:12"
_SUITE = "bookworm"
_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d/debian.sources"))
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")


def provide(client: docker.DockerClient | None = None) -> str:
    """See to it that an engine has the image, and return the image's name.

    Args:
        client: Of the engine; None for the one that the cells of a notebook use.

    Raises:
        Unavailable: There is no mmdebstrap, or it fails.
    """
    if client is None:
        with closing(connect()) as own:
            return provide(own)
    try:
        client.images.get(TAG)
    except ImageNotFound:
        repository, _, tag = TAG.partition(":")
        client.api.import_image_from_file(str(archive()), repository, tag, changes=['CMD ["bash"]'])
    return TAG


def archive() -> Path:
    """Return the path of Debian's root file system as a tar archive; it takes half a minute when there is none yet.

    Raises:
        Unavailable: There is no mmdebstrap, or it fails.
    """
    command = _command()
    key = hashlib.sha256("\n".join(command).encode())
    for source in _sources():
        key.update(source.read_bytes())
    path = user_cache_path("nbcontainers", ensure_exists=True) / f"{_SUITE}-{key.hexdigest()[:12]}.tar"
    with (path.parent / "debian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _make(command, path)
    return path


def _make(command: list[str], path: Path) -> None:
    partial = path.with_suffix(".partial.tar")
    try:
        done = subprocess.run(
            [*command, _SUITE, str(partial), *map(str, _sources())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise Unavailable("a root file system of Debian", f"mmdebstrap: {reason[0]}", "can apt-get update do it?")
        os.rename(partial, path)
    except FileNotFoundError as error:
        raise Unavailable("a root file system of Debian", str(error), "apt install mmdebstrap") from error
    finally:
        partial.unlink(missing_ok=True)


def _command() -> list[str]:
    """Return how mmdebstrap is called, up to the suite. The options of dpkg and apt stay in the image."""
    left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    return [
        "mmdebstrap",
        "--variant=minbase",
        *left_out,
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--dpkgopt=force-unsafe-io",  # what an interrupted dpkg leaves is thrown away, as a layer is
        '--aptopt=Acquire::Languages "none"',
    ]


def _sources() -> list[Path]:
    """Return where this machine's packages come from, if that is the same Debian; else mmdebstrap knows a place."""
    return [path for path in _SOURCES if path.exists() and _SUITE in path.read_text()]
