"""An engine whose disk is full: it says so, nothing is half done, what runs goes on; with room all is well again."""

import asyncio
import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from nbcontainers.images.registry import Registries, Settings
from nbcontainers.linux import mounts
from tests.busybox import root_file_system
from tests.engine_process import EngineProcess, leftovers
from tests.images.registry.contents import Made, archive, publish
from tests.images.registry.servers import RegistryServer
from tests.waiting import until

pytestmark = [pytest.mark.root]

DISK_BYTES = 24 << 20
TICKER = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo $i; echo $i >/count; sleep 0.05; done"]


class SmallDisk:
    """An engine on a file system of its own, which can be filled up and freed."""

    def __init__(self, engine: EngineProcess, mountpoint: Path) -> None:
        self.engine = engine
        self.mountpoint = mountpoint

    def fill(self) -> None:
        """Leave not a byte."""
        for piece_bytes in (1 << 16, 1 << 12, 1):
            with open(self.mountpoint / "filling", "ab", buffering=0) as file:
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(piece_bytes))

    def free(self) -> None:
        (self.mountpoint / "filling").unlink()

    @contextlib.contextmanager
    def refused(self) -> Iterator[None]:
        """Expect Docker's status for a full disk, and a sentence that names the place."""
        with pytest.raises(docker.errors.APIError) as caught:
            yield
        assert caught.value.response.status_code == 500
        assert caught.value.explanation == (
            f"no space left on device: the file system of '{self.engine.root}' is full; free some space there"
        )


@pytest.fixture
def disk(need: Callable[..., None]) -> Iterator[SmallDisk]:
    need("root", "busybox")
    directory = Path(tempfile.mkdtemp(prefix="nbe-", dir="/tmp"))
    mountpoint = directory / "disk"
    mountpoint.mkdir()
    mounts.mount("tmpfs", str(mountpoint), "tmpfs", 0, f"size={DISK_BYTES}")
    engine = EngineProcess(directory)
    engine.root = mountpoint / "root"
    try:
        assert engine.start() == "ready"
        engine.client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
        yield SmallDisk(engine, mountpoint)
        engine.remove_everything()
        assert engine.stop() == 0
        assert leftovers(engine) == []
    finally:
        if engine.process is not None:
            (mountpoint / "filling").unlink(missing_ok=True)
            with contextlib.suppress(Exception):
                engine.remove_everything()
            engine.kill()
        mounts.umount2(str(mountpoint), mounts.MNT_DETACH)
        shutil.rmtree(directory)


def _facts(engine: EngineProcess) -> list[tuple[str, str]]:
    return sorted((one.name, one.status) for one in engine.client.containers.list(all=True))


def _images(engine: EngineProcess) -> list[str]:
    return sorted(tag for image in engine.client.images.list() for tag in image.tags)


def test_every_change_is_refused_by_name_and_nothing_is_half_done(disk: SmallDisk) -> None:
    engine, client = disk.engine, disk.engine.client
    made = client.containers.create("busybox", "true", name="made")
    facts, images = _facts(engine), _images(engine)
    disk.fill()
    with disk.refused():
        client.containers.create("busybox", "true", name="new")
    with disk.refused():
        made.start()
    with disk.refused():
        client.api.import_image_from_data(root_file_system(), repository="second", tag="latest")
    with disk.refused():
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN true\n"))
    with disk.refused():
        client.images.get("busybox").tag("other:1")
    with disk.refused():
        made.rename("renamed")
    with disk.refused():
        client.volumes.create("volume")
    assert (_facts(engine), _images(engine), client.volumes.list()) == (facts, images, [])
    disk.free()
    made.start()
    assert made.wait()["StatusCode"] == 0
    assert client.containers.run("busybox", ["echo", "again"], remove=True, name="new") == b"again\n"
    client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN true\n"), tag="second:latest")
    client.volumes.create("volume").remove()


def test_transfers_are_refused_in_the_same_words(disk: SmallDisk, registry: RegistryServer) -> None:
    api, made = disk.engine.client.api, Made([archive(large=os.urandom(1 << 20))])
    name = f"{registry.address}/transfers"
    asyncio.run(_publish(registry.address, made))
    api.tag("busybox", f"{name}/mine", "1")
    disk.fill()
    words = f"no space left on device: the file system of '{disk.engine.root}' is full; free some space there"
    pulled = list(api.pull(name, "latest", stream=True, decode=True))[-1]
    assert pulled == {"error": words, "errorDetail": {"message": words}}
    assert list(api.push(f"{name}/mine", "1", stream=True, decode=True))[-1] == pulled
    disk.free()
    assert disk.engine.client.images.pull(name).id == made.image_id


async def _publish(registry: str, made: Made) -> None:
    registries = Registries(Settings())
    await publish(registries.repository(registry, "transfers", push=True), made)
    await registries.close()


def test_a_container_whose_start_cannot_be_written_down_does_not_run(disk: SmallDisk) -> None:
    engine = disk.engine
    made = engine.client.containers.create("busybox", ["sleep", "60"], name="made")
    disk.fill()
    with disk.refused():
        made.start()
    made.reload()
    assert (made.status, made.attrs["State"]["Pid"]) == ("created", 0)
    engine.kill()  # whatever ran now would be nobody's
    disk.free()
    assert engine.start() == "ready"
    again = engine.client.containers.get("made")
    assert again.status == "created"
    again.start()
    again.reload()
    assert again.status == "running"


def test_what_runs_goes_on_and_logs_again_when_there_is_room(disk: SmallDisk) -> None:
    client = disk.engine.client
    ticking = client.containers.run("busybox", TICKER, detach=True, name="ticking")
    disk.engine.first_lines("ticking", 2)
    ticking.reload()
    pid = ticking.attrs["State"]["Pid"]
    disk.fill()
    last = int(ticking.logs(tail=1))
    with disk.refused():
        client.containers.create("busybox", "true")
    ticking.reload()
    assert (ticking.status, ticking.attrs["State"]["Pid"]) == ("running", pid)
    disk.free()
    until(lambda: int(ticking.logs(tail=1)) > last + 2)
    lines = [int(line) for line in ticking.logs().split()]
    assert lines[:2] == [1, 2]
    assert lines == sorted(set(lines))  # some may be missing, none is broken or doubled


def test_containers_can_be_ended_and_removed_to_make_room(disk: SmallDisk) -> None:
    client = disk.engine.client
    script = ["sh", "-c", "head -c 4000000 /dev/zero >/big; echo written; exec sleep 60"]
    big = client.containers.run("busybox", script, detach=True, name="big")
    assert disk.engine.first_lines("big", 1) == [b"written\n"]
    disk.fill()
    big.stop(timeout=0)
    big.reload()
    assert big.status == "exited"
    big.remove()
    until(lambda: shutil.disk_usage(disk.mountpoint).free > 3_000_000)
    assert client.containers.run("busybox", ["echo", "room"], remove=True) == b"room\n"
