"""Images from the real docker-registry by the stock docker CLI and docker-py; what skopeo has put there."""

import base64
import io
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import docker
import pytest

from nbcontainers.images.registry import media
from tests.engine_process import EngineProcess
from tests.images.registry.servers import PASSWORD, USER, Fault, FaultyProxy, running_registry
from tests.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.peer]

DOCKERFILE = (
    b"FROM busybox\nRUN echo one > /one\nRUN rm /etc/group && head -c 3000000 /dev/urandom > /large\nENV made=here\n"
)


class Filled(NamedTuple):
    """A registry with the image ``team/app`` under two tags, and one that wants a password."""

    name: str
    private: str


@pytest.fixture(scope="module")
def filled(
    engine: EngineProcess, need: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Filled]:
    need("registry", "image_tools", "peer")
    archive = tmp_path_factory.mktemp("pull") / "app.tar"
    engine.client.images.build(fileobj=io.BytesIO(DOCKERFILE), tag="app:1")
    archive.write_bytes(engine.docker("save", "app:1").stdout)
    engine.docker("rmi", "app:1")
    with running_registry() as public, running_registry(htpasswd=True) as private:
        _copy(archive, f"{public.address}/team/app:1")
        _copy(archive, f"{public.address}/team/app:2", "--format", "oci", "--dest-compress-format", "zstd")
        _copy(archive, f"{private.address}/team/app:1", "--dest-creds", f"{USER}:{PASSWORD}")
        yield Filled(f"{public.address}/team/app", f"{private.address}/team/app")


def _copy(archive: Path, name: str, *options: str) -> None:
    command = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", *options]
    subprocess.run([*command, f"docker-archive:{archive}", f"docker://{name}"], check=True, timeout=60)


@pytest.fixture
def clean(cli: EngineProcess) -> Iterator[EngineProcess]:
    """The engine for the docker CLI; images that a test has pulled or built are removed after it."""
    before = {image.id for image in cli.client.images.list(all=True)}
    yield cli
    cli.remove_everything()
    for image in cli.client.images.list():
        if image.id not in before:
            cli.client.images.remove(cast(str, image.id), force=True)
    cli.client.images.prune()


def test_pull_run_and_remove(clean: EngineProcess, filled: Filled) -> None:
    name = f"{filled.name}:1"
    told = clean.docker("pull", name).stdout.decode().splitlines()
    assert told[0] == "1: Pulling from team/app"
    # It stands on a layer that is here.
    steps = [line.partition(": ")[2] for line in told]
    assert (steps.count("Already exists"), steps.count("Pull complete")) == (1, 2)
    digest = told[-3].removeprefix("Digest: ")
    assert told[-2:] == [f"Status: Downloaded newer image for {name}", name]
    ran = clean.docker("run", "--rm", name, "sh", "-c", "cat /one; ls /etc/group; wc -c < /large; echo $made")
    assert ran.stdout.decode().split() == ["one", "3000000", "here"]
    assert b"/etc/group: No such file" in ran.stderr
    assert clean.docker("pull", name).stdout.decode().splitlines()[-2] == f"Status: Image is up to date for {name}"
    # By its digest, with and without a tag.
    by_digest = f"{filled.name}@{digest}"
    assert clean.client.images.get(by_digest).attrs["RepoDigests"] == [by_digest]
    assert clean.docker("run", "--rm", f"{filled.name}:any@{digest}", "cat", "/one").stdout == b"one\n"
    listed = clean.docker("images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}", filled.name)
    assert listed.stdout.decode().split() == [filled.name, "1", digest]
    gone = clean.docker("rmi", name).stdout.decode().splitlines()
    assert gone[:2] == [f"Untagged: {name}", f"Untagged: {by_digest}"]
    # Missing ones are pulled by who runs them.
    assert clean.docker("run", "--rm", by_digest, "cat", "/one").stdout == b"one\n"
    assert clean.client.images.get(by_digest).tags == []
    assert by_digest in clean.docker("image", "prune", "--force").stdout.decode()


def test_all_tags(clean: EngineProcess, filled: Filled) -> None:
    told = clean.docker("pull", "--all-tags", filled.name).stdout.decode().splitlines()
    assert {line for line in told if "Pulling from" in line} == {f"{tag}: Pulling from team/app" for tag in "12"}
    assert told[-2] == f"Status: Downloaded newer image for {filled.name}"
    one, two = (clean.client.images.get(f"{filled.name}:{tag}") for tag in "12")
    assert one.id == two.id or one.attrs["RootFS"] == two.attrs["RootFS"]
    pulled = clean.client.images.pull(filled.name, all_tags=True)
    assert {tag for image in pulled for tag in image.tags} == {f"{filled.name}:1", f"{filled.name}:2"}


def test_the_stream(clean: EngineProcess, filled: Filled) -> None:
    lines = list(clean.client.api.pull(filled.name, tag="1", stream=True, decode=True))
    assert {"status": "Pulling from team/app", "id": "1"} in lines
    sizes = [line["progressDetail"] for line in lines if line["status"] == "Extracting"]
    assert all(0 <= size["current"] <= size["total"] for size in sizes)
    layers = {line["id"] for line in lines if line["status"] == "Pull complete"}
    for layer in layers:
        steps = [line["status"] for line in lines if line.get("id") == layer]
        assert steps[0] == "Pulling fs layer"
        assert steps[-1] == "Pull complete"
        assert "Download complete" in steps
    events = cast(Any, clean.client).events(since=0, until=_now(clean), decode=True, filters={"event": "pull"})
    assert [event["Actor"]["Attributes"]["name"] for event in events][-1] == filled.name


def _now(cli: EngineProcess) -> str:
    return str(cli.client.info()["SystemTime"])


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("{0}:none", 404, "manifest for {0}:none not found: manifest unknown"),
        ("{0}-not:1", 404, "manifest for {0}-not:1 not found: manifest unknown"),
        ("{1}:1", 404, "pull access denied for {1}, repository does not exist or may require 'docker login'"),
        ("127.0.0.1:1/app:1", 500, "the registry '127.0.0.1:1' cannot be reached: connection refused"),
        ("Wrong:1", 400, "invalid reference format"),
        ("host:1", 409, "cannot be pulled"),
    ],
)
def test_what_a_registry_refuses(clean: EngineProcess, filled: Filled, name: str, status: int, text: str) -> None:
    name, text = name.format(*filled), text.format(*filled)
    repository, _, tag = name.rpartition(":")
    with pytest.raises(docker.errors.APIError, match=text) as caught:
        clean.client.images.pull(repository, tag=tag)
    assert caught.value.status_code == status
    answer = clean.docker("pull", name, check=False)
    assert (answer.returncode, text in answer.stderr.decode()) == (1, True)


def test_a_missing_image_is_no_reason_to_pull_for_the_api(clean: EngineProcess, filled: Filled) -> None:
    with pytest.raises(docker.errors.ImageNotFound):
        clean.client.containers.create(f"{filled.name}:1", "true")


def test_credentials(clean: EngineProcess, filled: Filled, tmp_path: Path) -> None:
    pulled = clean.client.images.pull(filled.private, tag="1", auth_config={"username": USER, "password": PASSWORD})
    pulled.remove()
    with pytest.raises(docker.errors.NotFound, match="pull access denied"):
        clean.client.images.pull(filled.private, tag="1", auth_config={"username": USER, "password": "wrong"})
    # As docker login leaves them: for pulls, and for builds, which get all of them.
    login = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {filled.private.partition("/")[0]: login}}))
    (tmp_path / "Dockerfile").write_text(
        f"FROM {filled.private}:1\nCOPY --from={filled.name}:2 /one /two\nRUN cat /two\n"
    )
    environment = {**clean.environment, "DOCKER_CONFIG": str(tmp_path)}

    def run(*arguments: str) -> bytes:
        command = ["docker", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60).stdout

    assert f"Downloaded newer image for {filled.private}:1".encode() in run("pull", f"{filled.private}:1")
    run("rmi", f"{filled.private}:1")
    told = run("build", "--tag", "made", str(tmp_path)).decode()
    assert f"Status: Downloaded newer image for {filled.private}:1" in told
    assert f"Status: Downloaded newer image for {filled.name}:2" in told
    assert "\none\n" in told
    assert "Status:" not in run("build", "--tag", "made", str(tmp_path)).decode()
    assert f"Status: Image is up to date for {filled.private}:1" in run("build", "--pull", str(tmp_path)).decode()


def test_triggers_of_an_image_that_is_pulled(clean: EngineProcess, filled: Filled, tmp_path: Path) -> None:
    text = f"FROM {filled.name}:1\nONBUILD COPY --from={filled.name}:2 /one /from-two\n".encode()
    clean.client.images.build(fileobj=io.BytesIO(text), tag="triggering")
    archive = tmp_path / "triggering.tar"
    archive.write_bytes(clean.docker("save", "triggering").stdout)
    registry = filled.name.partition("/")[0]
    _copy(archive, f"{registry}/triggering:1")
    for name in ("triggering", f"{filled.name}:1"):
        clean.client.images.remove(name)
    text = f"FROM {registry}/triggering:1\nRUN cat /from-two\n".encode()
    _, lines = clean.client.images.build(fileobj=io.BytesIO(text))
    assert {"one\n"} <= {str(line.get("stream")) for line in cast(Any, lines)}


def test_a_build_on_what_there_is_not(clean: EngineProcess, filled: Filled) -> None:
    with pytest.raises(docker.errors.APIError, match=f"manifest for {filled.name}:9 not found"):
        clean.client.images.build(fileobj=io.BytesIO(f"FROM {filled.name}:9\nRUN true\n".encode()))


def test_asking_without_pulling(clean: EngineProcess, filled: Filled) -> None:
    found = clean.client.images.get_registry_data(f"{filled.name}:1")
    assert found.attrs["Descriptor"]["mediaType"] == media.DOCKER_MANIFEST
    assert found.attrs["Platforms"] == [{"architecture": "amd64", "os": "linux"}]
    assert found.pull().attrs["RepoDigests"] == [f"{filled.name}@{found.id}"]
    for name, status in ((f"{filled.name}:9", 404), (f"{filled.private}:1", 401)):
        with pytest.raises(docker.errors.APIError) as caught:
            clean.client.images.get_registry_data(name)
        assert caught.value.status_code == status
    with pytest.raises(docker.errors.APIError, match="offers no search"):
        clean.client.images.search(filled.name)
    with pytest.raises(docker.errors.APIError, match="limit 500 is outside the range"):
        clean.client.images.search("x", limit=500)


def test_a_client_that_goes_away_ends_its_pull(clean: EngineProcess, filled: Filled) -> None:
    registry, _, repository = filled.name.partition("/")
    with FaultyProxy(registry) as proxy:
        proxy.faults.append(Fault("GET", "/blobs/", times=99, pause_seconds=0.2))
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(clean.socket))
            path = f"/images/create?fromImage={proxy.address}/{repository}&tag=1"
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            received = b""
            while b"Downloading" not in received:
                received += connection.recv(1 << 16)
            assert _spools(clean) > 0
        active = clean.root / "images/snapshots/active"
        until(lambda: not os.listdir(active) and not _spools(clean))
        assert not [image for image in clean.client.images.list() if any(proxy.address in tag for tag in image.tags)]


def _spools(engine: EngineProcess) -> int:
    """Return how many files without a name the engine has in its store."""
    return sum(str(engine.root / "images") in name and "(deleted)" in name for name in engine.held())
