"""The build cache given to others: by a folder, by the real docker-registry, by an image; and folders of enemies."""

import base64
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, BuildError, ImageNotFound

from nbcontainers.client import extension
from tests.busybox import root_file_system
from tests.conformance.builds import archive, build
from tests.crash.stores import what_stays_wrong
from tests.engine_process import EngineProcess, running_engine
from tests.images.registry.servers import RegistryServer, running_registry
from tests.waiting import until

pytestmark = [pytest.mark.root]

CACHE_TO = "NBCONTAINERS_CACHE_TO"
HIT = "---> Using cache"
DOCKERFILE = """FROM busybox AS made
RUN head -c 8 /dev/urandom > /r; mkdir -p /d/e; ln /r /d/hard; rm /etc/group
FROM busybox
ENV A=1
RUN head -c 8 /dev/urandom > /q
COPY f /f
COPY --from=made /r /d /w/
WORKDIR /new
RUN cat /f > g
"""
STEPS = 7
LAYERS = 6


def _build(
    client: docker.DockerClient, text: str = DOCKERFILE, *, f: bytes = b"1", to: str = "", **options: Any
) -> str:
    """Build, and return everything that was told."""
    return build(client, text, {"f": f}, buildargs={CACHE_TO: to} if to else {}, **options)


def _layers(client: docker.DockerClient) -> list[str]:
    found: list[str] = client.api.inspect_image("built")["RootFS"]["Layers"]
    return found


def _forget(engine: EngineProcess) -> None:
    """Remove what was built and pulled, and what is known of it."""
    for image in engine.client.images.list():
        if not {"busybox:latest", "host:latest"} & set(image.tags):
            engine.client.images.remove(image.id, force=True)
    engine.client.api.prune_builds()
    assert not any(row["Type"] == "regular" for row in engine.client.api.df()["BuildCache"] or [])


@pytest.fixture(scope="module")
def _other(need: Callable[..., None]) -> Iterator[EngineProcess]:
    need("root", "busybox")
    with running_engine() as running:
        running.client.api.import_image_from_data(root_file_system(), repository="other", tag="latest")
        yield running


@pytest.fixture
def other(_other: EngineProcess, engine: EngineProcess) -> Iterator[EngineProcess]:
    """An engine that has made nothing, with the same busybox."""
    if not _other.client.images.list("busybox"):
        _other.client.images.load(b"".join(engine.client.api.get_image("busybox")))
    yield _other
    _forget(_other)


@pytest.fixture(scope="module", autouse=True)
def _exported(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("exported") / "not" / "there"
    told = _build(engine.client, to=f"type=local,dest={folder},mode=max")
    assert f"Exported cache to '{folder}': {STEPS} steps, {LAYERS} layers" in told
    engine.client.images.get("built").tag("exported")
    yield folder
    _forget(engine)


@pytest.fixture
def exported(client: docker.DockerClient, _exported: Path, tmp_path: Path) -> Path:
    """A folder with all steps of ``DOCKERFILE``, for this test alone; the engine that has made them has the image."""
    client.images.get("exported").tag("built")
    return Path(shutil.copytree(_exported, tmp_path / "cache"))


@pytest.fixture(scope="module")
def registry(need: Callable[..., None]) -> Iterator[RegistryServer]:
    need("registry")
    with running_registry() as running:
        yield running


def test_another_engine_goes_on_from_a_folder(
    client: docker.DockerClient, other: EngineProcess, exported: Path
) -> None:
    source = f"type=local,src={exported}"
    assert _build(other.client, cache_from=[source]).count(HIT) == STEPS
    assert _layers(other.client) == _layers(client)
    script = "cat /f g; test /w/r -ef /w/hard && test -d /w/e && stat -c %a /new"
    said = [one.containers.run("built", ["sh", "-c", script], remove=True) for one in (client, other.client)]
    assert said[0] == said[1] == b"11755\n"
    # What was taken is known from now on, and all else is as it was.
    assert _build(other.client).count(HIT) == STEPS
    _forget(other)
    told = _build(other.client, f=b"2", cache_from=[source])
    assert told.count(HIT) == 3
    assert "Running in" in told.partition("COPY f /f")[2]
    assert _layers(other.client)[:2] == _layers(client)[:2]
    assert what_stays_wrong(other.root) == []


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_stage_is_not_wanted_where_what_is_copied_from_it_is_known(
    client: docker.DockerClient, other: EngineProcess, exported: Path, tmp_path: Path, mode: str
) -> None:
    def layers() -> int:
        return len(list(other.root.joinpath("images", "snapshots", "layers").iterdir()))

    folder = tmp_path / mode
    _build(client, to=f"type=local,dest={folder},mode={mode}")
    before = layers()
    told = _build(other.client, cache_from=[f"type=local,src={folder}"])
    assert told.count(HIT) == STEPS
    assert _layers(other.client) == _layers(client)
    assert layers() - before == LAYERS - 1
    # What was not fetched can be described to others again.
    again = tmp_path / "again"
    _build(other.client, to=f"type=local,dest={again}", cache_from=[f"type=local,src={folder}"])
    steps = [_config(one)["steps"].keys() for one in (folder, again)]
    assert steps[0] == steps[1]
    _forget(other)
    assert _build(other.client, f=b"2", cache_from=[f"type=local,src={again}"]).count(HIT) == 3
    # Whoever wants other files of it has it built, or fetched.
    _forget(other)
    told = _build(other.client, DOCKERFILE.replace("=made /r /d", "=made /r"), cache_from=[f"type=local,src={folder}"])
    assert told.count("Running in") == {"min": 2, "max": 1}[mode]
    assert other.client.containers.run("built", ["cat", "/new/g"], remove=True) == b"1"


def test_a_stage_that_is_wanted_after_all_and_fails(
    client: docker.DockerClient, other: EngineProcess, exported: Path, tmp_path: Path
) -> None:
    text = (
        "FROM busybox AS a\nRUN --mount=type=secret,id=s,required=true cp /run/secrets/s /a\n"
        "FROM busybox\nCOPY --from=a /a /b\n"
    )
    token = extension.post_json(client, "/build/secrets", {"s": base64.b64encode(b"1").decode()})["Token"]
    to = {CACHE_TO: f"type=local,dest={tmp_path}/c"}
    build(client, text, buildargs={**to, "NBCONTAINERS_SECRETS": token})
    source = [f"type=local,src={tmp_path}/c"]
    assert _build(other.client, text, cache_from=source).count(HIT) == 2
    with pytest.raises(BuildError, match="secret s: not found"):
        _build(other.client, text.replace("/a /b", "/a /c"), cache_from=source)


def test_only_what_has_changed_is_written_again(client: docker.DockerClient, exported: Path) -> None:
    def blobs() -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in (exported / "blobs" / "sha256").iterdir()}

    before = blobs()
    _build(client, to=f"type=local,dest={exported},mode=max")
    after = blobs()
    index = json.loads((exported / "index.json").read_bytes())
    manifest = json.loads(_blob(exported, index["manifests"][0]))
    layers = {layer["digest"][7:] for layer in manifest["layers"]}
    assert {name: before[name] for name in layers} == {name: after[name] for name in layers}
    told = _build(client, f=b"2", to=json.dumps([f"type=local,dest={exported}"]))
    assert f"Exported cache to '{exported}': {STEPS - 1} steps, {LAYERS - 1} layers" in told
    assert len(blobs()) == LAYERS - 1 + 2


def test_a_registry(
    client: docker.DockerClient, other: EngineProcess, exported: Path, registry: RegistryServer
) -> None:
    name = f"{registry.address}/team/cache:1"
    _build(client, to=f"type=registry,ref={name},mode=max")
    there = registry.blobs()
    _build(client, to=f"type=registry,ref={name},mode=max")
    assert registry.blobs() == there
    assert _build(other.client, cache_from=[f"type=registry,ref={name}"]).count(HIT) == STEPS
    assert _layers(other.client) == _layers(client)
    with pytest.raises(ImageNotFound):
        other.client.images.pull(name)
    told = _build(other.client, f=b"3", cache_from=[f"type=registry,ref={registry.address}/none"])
    assert "[Warning] the cache" in told
    with pytest.raises(BuildError, match="the cache cannot be exported"):
        _build(client, to="type=registry,ref=127.0.0.1:1/none")
    assert "[Warning] the cache" in _build(client, to="type=registry,ref=127.0.0.1:1/none,ignore-error=true")


def test_an_image_that_came_from_elsewhere(
    client: docker.DockerClient, other: EngineProcess, registry: RegistryServer
) -> None:
    text, name = DOCKERFILE.replace("head -c 8 /dev/urandom > /r", "echo r > /r"), f"{registry.address}/team/app"
    _build(client, text)
    client.images.get("built").tag(name, "1")
    client.images.push(name, tag="1")
    saved = b"".join(client.api.get_image(f"{name}:1"))
    own = STEPS - 1  # the first stage's are not in the image
    assert _build(other.client, text, cache_from=[f"type=registry,ref={name}:1"]).count(HIT) == own
    for is_saved in (False, True):
        _forget(other)
        if is_saved:
            other.client.images.load(saved)
        else:
            other.client.images.pull(name, tag="1")
        assert _build(other.client, text, cache_from=[f"{name}:1"]).count(HIT) == own
        assert _layers(other.client) == _layers(client)


def test_docker_s_own_client(cli: EngineProcess, other: EngineProcess, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "f").write_bytes(b"1")
    (tmp_path / "f").chmod(0o600)
    (tmp_path / ".dockerignore").write_text("cache\nagain\nDockerfile\n")
    again = tmp_path / "again"
    options = ("--cache-from", f"type=local,src={exported}", "--build-arg", f"{CACHE_TO}=type=local,dest={again}")
    told = other.docker("build", *options, "-t", "built", str(tmp_path)).stdout.decode()
    assert told.count(HIT) == 3  # the file has another mode
    assert again.is_dir()


def test_this_machine_s_own_files_are_not_given_away(client: docker.DockerClient, tmp_path: Path) -> None:
    to = f"type=local,dest={tmp_path},mode=max"
    with pytest.raises(BuildError, match="stands on this machine's own file system"):
        _build(client, "FROM host\nRUN true\n", to=to)
    text = "FROM host AS h\nRUN true\nFROM busybox\nCOPY --from=h /etc/hostname /h\nRUN --mount=from=h,target=/x true\n"
    assert "1 step, 1 layer" in _build(client, text, to=to)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "type=local,dest=relative"}, "no absolute path"),
        ({"to": "type=gha"}, "'gha' is not supported"),
        ({"cache_from": ["type=local"]}, "src=FOLDER is wanted"),
    ],
)
def test_what_is_refused_says_why(client: docker.DockerClient, options: dict[str, Any], message: str) -> None:
    with pytest.raises(APIError, match=message):
        _build(client, **options)


def _blob(folder: Path, descriptor: dict[str, Any]) -> bytes:
    return folder.joinpath("blobs", "sha256", descriptor["digest"][7:]).read_bytes()


def _config(folder: Path) -> dict[str, Any]:
    index = json.loads((folder / "index.json").read_bytes())
    found: dict[str, Any] = json.loads(_blob(folder, json.loads(_blob(folder, index["manifests"][0]))["config"]))
    return found


def _put(folder: Path, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs" / "sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def _forge(folder: Path, archive: bytes, *, honest: bool = True, size: int | None = None) -> None:
    """Have all layers of a cache be this one, with digests that are right, but for what it is said to be unpacked."""
    index = json.loads((folder / "index.json").read_bytes())
    manifest = json.loads(_blob(folder, index["manifests"][0]))
    config = json.loads(_blob(folder, manifest["config"]))
    blob = _put(folder, gzip.compress(archive, 9))
    for number, layer in enumerate(manifest["layers"]):
        manifest["layers"][number] = {**layer, **blob}
        config["layers"][number]["size"] = len(archive) if size is None else size
        if honest:
            config["layers"][number]["diff_id"] = f"sha256:{hashlib.sha256(archive).hexdigest()}"
    manifest["config"] |= _put(folder, json.dumps(config).encode())
    index["manifests"][0] |= _put(folder, json.dumps(manifest).encode())
    (folder / "index.json").write_text(json.dumps(index))


def _remove_blobs(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_bytes())
    for layer in json.loads(_blob(folder, index["manifests"][0]))["layers"]:
        (folder / "blobs" / "sha256" / layer["digest"][7:]).unlink()


ENEMIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "another layer": (lambda folder: _forge(folder, archive({"evil": b"1"}), honest=False), "turned out to be"),
    "a way out": (lambda folder: _forge(folder, archive({"../../../../evil": b"1"})), "leads out"),
    "a bomb": (lambda folder: _forge(folder, archive({"bomb": bytes(8 << 20)}), size=1 << 20), "more than the"),
    "too large": (lambda folder: _forge(folder, archive({"x": b"1"}), size=1 << 60), "the disk has room for"),
    "no archive": (lambda folder: _forge(folder, b"x" * 10_000), "is not used"),
    "missing blobs": (_remove_blobs, "No such file"),
    "no index": (lambda folder: (folder / "index.json").unlink(), "no index of an OCI layout"),
    "a long index": (lambda folder: (folder / "index.json").write_bytes(b" " * (9 << 20)), "longer than"),
}


@pytest.mark.parametrize("enemy", ENEMIES)
def test_a_folder_of_an_enemy_changes_nothing(other: EngineProcess, exported: Path, enemy: str) -> None:
    spoil, reason = ENEMIES[enemy]
    spoil(exported)
    active = other.root / "images" / "snapshots" / "active"
    before = set(active.iterdir())
    told = _build(other.client, cache_from=[f"type=local,src={exported}"])
    assert f"{reason}" in told
    assert "[Warning] " in told
    assert told.count("Running in") == 3
    until(lambda: set(active.iterdir()) == before)
    script = "cat /f; ls /evil /bomb 2>/dev/null"
    assert other.client.containers.run("built", ["sh", "-c", f"{script}; true"], remove=True) == b"1"
    # What was thrown away is removed when there is time.
    until(lambda: "evil" not in {name for _, _, names in os.walk(other.root.parent) for name in names})
    assert what_stays_wrong(other.root) == []
