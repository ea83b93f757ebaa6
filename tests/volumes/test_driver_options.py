"""Volumes with options of the driver: mounted for who runs, for as long as one runs, whoever is killed meanwhile."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError

from nbcontainers.client.volumes import restore, volume
from tests.engine_process import EngineProcess
from tests.waiting import until

pytestmark = [pytest.mark.root]

TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=711,uid=7"}


@pytest.fixture(autouse=True)
def nothing_is_left(engine: EngineProcess, client: docker.DockerClient) -> Iterator[None]:
    """Nothing is mounted any more when no container runs."""
    yield
    engine.remove_everything()
    until(lambda: mounted(engine) == [])


def mounted(engine: EngineProcess) -> list[str]:
    """Return what is mounted in this engine's volumes."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(f"{engine.root}/volumes/")]


def sh(client: docker.DockerClient, script: str, **options: Any) -> str:
    written: bytes = client.containers.run("busybox", ["sh", "-c", script], remove=True, network_mode="none", **options)
    return written.decode()


def keeper(client: docker.DockerClient, name: str, **options: Any) -> Any:
    """Run a container that has a volume and writes its own name there, as soon as it runs."""
    script = f"echo {name} > /v/{name}; echo written; exec sleep 600"
    container = client.containers.run(
        "busybox", ["sh", "-c", script], name=name, detach=True, network_mode="none", **options
    )
    until(lambda: container.logs() == b"written\n")
    return container


def at(name: str, place: str = "/v") -> dict[str, Any]:
    return {"volumes": {name: {"bind": place, "mode": "rw"}}}


def test_mounted_as_long_as_a_container_runs(engine: EngineProcess, client: docker.DockerClient) -> None:
    made = client.volumes.create("fast", driver_opts=TMPFS)
    assert made.attrs["Options"] == TMPFS
    place = made.attrs["Mountpoint"]
    first = keeper(client, "first", **at("fast"))
    assert mounted(engine) == [place]
    assert sh(client, "cat /v/first; grep ' /v ' /proc/mounts; stat -c '%u %a' /v", **at("fast")) == (
        "first\ntmpfs /v tmpfs rw,relatime,size=1024k,mode=711,uid=7 0 0\n7 711\n"
    )
    assert mounted(engine) == [place]  # not the first one's to lose
    second = keeper(client, "second", **at("fast"))
    first.remove(force=True)
    assert second.exec_run(["ls", "/v"]).output == b"first\nsecond\n"
    with pytest.raises(APIError, match="volume is in use"):
        made.remove()
    second.restart(timeout=0)
    until(lambda: second.logs() == b"written\nwritten\n")
    assert second.exec_run(["ls", "/v"]).output == b"second\n"  # a new one: it ran no more
    second.stop(timeout=0)
    until(lambda: mounted(engine) == [])
    second.remove()
    made.remove()


def test_a_directory_of_the_host(client: docker.DockerClient, tmp_path: Path) -> None:
    """Filled from the image like any other volume, and never removed with it."""
    volume = client.volumes.create("bound", driver_opts={"type": "none", "o": "bind", "device": str(tmp_path)})
    assert sh(client, "touch /etc/new; ls /etc/passwd", **at("bound", "/etc")) == "/etc/passwd\n"
    assert {"passwd", "group", "new"} <= set(os.listdir(tmp_path))
    names = sorted(os.listdir(tmp_path))
    assert sh(client, "ls /v/sub | wc -l", volumes={str(tmp_path): {"bind": "/v/sub", "mode": "ro"}}) != "0\n"
    volume.remove()
    assert sorted(os.listdir(tmp_path)) == names


def test_a_container_that_does_not_run_is_copied_from_and_to(
    engine: EngineProcess, client: docker.DockerClient, tmp_path: Path
) -> None:
    client.volumes.create("bound", driver_opts={"type": "none", "o": "bind", "device": str(tmp_path)})
    container = client.containers.create("busybox", "true", **at("bound"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("came"), io.BytesIO())
    assert container.put_archive("/v", buffer.getvalue())
    assert os.listdir(tmp_path) == ["came"]
    stream, _ = container.get_archive("/v/came")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        assert tar.getnames() == ["came"]
    assert mounted(engine) == []


def test_what_cannot_be_mounted(client: docker.DockerClient, tmp_path: Path) -> None:
    missing = {"type": "none", "o": "bind", "device": str(tmp_path / "missing")}
    place = client.volumes.create("missing", driver_opts=missing).attrs["Mountpoint"]
    said = f"failed to mount local volume: mount {missing['device']}:{place}, flags: 0x1000: no such file or directory"
    with pytest.raises(APIError) as caught:
        client.containers.create("busybox", "true", **at("missing", "/etc"))  # it would be filled with what is there
    assert (caught.value.status_code, caught.value.explanation) == (500, said)
    container = client.containers.create("busybox", "true", **at("missing"))
    with pytest.raises(APIError) as caught:
        container.start()
    said = f"error while mounting volume '{place}': {said}"
    assert (caught.value.status_code, caught.value.explanation) == (500, said)
    container.reload()
    state = container.attrs["State"]
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("created", 128, said)
    (tmp_path / "missing").mkdir()
    container.start()
    assert container.wait()["StatusCode"] == 0


def test_asked_for_with_the_container(engine: EngineProcess, client: docker.DockerClient) -> None:
    options = 'volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=size=1m,mode=700"'
    mount = f"type=volume,source=new,destination=/v,{options}"
    said = engine.docker("run", "--rm", "--network=none", "--mount", mount, "busybox", "stat", "-c", "%a", "/v")
    assert said.stdout == b"700\n"
    assert client.volumes.get("new").attrs["Options"] == {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=700"}
    assert client.api.prune_volumes(filters={"all": ["true"]})["VolumesDeleted"] in (None, [])


def test_looked_into_without_a_container(engine: EngineProcess, client: docker.DockerClient, tmp_path: Path) -> None:
    client.volumes.create("bound", driver_opts={"type": "none", "o": "bind", "device": str(tmp_path)})
    client.volumes.create("fast", driver_opts=TMPFS)
    bound, fast = volume("bound", client), volume("fast", client)
    bound.write_text("file", "written")
    assert (tmp_path / "file").read_text() == "written"
    assert list(bound.ls()["name"]) == ["file"]
    assert mounted(engine) == []
    with pytest.raises(APIError, match="it is in memory"):
        fast.write_text("file", "lost")
    keeper(client, "keeper", **at("fast"))
    fast.write_text("file", "kept")
    assert sorted(fast.ls()["name"]) == ["file", "keeper"]


def test_restored_into_a_file_system_of_its_own(
    engine: EngineProcess, client: docker.DockerClient, tmp_path: Path
) -> None:
    client.volumes.create("from")
    source = volume("from", client)
    source.write_text("sub/file", "of the archive")
    source.write_text("kind", "a file")
    saved = b"".join(source.backup())
    root = tmp_path / "device"
    client.volumes.create("bound", driver_opts={"type": "none", "o": "bind", "device": str(root)})
    (root / "sub").mkdir(parents=True)
    (root / "sub/mine").write_text("of before")
    (root / "kind").mkdir()
    (root / ".nbcontainers-import-left").mkdir()  # by an engine that was killed
    restore(client, "bound", saved)
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert names == ["kind", "sub", "sub/file", "sub/mine"]
    assert (root / "kind").read_text() == "a file"
    link = root / "sub"
    (link / "mine").unlink()
    (link / "file").unlink()
    link.rmdir()
    link.symlink_to(tmp_path)
    restore(client, "bound", saved, replace=True)
    assert not link.is_symlink()
    assert os.listdir(tmp_path) == ["device"]
    client.volumes.create("fast", driver_opts={**TMPFS, "o": "size=64k"})
    with pytest.raises(APIError, match="it is in memory"):
        restore(client, "fast", saved)
    keeper(client, "keeper", **at("fast"))
    restore(client, "fast", saved)
    assert sh(client, "cat /v/sub/file /v/keeper", **at("fast")) == "of the archivekeeper\n"
    source.write_text("kind", "x" * 100_000)
    with pytest.raises(APIError, match="no space left"):
        restore(client, "fast", b"".join(source.backup()))
    assert sorted(volume("fast", client).ls()["name"]) == ["keeper", "kind", "sub"]
    keeper(client, "holder", **at("bound"))
    with pytest.raises(APIError, match="container 'holder' uses it"):
        restore(client, "bound", saved)


def test_an_engine_that_is_killed(engine: EngineProcess, client: docker.DockerClient) -> None:
    client.volumes.create("held", driver_opts=TMPFS)
    client.volumes.create("left", driver_opts=TMPFS)
    keeper(client, "held", **at("held"))
    keeper(client, "left", **at("left"))
    pid = client.api.inspect_container("left")["State"]["Pid"]
    assert len(mounted(engine)) == 2
    engine.kill()
    os.kill(pid, 9)
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert engine.start() == "ready"
    client = engine.client
    held = client.volumes.get("held").attrs["Mountpoint"]
    until(lambda: mounted(engine) == [held])
    assert sh(client, "cat /v/held", **at("held")) == "held\n"
    client.containers.get("held").remove(force=True)
    until(lambda: mounted(engine) == [])
