"""docker cp, diff, export and commit, by the stock docker CLI and docker-py; one container fights back."""

import io
import os
import socket
import stat
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.engine_process import EngineProcess
from tests.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.peer]


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid = len(text), 1234, 1235
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def started(cli: EngineProcess, script: str, *options: str, name: str = "c") -> str:
    """Run a container that does something, and wait until it says that it has; it goes on."""
    name = f"cp-{name}"
    cli.docker("run", "-d", "--name", name, *options, "busybox", "sh", "-c", f"{script}; echo done; exec sleep 600")
    assert cli.first_lines(name, 1) == [b"done\n"]
    return name


def test_out_and_in(cli: EngineProcess, tmp_path: Path) -> None:
    name = started(cli, "mkdir -p /d/sub; echo text > /d/sub/file; ln -s sub/file /d/link; chmod 4711 /d/sub/file")
    cli.docker("cp", f"{name}:/d", str(tmp_path / "d"))
    assert (tmp_path / "d/sub/file").read_text() == "text\n"
    assert stat.S_IMODE((tmp_path / "d/sub/file").stat().st_mode) == 0o4711
    assert os.readlink(tmp_path / "d/link") == "sub/file"
    cli.docker("cp", "-L", f"{name}:/d/link", str(tmp_path / "followed"))
    assert (tmp_path / "followed").read_text() == "text\n"
    assert sorted(members(cli.docker("cp", f"{name}:/d/.", "-").stdout)) == [".", "./link", "./sub", "./sub/file"]
    (tmp_path / "d/sub/more").write_text("more")
    cli.docker("cp", str(tmp_path / "d/sub"), f"{name}:/tmp")
    cli.docker("cp", str(tmp_path / "d/sub/more"), f"{name}:/d/renamed")
    cli.docker("cp", "-", f"{name}:/d", stdin=archive(streamed="by tar"))
    texts = [cli.docker("cp", f"{name}:{path}", "-").stdout for path in ("/tmp/sub/more", "/d/renamed", "/d/streamed")]
    assert [b"more" in text or b"by tar" in text for text in texts] == [True] * 3
    assert members(texts[2])["streamed"].uid == 1234
    for path in ("/nothing", "/d/sub/nothing"):
        done = cli.docker("cp", f"{name}:{path}", "-", check=False)
        assert f"Could not find the file {path} in container {name}".encode() in done.stderr


def test_what_the_head_says(cli: EngineProcess, client: docker.DockerClient) -> None:
    name = started(cli, "echo 12 > /f; chmod 1755 /f; ln -s /f /l; ln -s l /ll; ln -s /no/where /dangling; mkfifo /p")
    facts = {path: client.api.get_archive(name, path)[1] for path in ("/f", "/ll", "/dangling", "/p", "/tmp/", "/")}
    assert facts["/f"] == {
        "name": "f",
        "size": 3,
        "mode": 0o755 | 1 << 20,
        "linkTarget": "",
        "mtime": facts["/f"]["mtime"],
    }
    assert (facts["/ll"]["linkTarget"], facts["/ll"]["mode"]) == ("/f", 0o777 | 1 << 27)
    assert facts["/dangling"]["linkTarget"] == "/no/where"
    assert facts["/p"]["mode"] >> 25 == 1
    assert (facts["/tmp/"]["name"], facts["/tmp/"]["mode"]) == ("tmp", 0o777 | 1 << 31 | 1 << 20)
    assert facts["/"]["name"] == "/"


def test_mounts_are_seen_running_or_not(cli: EngineProcess, client: docker.DockerClient, tmp_path: Path) -> None:
    mounts = ["-v", "cp-volume:/volume", "-v", f"{tmp_path}:/bind", "--tmpfs", "/scratch"]
    name = started(cli, "echo v > /volume/v; echo s > /scratch/s; ln -s /volume /way", *mounts)
    try:
        for running in (True, False):
            if not running:
                cli.docker("kill", name)
            client.api.put_archive(name, "/way", archive(put="in"))
            client.api.put_archive(name, "/bind", archive(put="in"))
            assert (tmp_path / "put").read_text() == "in"
            assert {"volume/v", "volume/put"} <= set(members(cli.docker("cp", f"{name}:/volume", "-").stdout))
            found = members(cli.docker("cp", f"{name}:/scratch", "-").stdout)
            assert ("scratch/s" in found) is running
        assert "v" not in members(b"".join(client.api.export(name)))
    finally:
        cli.docker("rm", "-f", name)
        cli.docker("volume", "rm", "cp-volume")


def test_what_the_kernel_shows_is_left_out(cli: EngineProcess, client: docker.DockerClient) -> None:
    name = started(cli, "true")
    everything = members(cli.docker("cp", f"{name}:/", "-").stdout)
    assert [path for path in everything if path.lstrip("/").startswith(("proc/", "sys/", "dev/"))] == []
    assert {"/proc", "/sys", "/dev"} <= {f"/{path.strip('/')}" for path in everything}
    with pytest.raises(docker.errors.NotFound):
        client.api.get_archive(name, "/proc/self/environ")
    with pytest.raises(docker.errors.NotFound):
        client.api.put_archive(name, "/proc/1", archive(x="x"))


def test_read_only_is_respected(cli: EngineProcess, client: docker.DockerClient) -> None:
    name = started(cli, "true", "--read-only", "-v", "cp-ro:/ro:ro", "-v", "cp-rw:/rw")
    try:
        for running in (True, False):
            if not running:
                cli.docker("kill", name)
            for path, text in (("/tmp", "container rootfs is marked read-only"), ("/ro", "volume is marked read-only")):
                with pytest.raises(docker.errors.APIError, match=text) as refused:
                    client.api.put_archive(name, path, archive(x="x"))
                assert refused.value.status_code == 403
            client.api.put_archive(name, "/rw", archive(x="x"))
    finally:
        cli.docker("rm", "-f", name)
        cli.docker("volume", "rm", "cp-ro", "cp-rw")


@pytest.mark.parametrize(
    ("path", "data", "text"),
    [
        ("/etc/passwd", archive(x="x"), "extraction point is not a directory"),
        ("/tmp", b"not an archive", "cannot unpack the archive"),
        ("/tmp", archive(**{"../x": "x"}), "leads out of its root"),
        ("/tmp", archive(x="x" * 5000)[:3000], "cannot unpack the archive"),
    ],
)
def test_what_cannot_be_put_in(client: docker.DockerClient, path: str, data: bytes, text: str) -> None:
    container = client.containers.create("busybox", "true")
    with pytest.raises(docker.errors.APIError, match=text) as refused:
        container.put_archive(path, data)
    assert refused.value.status_code == 400


def test_kinds_and_owners(cli: EngineProcess, client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", "true", user="nobody")
    container.put_archive("/", archive(tmp="a file"))  # takes the directory's place
    assert members(cli.docker("cp", f"{container.id}:/tmp", "-").stdout)["tmp"].isreg()
    api = client.api
    url = api._url("/containers/{0}/archive", container.id)
    answer = api._put(url, params={"path": "/", "noOverwriteDirNonDir": "1"}, data=archive(etc="a file"))
    assert answer.status_code == 400
    assert "cannot overwrite directory" in answer.json()["message"]
    assert api._put(url, params={"path": "/etc", "copyUIDGID": "1"}, data=archive(own="x")).ok
    assert members(cli.docker("cp", f"{container.id}:/etc/own", "-").stdout)["own"].uid == 65534


def test_what_was_put_in_before_the_start_is_there(cli: EngineProcess, client: docker.DockerClient) -> None:
    """The engine prepares a new container for its start at once; the copy must not be lost in that."""
    for turn in range(5):
        container = client.containers.create("busybox", ["cat", "/etc/given", "/new/x"])
        container.put_archive("/", archive(**{"etc/given": f"{turn}\n", "new/x": "y\n"}))
        container.start()
        assert container.wait()["StatusCode"] == 0
        assert container.logs() == f"{turn}\ny\n".encode()


def test_a_container_that_fights_back(cli: EngineProcess, client: docker.DockerClient, tmp_path: Path) -> None:
    """It swaps a directory for a link to a place of the host's all the time: that is never seen, and never written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("of the host")
    swap = f"cd /w; mkdir d; echo x > d/inside; ln -s {outside} l; (while :; do mv d e; mv l d; mv d l; mv e d; done) &"
    name = started(cli, f"mkdir /w; {swap} true")
    statuses = set()
    for _ in range(40):
        try:
            for path in ("/w", "/w/d/"):
                found = members(b"".join(client.api.get_archive(name, path)[0]))
                assert not [path for path in found if "secret" in path]
            client.api.put_archive(name, "/w/d", archive(**{"put": "x", "deep/er": "x"}))
        except docker.errors.APIError as error:
            statuses.add(error.status_code)
    assert statuses <= {400, 404}
    assert os.listdir(outside) == ["secret"]


def test_a_client_that_goes_away_leaves_nothing(cli: EngineProcess) -> None:
    name = started(cli, "truncate -s 20G /big")
    assert cli.process is not None
    tasks = Path(f"/proc/{cli.process.pid}/task")
    before = len(list(tasks.iterdir()))
    memory = _resident_kib(cli)
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(cli.socket))
            connection.sendall(f"GET /containers/{name}/archive?path=/big HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert b"200 OK" in connection.recv(4096)
            assert len(connection.recv(1 << 16)) > 0
            until(lambda: len(list(tasks.iterdir())) > before)
            assert _resident_kib(cli) < memory + 64 * 1024  # nothing piles up for a client that does not read
    until(lambda: len(list(tasks.iterdir())) <= before)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(cli.socket))
        head = f"PUT /containers/{name}/archive?path=/tmp HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        connection.sendall(head.encode() + archive(x="x" * 50_000)[:20_000])
    until(lambda: len(list(tasks.iterdir())) <= before)
    assert cli.docker("rm", "-f", name).returncode == 0


def _resident_kib(cli: EngineProcess) -> int:
    assert cli.process is not None
    lines = Path(f"/proc/{cli.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def test_large_files_both_ways(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", "true")
    data = os.urandom(1 << 20) * 24
    container.put_archive("/tmp", archive_of(data))
    assert b"".join(container.get_archive("/tmp/big")[0])[512 : 512 + len(data)] == data


def archive_of(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("big")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


SCRIPT = """
echo x >> /etc/passwd; mkdir -p /new/deep; echo x > /new/deep/file; rm /bin/ls; rm -rf /tree/b; mkdir /tree/b
echo y > /tree/b/other; mv /tree/c /tree/d; touch -r /tree/kept /tree/kept; chmod 711 /root
""".strip().replace("\n", "; ")


@pytest.fixture
def tree_image(client: docker.DockerClient) -> Any:
    container = client.containers.create("busybox", "true")
    container.put_archive(
        "/", archive(**{"tree/a": "a", "tree/b/one": "1", "tree/b/two": "2", "tree/c/x": "x", "tree/kept": "k"})
    )
    image = container.commit("cp-tree")
    container.remove()
    yield image
    for one in client.containers.list(all=True):
        one.remove(force=True, v=True)
    client.images.remove("cp-tree")


def test_changes(cli: EngineProcess, client: docker.DockerClient, tree_image: Any) -> None:
    cli.docker("run", "--name", "cp-c", "-v", "/made", "cp-tree", "sh", "-c", SCRIPT)
    assert cli.docker("diff", "cp-c").stdout.decode().splitlines() == [
        "C /bin",
        "D /bin/ls",
        "C /etc",
        "C /etc/passwd",
        "A /made",
        "A /new",
        "A /new/deep",
        "A /new/deep/file",
        "C /root",
        "C /tree",
        "C /tree/b",
        "D /tree/b/one",
        "A /tree/b/other",
        "D /tree/b/two",
        "D /tree/c",
        "A /tree/d",
        "A /tree/d/x",
    ]
    untouched = client.containers.run("busybox", "true", detach=True)
    untouched.wait()
    assert client.api.diff(untouched.id) is None


def test_an_export_has_the_merged_root(cli: EngineProcess, tree_image: Any) -> None:
    cli.docker(
        "run",
        "-d",
        "--name",
        "cp-c",
        "-v",
        "/made",
        "cp-tree",
        "sh",
        "-c",
        f"{SCRIPT}; echo x > /made/x; echo done; sleep 600",
    )
    assert cli.first_lines("cp-c", 1) == [b"done\n"]
    running = members(cli.docker("export", "cp-c").stdout)
    assert {"new/deep/file", "tree/b/other", "tree/d/x", "made", "bin/busybox", "proc"} <= set(running)
    assert not {"bin/ls", "tree/b/one", "tree/c", "made/x"} & set(running)
    assert [name for name in running if name.startswith(("proc/", "sys/"))] == []
    cli.docker("kill", "cp-c")
    assert set(members(cli.docker("export", "cp-c").stdout)) == set(running)


def test_a_commit(cli: EngineProcess, client: docker.DockerClient, tree_image: Any) -> None:
    cli.docker(
        "run",
        "-d",
        "--name",
        "cp-c",
        "-e",
        "A=1",
        "-l",
        "own=1",
        "cp-tree",
        "sh",
        "-c",
        f"{SCRIPT}; echo done; sleep 600",
    )
    assert cli.first_lines("cp-c", 1) == [b"done\n"]
    before = client.api.diff("cp-c")
    started_at = int(time.time()) - 60
    options = ["-m", "a remark", "-a", "me", "-c", 'CMD ["cat", "/new/deep/file"]', "-c", "ENV B=2"]
    identifier = cli.docker("commit", *options, "cp-c", "cp-made:1").stdout.decode().strip()
    try:
        image = client.images.get("cp-made:1")
        assert image.id == identifier
        assert image.attrs["Parent"] == tree_image.id
        assert image.attrs["RootFS"]["Layers"][:-1] == tree_image.attrs["RootFS"]["Layers"]
        assert (image.attrs["Author"], image.attrs["Comment"]) == ("me", "a remark")
        assert {"A=1", "B=2"} <= set(image.attrs["Config"]["Env"])
        assert image.attrs["Config"]["Labels"] == {"own": "1"}
        assert client.containers.run("cp-made:1", remove=True) == b"x\n"
        command = "ls -d /tree/* /tree/b/* /bin/ls || true; cat /proc/mounts > /dev/null"
        output = client.containers.run("cp-made:1", ["sh", "-c", command], remove=True).decode().split()
        assert output == ["/tree/a", "/tree/b", "/tree/b/other", "/tree/d", "/tree/kept"]
        assert client.api.diff("cp-c") == before  # the container is as it was, and runs
        assert client.containers.get("cp-c").status == "running"
        told = client.events(since=started_at, until=int(time.time()) + 1, decode=True, filters={"container": "cp-c"})
        actions = [event["Action"] for event in told]
        assert actions[-3:] == ["pause", "unpause", "commit"]
    finally:
        client.images.remove("cp-made:1")


def test_a_commit_keeps_what_belongs_to_images(client: docker.DockerClient, tree_image: Any) -> None:
    check = {"Test": ["CMD-SHELL", "true"], "Interval": 2 * 10**9}
    asked = {"Image": tree_image.id, "OnBuild": ["RUN true"], "Shell": ["/bin/ash", "-c"], "Healthcheck": check}
    made = client.api._result(client.api._post_json(client.api._url("/containers/create"), data=asked), json=True)
    container = client.containers.get(made["Id"])
    try:
        shown = container.attrs["Config"]
        assert (shown["OnBuild"], shown["Shell"]) == (asked["OnBuild"], asked["Shell"])
        image = container.commit("cp-made", "2", changes=["HEALTHCHECK NONE", "ONBUILD USER 7"])
        kept = image.attrs["Config"]
        client.images.remove(image.id)
        assert (kept["OnBuild"], kept["Shell"]) == (["RUN true", "USER 7"], asked["Shell"])
        assert kept["Healthcheck"]["Test"] == ["NONE"]
        image = container.commit("cp-made", "3")
        kept = image.attrs["Config"]
        client.images.remove(image.id)
        assert kept["Healthcheck"] == check
    finally:
        container.remove()


def test_commits_at_once_of_a_container_that_writes(client: docker.DockerClient) -> None:
    container = client.containers.run(
        "busybox",
        ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i > /f$((i%50)); rm -f /f$((i%7)); done"],
        detach=True,
    )
    made: list[str] = []
    failures: list[Exception] = []

    def commit(number: int) -> None:
        try:
            made.append(client.api.commit(container.id, f"cp-many-{number}", pause=bool(number % 2))["Id"])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    container.remove(force=True)
    for number in range(4):
        client.images.remove(f"cp-many-{number}", force=True)
    assert failures == []
    assert len(made) == 4
