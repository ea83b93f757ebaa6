"""Images to the real docker-registry by the stock docker CLI and docker-py, whatever goes wrong on the way."""

import base64
import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from nbcontainers.images.registry import Registries, Settings, media
from tests.engine_process import EngineProcess
from tests.images.registry.contents import Made, archive, publish, publish_index
from tests.images.registry.servers import (
    PASSWORD,
    USER,
    Fault,
    FaultyProxy,
    RegistryServer,
    TokenServer,
    running_registry,
)

pytestmark = [pytest.mark.root, pytest.mark.registry, pytest.mark.peer]
DOCKERFILE = b"FROM busybox\nRUN echo one > /one\nRUN head -c 3000000 /dev/urandom > /large\nENV made=here\n"


@pytest.fixture(scope="module")
def app(engine: EngineProcess) -> Iterator[str]:
    """The id of an image with three layers."""
    image, _ = engine.client.images.build(fileobj=io.BytesIO(DOCKERFILE), tag="pushed-app:1")
    yield str(image.id)
    for tag in engine.client.images.get(image.id).tags:
        engine.client.images.remove(tag, force=True)


def pushed(engine: EngineProcess, name: str, **options: Any) -> list[dict[str, Any]]:
    """Push, and return all that was told."""
    return list(engine.client.api.push(name, stream=True, decode=True, **options))


def statuses(messages: list[dict[str, Any]]) -> list[str]:
    return [str(message.get("status", "")) for message in messages if message.get("id")]


def digest_of(messages: list[dict[str, Any]]) -> str:
    return next(str(message["aux"]["Digest"]) for message in messages if "aux" in message)


def raw_manifest(name: str) -> dict[str, Any]:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    return found


@pytest.mark.image_tools
def test_push_gives_what_dockerd_gives(engine: EngineProcess, app: str, registry: RegistryServer) -> None:
    name = f"{registry.address}/team/app"
    engine.client.images.get(app).tag(name, "1")
    messages = pushed(engine, name, tag="1")
    assert messages[0] == {"status": f"The push refers to repository [{name}]"}
    told = statuses(messages)
    assert (told.count("Preparing"), told.count("Pushed")) == (3, 3)
    manifest = raw_manifest(f"{name}:1")
    assert manifest["mediaType"] == media.DOCKER_MANIFEST
    assert manifest["config"]["digest"] == app
    assert {layer["mediaType"] for layer in manifest["layers"]} == {media.DOCKER_LAYER_GZIP}
    digest = digest_of(messages)
    assert engine.client.images.get(app).attrs["RepoDigests"] == [f"{name}@{digest}"]

    again = pushed(engine, name, tag="1")
    assert digest_of(again) == digest
    assert statuses(again).count("Layer already exists") == 3


def test_pull_gives_the_same_image_back(cli: EngineProcess, app: str, registry: RegistryServer) -> None:
    name = f"{registry.address}/team/back:1"
    cli.docker("tag", app, name)
    said = cli.docker("push", name).stdout.decode()
    assert "1: digest: sha256:" in said
    assert cli.docker("run", "--rm", name, "cat", "/one").stdout == b"one\n"
    cli.docker("rmi", name)
    cli.docker("pull", name)
    assert cli.client.images.get(name).id == app


def test_layers_are_mounted_from_another_repository(engine: EngineProcess, app: str, registry: RegistryServer) -> None:
    for repository in ("mount/first", "mount/second"):
        name = f"{registry.address}/{repository}"
        engine.client.images.get(app).tag(name, "1")
        told = statuses(pushed(engine, name, tag="1"))
    assert sum(status.startswith("Mounted from ") for status in told) == 3
    assert "Pushed" not in told


async def test_an_oci_image_stays_one(engine: EngineProcess, registry: RegistryServer) -> None:
    made = Made([archive(first=b"1"), archive(second=os.urandom(100_000))], kind=media.OCI_LAYER_ZSTD)
    with FaultyProxy(registry.address) as proxy, running_registry() as other:
        registries = Registries(Settings())
        source = registries.repository(proxy.address, "oci/source", push=True)
        own = await publish(source, made, "1")
        await publish_index(source, [(own, {"os": "linux", "architecture": "amd64"})], "1")
        image = engine.client.images.pull(f"{proxy.address}/oci/source", "1")
        # Beside its source: its blobs are mounted, its manifest is the same, without the index.
        proxy.requests.clear()
        image.tag(f"{proxy.address}/oci/copy", "1")
        assert digest_of(pushed(engine, f"{proxy.address}/oci/copy", tag="1")) == own.digest
        assert proxy.count("POST", r"uploads/\?mount=") == 2
        assert proxy.count("P(UT|ATCH)", "/uploads/") == 1  # the configuration
        # In another registry: its layers are compressed anew, and it is of the same kind.
        image.tag(f"{other.address}/oci/copy", "1")
        assert digest_of(pushed(engine, f"{other.address}/oci/copy", tag="1"))
        manifest = await registries.repository(other.address, "oci/copy").manifest("1")
        assert manifest.media_type == media.OCI_MANIFEST
        document = json.loads(manifest.data)
        assert document["config"]["mediaType"] == media.OCI_CONFIG
        assert {layer["mediaType"] for layer in document["layers"]} == {media.OCI_LAYER_GZIP}
        await registries.close()
    engine.client.images.remove(str(image.id), force=True)


def test_all_tags_go(cli: EngineProcess, app: str, registry: RegistryServer) -> None:
    name = f"{registry.address}/team/tags"
    for tag in ("1", "2"):
        cli.docker("tag", app, f"{name}:{tag}")
    said = cli.docker("push", "--all-tags", name).stdout.decode()
    assert "1: digest:" in said
    assert "2: digest:" in said


def test_same_layer_is_compressed_to_the_same_bytes(engine: EngineProcess, app: str) -> None:
    """Another registry, asked by an engine that has forgotten what it pushed: there is nothing else to know it by."""
    digests = []
    for _ in range(2):
        with running_registry() as other:
            name = f"{other.address}/same"
            engine.client.images.get(app).tag(name, "1")
            digests.append(digest_of(pushed(engine, name, tag="1")))
    assert digests[0] == digests[1]


def test_password_is_wanted(cli: EngineProcess, app: str, tmp_path: Path) -> None:
    with running_registry(htpasswd=True) as private:
        name = f"{private.address}/private/app:1"
        cli.docker("tag", app, name)
        refused = cli.docker("push", name, check=False)
        assert refused.returncode == 1
        assert b"no basic auth credentials" in refused.stderr
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {private.address: {"auth": auth}}}))
        environment = {**os.environ, "DOCKER_HOST": cli.url, "DOCKER_CONFIG": str(tmp_path)}
        subprocess.run(["docker", "push", name], check=True, env=environment, capture_output=True, timeout=60)


def test_token_is_wanted(engine: EngineProcess, app: str) -> None:
    with TokenServer() as tokens, running_registry(tokens=tokens) as private:
        name = f"{private.address}/private/app"
        engine.client.images.get(app).tag(name, "1")
        assert "unauthorized: authentication required" in pushed(engine, name, tag="1")[-1]["error"]
        for config in ({"username": USER, "password": PASSWORD}, {"IdentityToken": tokens.refresh_token}):
            assert digest_of(pushed(engine, name, tag="1", auth_config=config))


def test_push_survives_faults(engine: EngineProcess, app: str, registry: RegistryServer) -> None:
    with running_registry() as other, FaultyProxy(other.address) as proxy:
        name = f"{proxy.address}/faults"
        engine.client.images.get(app).tag(name, "1")
        proxy.faults = [
            Fault("PATCH", "uploads", cut_request_after=100_000),
            Fault("PUT", "uploads", cut_request_after=100_000),
            Fault("POST", "uploads", status=429, headers={"Retry-After": "0"}),
            Fault("PUT", "manifests", status=503),
        ]
        digest = digest_of(pushed(engine, name, tag="1"))
        assert digest in other.blobs()
    assert not list(engine.root.glob("images/tmp*"))


def test_registry_that_refuses_gets_no_manifest(engine: EngineProcess, app: str) -> None:
    with running_registry() as other, FaultyProxy(other.address) as proxy:
        name = f"{proxy.address}/refusing"
        engine.client.images.get(app).tag(name, "1")
        proxy.faults = [Fault("POST", "uploads", status=403, times=100)]
        assert "denied: requested access" in pushed(engine, name, tag="1")[-1]["error"]
        assert proxy.count("PUT", "manifests") == 0


def test_what_cannot_be_pushed_is_refused(engine: EngineProcess, registry: RegistryServer) -> None:
    def error(name: str, tag: str) -> str:
        return str(pushed(engine, name, tag=tag)[-1]["error"])

    assert "does not exist locally with the tag" in error(f"{registry.address}/nowhere", "1")
    assert "this machine's own file system: it cannot be pushed" in error("host", "latest")
    name = f"{registry.address}/on-host"
    engine.client.images.build(fileobj=io.BytesIO(b"FROM host\nRUN true\n"), tag=f"{name}:1")
    assert "this machine's own file system: it cannot be pushed" in error(name, "1")
    engine.client.images.remove(f"{name}:1")
    with pytest.raises(docker.errors.APIError, match="digest reference"):
        pushed(engine, f"{registry.address}/x@sha256:{'0' * 64}")
