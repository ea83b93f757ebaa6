"""Images for the rows of pulling and pushing, in a registry that runs: a Debian root, and one of ten layers."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.images.registry.servers import running_registry

LAYERS = 10
_FILES_OF_A_LAYER = 200
_PACKAGES = "python3,git"
_CACHE = Path.home() / ".cache" / "nbcontainers"


def debian() -> Path:
    """Return a root file system of more than 10,000 files as an archive; it is made once, and kept."""
    archive = _CACHE / f"bookworm-{_PACKAGES.replace(',', '-')}.tar"
    if not archive.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        made = archive.with_suffix(".tmp.tar")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(made)]
        subprocess.run(command, check=True)
        made.rename(archive)
    return archive


def _layer(number: int) -> bytes:
    """Return a layer of some hundred files, about 10 MB, half of which compresses well."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for place in range(_FILES_OF_A_LAYER):
            data = os.urandom(25_000) + b"text of no great interest\n" * 1_000
            info = tarfile.TarInfo(f"layer-{number}/{place % 10}/{place}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _write_image(directory: Path, layers: list[bytes | Path]) -> Path:
    """Write a docker-archive of these layers."""
    archive, digests = directory / "image.tar", list[str]()
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    with tarfile.open(archive, "w") as tar:
        for name, layer in zip(names, layers, strict=True):
            path = layer if isinstance(layer, Path) else directory / "layer.tar"
            if isinstance(layer, bytes):
                path.write_bytes(layer)
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
            tar.add(path, name)
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{one}" for one in digests]}
        for name, document in (
            ("config.json", {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}),
            ("manifest.json", [{"Config": "config.json", "RepoTags": None, "Layers": names}]),
        ):
            data = json.dumps(document).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive


@contextlib.contextmanager
def filled_registry() -> Iterator[str]:
    """Run a registry with the images ``debian`` and ``layers``; yields its address."""
    with running_registry() as server, tempfile.TemporaryDirectory(prefix="bench-") as name:
        for image, layers in (("debian", [debian()]), ("layers", [_layer(number) for number in range(LAYERS)])):
            archive = _write_image(Path(name), [*layers])
            command = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]
            subprocess.run([*command, f"docker-archive:{archive}", f"docker://{server.address}/{image}:1"], check=True)
        yield server.address
