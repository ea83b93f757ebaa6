"""One engine for all tests of volumes; what a test makes, it removes."""

import io
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from tests.busybox import root_file_system
from tests.engine_process import EngineProcess, running_engine

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


def with_data() -> bytes:
    """Return busybox with a directory /data that has everything a copy may lose."""
    buffer = io.BytesIO(root_file_system())
    with tarfile.open(fileobj=buffer, mode="a", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, kind: bytes, content: bytes = b"", **facts: Any) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content)
            for fact, value in facts.items():
                setattr(info, fact, value)
            tar.addfile(info, io.BytesIO(content))

        add("data", tarfile.DIRTYPE, mode=0o750, uid=70, gid=71)
        add("data/file", tarfile.REGTYPE, b"of the image", mode=0o640, uid=70)
        add("data/hard", tarfile.LNKTYPE, linkname="data/file")
        add("data/soft", tarfile.SYMTYPE, linkname="/etc/passwd")
        add("data/pipe", tarfile.FIFOTYPE, mode=0o600)
        add("data/null", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3)
        xattr = {"SCHILY.xattr.security.capability": CAPABILITY.decode("utf-8", "surrogateescape")}
        add("data/capable", tarfile.REGTYPE, b"x", mode=0o755, uid=5, pax_headers=xattr)
        add("escape", tarfile.SYMTYPE, linkname="/../../../../etc")
    return buffer.getvalue()


@pytest.fixture(scope="package")
def engine(need: Callable[..., None]) -> Iterator[EngineProcess]:
    """An engine with the image busybox, which has /data, and data, in which that is a volume."""
    need("root", "busybox")
    with running_engine() as running:
        running.client.api.import_image_from_data(with_data(), repository="data", changes=["VOLUME /data"])
        running.client.api.import_image_from_data(with_data(), repository="busybox")
        yield running


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[docker.DockerClient]:
    yield engine.client
    engine.remove_everything()
    for volume in engine.client.volumes.list():
        volume.remove()
