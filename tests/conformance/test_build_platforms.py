"""What a build stands on: ``--pull``, which always asks the registry, and ``--platform``, for other machines."""

import asyncio
import platform
import struct
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
from docker.errors import APIError, BuildError

from nbcontainers.images.registry import Registries, Repository, Settings
from tests.conformance.builds import build
from tests.engine_process import EngineProcess
from tests.images.registry.contents import Made, archive, publish, publish_index
from tests.images.registry.servers import RegistryServer, running_registry

pytestmark = [pytest.mark.root]

HERE, OTHER = ("amd64", "arm64") if platform.machine() == "x86_64" else ("arm64", "amd64")
_MACHINES = {"amd64": 62, "arm64": 183}


@pytest.fixture(scope="module")
def registry(need: Callable[..., None]) -> Iterator[RegistryServer]:
    need("registry")
    with running_registry() as running:
        yield running


@pytest.fixture
def clean(client: docker.DockerClient) -> Iterator[docker.DockerClient]:
    """docker-py; images that a test has pulled or built are removed after it."""
    yield client
    for image in client.images.list():
        if not {"busybox:latest", "host:latest"} & set(image.tags):
            client.images.remove(str(image.id), force=True)
    client.api.prune_builds()


def _made(text: str, machine: str = HERE) -> Made:
    return Made([archive(**{text: text.encode()})], architecture=machine, config={"config": {"Labels": {"of": text}}})


def _publish(registry: RegistryServer, name: str, *, tag: str, made: list[Made]) -> str:
    """Put an image, or several for their platforms, under one tag; returns the reference."""

    async def put(repository: Repository) -> None:
        if len(made) == 1:
            await publish(repository, made[0], tag)
            return
        entries = [
            (await publish(repository, one, one.architecture), {"os": "linux", "architecture": one.architecture})
            for one in made
        ]
        await publish_index(repository, entries, tag)

    async def run() -> None:
        registries = Registries(Settings())
        await put(registries.repository(registry.address, name, push=True))
        await registries.close()

    asyncio.run(run())
    return f"{registry.address}/{name}:{tag}"


def _built(client: docker.DockerClient) -> tuple[str, str]:
    """Return for which machine the image is, and whose label it has."""
    found: dict[str, Any] = client.api.inspect_image("built")
    return found["Architecture"], found["Config"]["Labels"]["of"]


def test_pull_always_asks(clean: docker.DockerClient, registry: RegistryServer) -> None:
    base = _publish(registry, "moving", tag="1", made=[_made("old")])
    text = f"FROM {base}\nCOPY f /f\n"
    assert "Status: Downloaded newer image" in build(clean, text)
    _publish(registry, "moving", tag="1", made=[_made("new")])
    assert "Status:" not in build(clean, text)
    assert _built(clean) == (HERE, "old")
    assert "Status: Downloaded newer image" in build(clean, text, pull=True)
    assert _built(clean) == (HERE, "new")
    told = build(clean, f"{text}COPY --from={base} /new /again\n", pull=True)
    assert told.count("Status: Image is up to date") == 1
    assert told.count("---> Using cache") == 1
    clean.images.get(base).tag(f"{registry.address}/only-here", "1")
    with pytest.raises((APIError, BuildError), match="not found"):
        build(clean, f"FROM {registry.address}/only-here:1\n", pull=True)
    assert "Status:" not in build(clean, "FROM host\nCOPY f /f\n", pull=True)


def test_an_image_for_another_machine(clean: docker.DockerClient, registry: RegistryServer) -> None:
    base = _publish(registry, "many", tag="1", made=[_made("here"), _made("there", OTHER)])
    text = (
        "FROM --platform=$BUILDPLATFORM busybox AS compiler\nARG TARGETARCH\nRUN echo for $TARGETARCH > /program\n"
        f"FROM {base}\nCOPY --from=compiler /program /\n"
    )
    ids: dict[str | None, str] = {}
    for machine, of in ((OTHER, "there"), (HERE, "here"), (OTHER, "there"), (HERE, "here")):
        build(clean, text, platform=f"linux/{machine}")
        assert _built(clean) == (machine, of)
        ids.setdefault(clean.images.get("built").id, machine)
    assert list(ids.values()) == [OTHER, HERE]
    # One name for two images, in the same build.
    both = (
        f"FROM --platform=linux/{HERE} {base} AS one\nFROM --platform=linux/{OTHER} {base}\nCOPY --from=one /here /\n"
    )
    build(clean, both)
    assert _built(clean) == (OTHER, "there")
    layers: list[str] = clean.api.inspect_image("built")["RootFS"]["Layers"]
    assert len(layers) == 2
    build(clean, f"FROM scratch\nCOPY --from={base} /there /\n", platform=f"linux/{OTHER}")
    assert clean.api.inspect_image("built")["Architecture"] == OTHER


def test_what_is_here_for_another_machine_alone(clean: docker.DockerClient, registry: RegistryServer) -> None:
    base = _publish(registry, "one", tag="1", made=[_made("there", OTHER)])
    clean.images.pull(base, platform=f"linux/{OTHER}")
    told = build(clean, f"FROM {base}\nCOPY f /f\n")  # as with Docker, what was not asked for is not insisted on
    assert "InvalidBaseImagePlatform" in told
    clean.images.get(base).tag(f"{registry.address}/local", "1")
    wrong = f"FROM --platform=linux/{HERE} {registry.address}/local:1\nCOPY f /f\n"
    with pytest.raises((APIError, BuildError), match=f"wanted linux/{HERE}, actual: linux/{OTHER}"):
        build(clean, wrong)


def test_a_program_for_another_machine_is_not_run(clean: docker.DockerClient) -> None:
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, _MACHINES[OTHER], 1, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0
    )
    text = "FROM scratch\nCOPY --chmod=755 sh /bin/sh\nRUN true\n"
    with pytest.raises(BuildError, match="exec format error"):
        build(clean, text, {"sh": header}, platform=f"linux/{OTHER}")
    with pytest.raises(APIError, match="images for linux are built"):
        build(clean, text, {"sh": header}, platform="windows/amd64")


def test_the_command_line(cli: EngineProcess, clean: docker.DockerClient, registry: RegistryServer) -> None:
    base = _publish(registry, "cli", tag="1", made=[_made("here"), _made("there", OTHER)])
    arguments = ("build", "-q", "--pull", "--platform", f"linux/{OTHER}", "-t", "built", "-")
    cli.docker(*arguments, stdin=f"FROM {base}\nENV A=1\n".encode())
    assert _built(clean) == (OTHER, "there")
