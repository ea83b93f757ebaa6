"""kill -9 at random moments of builds, pulls, loads, commits and removals: nothing half is there, nothing is lost.

``KILLS=200 SEED=7`` in the environment make more of it, or the same again; ``make soak`` kills 200 times.
"""

import asyncio
import contextlib
import io
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
import requests
import urllib3.exceptions

from nbcontainers.build import catalog
from nbcontainers.images import manifests
from nbcontainers.images.layout import Layout
from nbcontainers.images.registry import Registries, Settings
from tests.conformance import builds
from tests.crash.stores import what_stays_wrong
from tests.engine_process import EngineProcess
from tests.images.registry.contents import Made, archive, publish
from tests.images.registry.servers import running_registry

pytestmark = [pytest.mark.root]
KILLS = int(os.environ.get("KILLS", "6"))
LONGEST_SECONDS = 0.5
PATIENCE_SECONDS = 30
KEPT = "kept:1"
_GONE = (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError)
Work = Callable[[docker.DockerClient, str], str]
"""Does something under a mark of its own, and returns the name of the image that is there then, or nothing."""


def _files(mark: str) -> dict[str, bytes]:
    return {f"d/{number}": f"{mark} {number}".encode() for number in range(200)}


def _build(client: docker.DockerClient, mark: str) -> str:
    dockerfile = (
        f"FROM busybox AS one\nRUN echo {mark} > /one && ln /one /two\n"
        f"FROM busybox\nCOPY d /d\nRUN echo {mark} > /x\nCOPY --from=one /one /two /\nWORKDIR /w\nCMD {mark}\n"
    )
    context = io.BytesIO(builds.archive({"Dockerfile": dockerfile.encode(), **_files(mark)}))
    for line in client.api.build(fileobj=context, custom_context=True, tag=f"built:{mark}", decode=True):
        assert "error" not in line, line
    return f"built:{mark}"


def _failing_build(client: docker.DockerClient, mark: str) -> str:
    context = io.BytesIO(builds.archive({"Dockerfile": f"FROM busybox\nRUN echo {mark} > /x\nRUN exit 3\n".encode()}))
    list(client.api.build(fileobj=context, custom_context=True, decode=True))
    return ""


def _import(client: docker.DockerClient, mark: str) -> str:
    client.api.import_image_from_data(builds.archive(_files(mark)), repository="imported", tag=mark)
    return f"imported:{mark}"


def _load(client: docker.DockerClient, mark: str) -> str:
    saved = b"".join(client.api.get_image(KEPT))
    client.images.load(saved)
    renamed = saved.replace(b"kept:1", b"load:1")
    client.images.load(renamed)
    return "load:1"


def _commit(client: docker.DockerClient, mark: str) -> str:
    container = client.containers.run("busybox", ["sh", "-c", f"echo {mark} > /x"], detach=True, network_mode="none")
    container.wait()
    container.commit("committed", mark)
    container.remove()
    return f"committed:{mark}"


def _remove(client: docker.DockerClient, mark: str) -> str:
    for image in client.images.list():
        for tag in image.tags:
            if tag.startswith(("built", "imported", "committed", "load", "127.0.0.1")):
                client.images.remove(tag, force=True)
    return ""


def _prune(client: docker.DockerClient, mark: str) -> str:
    client.images.prune({"dangling": True})
    client.api.prune_builds()
    return ""


WORK: tuple[Work, ...] = (_build, _build, _failing_build, _import, _load, _commit, _remove, _prune)


class _Worker:
    """Does one thing after the other, until the engine is killed below it; remembers what was acknowledged."""

    def __init__(self, url: str, work: tuple[Work, ...], chance: random.Random, mark: str) -> None:
        self._url = url
        self._work = work
        self._chance = chance
        self._mark = mark
        self.there: set[str] = set()
        self.begun: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(*_GONE), contextlib.closing(docker.DockerClient(self._url, timeout=60)) as client:
            for number in range(100):
                work = self._chance.choice(self._work)
                self.begun.append(work.__name__)
                if work is _remove:
                    self.there.clear()
                self.there.add(work(client, f"{self._mark}-{number}"))

    def join(self) -> None:
        self._thread.join()


@pytest.fixture
def killable(engine: EngineProcess) -> EngineProcess:
    dockerfile = "FROM busybox\nRUN echo a > /a\nRUN echo b > /b\n"
    for line in engine.client.api.build(fileobj=io.BytesIO(dockerfile.encode()), tag=KEPT, decode=True):
        assert "error" not in line, line
    return engine


async def _publish(address: str) -> None:
    names = [[f"d__{number}" for number in range(begin, begin + 100)] for begin in (0, 50, 99)]
    made = Made([archive(**{name: os.urandom(100) for name in layer}) for layer in names])
    registries = Registries(Settings())
    await publish(registries.repository(address, "app", push=True), made)
    await registries.close()


@pytest.fixture
def pull(need: Callable[..., None]) -> Iterator[Work]:
    need("registry")
    with running_registry() as registry:
        asyncio.run(_publish(registry.address))

        def _pull(client: docker.DockerClient, mark: str) -> str:
            client.images.pull(f"{registry.address}/app")
            return f"{registry.address}/app"

        yield _pull


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The folder of a build cache."""
    return tmp_path / "shared"


def _sharing(folder: Path) -> Work:
    """Return what exports a build's cache, loses it, and imports it again."""

    def _share(client: docker.DockerClient, mark: str) -> str:
        for to, source in ((f"type=local,dest={folder}", None), ("", [f"type=local,src={folder}"])):
            context = io.BytesIO(
                builds.archive(
                    {"Dockerfile": f"FROM busybox\nCOPY d /d\nRUN echo {mark} > /x\n".encode(), **_files(mark)}
                )
            )
            told = client.api.build(
                fileobj=context,
                custom_context=True,
                tag=f"built:{mark}",
                decode=True,
                buildargs={"NBCONTAINERS_CACHE_TO": to},
                cache_from=source,
            )
            assert not [line for line in told if "error" in line]
            if to:
                client.images.remove(f"built:{mark}", force=True)
                client.api.prune_builds()
        return f"built:{mark}"

    return _share


def _is_whole(folder: Path) -> bool:
    """Say whether a shared cache is there whole, or not yet."""
    if not (folder / "index.json").exists():
        return True
    with Layout(str(folder)) as found:
        manifest = found.manifest("latest")
        assert manifest is not None
        contents = manifests.read(manifest, catalog.KINDS)
        assert isinstance(contents, manifests.Contents)
        steps = catalog.read(contents, found.document(contents.config)).steps
        for layer in contents.layers:
            with found.blob(layer) as blob:
                blob.verify()
    return len(steps) == 2


def _wrong(engine: EngineProcess) -> list[str]:
    for container in engine.client.containers.list(all=True):
        container.remove(force=True)
    return what_stays_wrong(engine.root, seconds=PATIENCE_SECONDS)


@pytest.mark.timeout(60 + 15 * KILLS)
# docker-py leaves its socket open when an engine is killed before it has told its version.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_store_is_whole_whenever_its_engine_is_killed(killable: EngineProcess, pull: Work, shared: Path) -> None:
    seed = int(os.environ.get("SEED", "1"))
    chance = random.Random(seed)
    kept = killable.client.images.get(KEPT).id
    everything = (*WORK, pull, pull, _sharing(shared))
    for number in range(KILLS):
        worker = _Worker(killable.url, everything, random.Random(seed * 1000 + number), f"{number}")
        time.sleep(chance.uniform(0, LONGEST_SECONDS))
        killable.kill()
        worker.join()
        assert killable.start() == "ready"
        told = f"seed {seed}, kill {number}: {worker.begun[-2:]}"
        assert _wrong(killable) == [], told
        assert _is_whole(shared), told
        assert killable.client.images.get(KEPT).id == kept, told
        assert [name for name in worker.there if name and not killable.client.images.list(name)] == [], told
        assert killable.client.containers.run("busybox", ["true"], remove=True, network_mode="none") == b"", told
