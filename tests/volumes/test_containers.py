"""Volumes as containers have them: named, anonymous, filled from the image, bound, and in memory."""

import contextlib
import os
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, NotFound
from docker.types import Mount

from tests.engine_process import EngineProcess
from tests.volumes.conftest import CAPABILITY
from tests.waiting import until

pytestmark = [pytest.mark.root]


def sh(client: docker.DockerClient, script: str, image: str = "busybox", **options: Any) -> str:
    written: bytes = client.containers.run(image, ["sh", "-c", script], remove=True, **options)
    return written.decode()


def test_a_named_volume_outlives_its_containers(client: docker.DockerClient) -> None:
    sh(client, "echo 1 > /v/file", volumes={"shared": {"bind": "/v", "mode": "rw"}})
    assert sh(client, "cat /elsewhere/file", volumes={"shared": {"bind": "/elsewhere", "mode": "ro"}}) == "1\n"
    assert [volume.name for volume in client.volumes.list()] == ["shared"]
    mountpoint = Path(client.volumes.get("shared").attrs["Mountpoint"])
    assert (mountpoint / "file").read_text() == "1\n"


def test_read_only_is_read_only(client: docker.DockerClient, tmp_path: Path) -> None:
    for source in ("shared", str(tmp_path)):
        volumes = {source: {"bind": "/v", "mode": "ro"}}
        assert "Read-only file system" in sh(client, "touch /v/x 2>&1 || true", volumes=volumes)


def test_two_containers_see_one_volume(client: docker.DockerClient) -> None:
    volumes = {"shared": {"bind": "/v", "mode": "rw"}}
    waiting = client.containers.run(
        "busybox", ["sh", "-c", "mkfifo /v/pipe; echo ready; cat /v/pipe"], detach=True, volumes=volumes
    )
    output = waiting.logs(stream=True, follow=True)
    assert next(output) == b"ready\n"
    sh(client, "echo hello > /v/pipe", volumes=volumes)
    assert list(output) == [b"hello\n"]
    assert waiting.wait()["StatusCode"] == 0


def test_a_named_volume_is_filled_from_the_image(client: docker.DockerClient) -> None:
    volumes = {"filled": {"bind": "/data", "mode": "rw"}}
    listing = sh(client, "stat -c '%n %U %u %g %a %h %F %t,%T' /data /data/*", volumes=volumes)
    assert listing.splitlines() == [
        "/data UNKNOWN 70 71 750 2 directory 0,0",
        "/data/capable UNKNOWN 5 0 755 1 regular file 0,0",
        "/data/file UNKNOWN 70 0 640 2 regular file 0,0",
        "/data/hard UNKNOWN 70 0 640 2 regular file 0,0",
        "/data/null root 0 0 666 1 character special file 1,3",
        "/data/pipe root 0 0 600 1 fifo 0,0",
        "/data/soft root 0 0 777 1 symbolic link 0,0",
    ]
    mountpoint = Path(client.volumes.get("filled").attrs["Mountpoint"])
    assert os.getxattr(mountpoint / "capable", "security.capability") == CAPABILITY
    assert os.readlink(mountpoint / "soft") == "/etc/passwd"
    # What a container removes does not come back.
    sh(client, "rm -r /data/* && echo new > /data/new", volumes=volumes)
    assert sh(client, "ls /data", volumes=volumes) == "new\n"


def test_a_bind_mount_hides_what_the_image_has(client: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("of the host")
    tmp_path.chmod(0o755)
    assert sh(client, "ls /data", volumes={str(tmp_path): {"bind": "/data", "mode": "rw"}}) == "mine\n"
    sh(client, "echo changed > /d/mine; touch /d/new", volumes={str(tmp_path): {"bind": "/d", "mode": "rw"}})
    assert (tmp_path / "mine").read_text() == "changed\n"
    assert sorted(os.listdir(tmp_path)) == ["mine", "new"]
    with pytest.raises(APIError, match="bind source path does not exist"):
        client.containers.create("busybox", "true", mounts=[Mount("/d", str(tmp_path / "nothing"), type="bind")])
    sh(client, "touch /d/made", volumes={str(tmp_path / "a/b"): {"bind": "/d", "mode": "rw"}})
    assert os.listdir(tmp_path / "a/b") == ["made"]
    with pytest.raises(APIError, match=r"mount source path .*mine/x.*Not a directory"):
        client.containers.create("busybox", "true", volumes={str(tmp_path / "mine/x"): {"bind": "/d", "mode": "rw"}})


def test_a_file_is_bound(client: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("somebody\n")
    volumes = {str(tmp_path / "passwd"): {"bind": "/etc/passwd", "mode": "ro"}}
    assert sh(client, "cat /etc/passwd; ls /etc", volumes=volumes).startswith("somebody\n")


def test_an_images_volume_is_anonymous_and_goes_with_the_container(client: docker.DockerClient) -> None:
    container = client.containers.run("data", ["cat", "/data/file"], detach=True)
    assert container.wait()["StatusCode"] == 0
    assert container.logs() == b"of the image"
    (volume,) = client.volumes.list()
    assert len(volume.name) == 64
    with pytest.raises(APIError, match="volume is in use"):
        volume.remove()
    container.remove(v=True)
    assert client.volumes.list() == []
    kept = client.containers.create("data", "true")
    kept.remove()
    assert len(client.volumes.list()) == 1
    passing = client.containers.create("data", "true", auto_remove=True)
    assert len(client.volumes.list()) == 2
    passing.start()
    with contextlib.suppress(NotFound):  # it is gone already
        passing.wait(condition="removed")
    until(lambda: len(client.volumes.list()) == 1)


def test_what_others_have_from_a_container_stays_with_them(client: docker.DockerClient) -> None:
    first = client.containers.create("data", "true")
    second = client.containers.create("busybox", "true", volumes_from=[first.id])
    second.remove(v=True)
    assert len(client.volumes.list()) == 1
    third = client.containers.create("busybox", ["cat", "/data/file"], volumes_from=[first.id])
    first.remove(v=True)
    third.start()
    assert third.wait()["StatusCode"] == 0
    assert third.logs() == b"of the image"
    third.remove(v=True)
    assert client.volumes.list() == []


def test_a_relative_volume_of_an_image(client: docker.DockerClient) -> None:
    container = client.api.create_container("busybox", ["ls", "-d", "/rel"], volumes={"rel": {}})
    client.api.start(container)
    assert client.api.wait(container)["StatusCode"] == 0
    client.api.remove_container(container, v=True)


def test_a_volume_that_is_named_by_the_name_it_was_given_stays(client: docker.DockerClient) -> None:
    volume = client.volumes.create()
    container = client.containers.create("busybox", "true", volumes={volume.name: {"bind": "/data", "mode": "rw"}})
    heir = client.containers.create("busybox", "true", volumes_from=[container.id])
    container.remove(v=True)
    heir.remove(v=True)
    volume.remove()


def test_a_named_volume_stays_when_the_container_goes(client: docker.DockerClient) -> None:
    container = client.containers.create("data", "true", volumes={"named": {"bind": "/data", "mode": "rw"}})
    container.remove(v=True)
    assert [volume.name for volume in client.volumes.list()] == ["named"]
    client.volumes.get("named").remove()
    with pytest.raises(NotFound):
        client.volumes.get("named")


def test_a_link_in_the_image_does_not_lead_the_copy_out(client: docker.DockerClient) -> None:
    """/escape leads to /../../../../etc: in the container that is its own /etc, and so it is for the copy."""
    names = sh(client, "ls /escape", volumes={"escaped": {"bind": "/escape", "mode": "rw"}}).split()
    assert names == sh(client, "ls /etc").split()
    assert "hostname" in names
    mountpoint = Path(client.volumes.get("escaped").attrs["Mountpoint"])
    assert (mountpoint / "passwd").read_text() != Path("/etc/passwd").read_text()
    assert (mountpoint / "passwd").read_text().startswith("root:x:0:0::/root:/bin/sh")


def test_in_memory(client: docker.DockerClient) -> None:
    script = "grep ' /scratch ' /proc/mounts; stat -c %a /scratch; cat /dev/zero > /scratch/x; stat -c %s /scratch/x"
    mounted, mode, full = sh(client, script, tmpfs={"/scratch": "size=1m,mode=700"}).splitlines()
    assert mounted.startswith("tmpfs /scratch tmpfs rw,nosuid,nodev,noexec")
    assert (mode, full) == ("700", str(1 << 20))
    assert client.volumes.list() == []
    assert sh(client, "ls /data | wc -l", tmpfs={"/data": ""}) == "0\n"
    modes = {"/data": "", "/new": "", "/given": "mode=700,noatime,nosuid,suid"}
    assert sh(client, "stat -c %a /data /new /given", tmpfs=modes) == "750\n1777\n700\n"  # the directory's own, if any
    mounted = sh(client, "grep ' /given ' /proc/mounts", tmpfs=modes)
    assert mounted.startswith("tmpfs /given tmpfs rw,nodev,noexec,noatime,mode=700")
    for wrong, said in (
        ("bogus", r'invalid tmpfs option \["bogus"]'),
        ("huge=x", r'\["huge" "x"]'),
        ("shared", "peers"),
    ):
        with pytest.raises(APIError, match=said):
            sh(client, "true", tmpfs={"/t": wrong})


def test_volumes_survive_the_engine(engine: EngineProcess, client: docker.DockerClient) -> None:
    sh(client, "echo 1 > /v/file", volumes={"lasting": {"bind": "/v", "mode": "rw"}})
    engine.kill()
    assert engine.start() == "ready"
    assert sh(engine.client, "cat /v/file", volumes={"lasting": {"bind": "/v", "mode": "rw"}}) == "1\n"
