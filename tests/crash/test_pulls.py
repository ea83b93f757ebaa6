"""An engine killed in the middle of a pull: nothing half done is left, and what was complete is not fetched again.

``KILLS=200 SEED=7`` in the environment make more of it, or the same again.
"""

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable

import docker
import pytest

from nbcontainers.images.registry import Registries, Settings
from tests.crash.stores import what_stays_wrong
from tests.engine_process import EngineProcess
from tests.images.registry.contents import Made, archive, digest, publish
from tests.images.registry.servers import Fault, FaultyProxy, running_registry
from tests.waiting import until

pytestmark = [pytest.mark.root]
KILLS = int(os.environ.get("KILLS", "4"))
LONGEST_SECONDS = 0.4


async def test_a_pull_goes_on_after_a_kill(engine: EngineProcess, need: Callable[..., None]) -> None:
    need("registry")
    layers = engine.root / "images/snapshots/layers"
    made = Made([archive(a=b"1"), archive(b=os.urandom(2 << 20)), archive(c=b"3")])
    with running_registry() as registry, FaultyProxy(registry.address) as proxy:
        registries = Registries(Settings())
        await publish(registries.repository(registry.address, "app", push=True), made)
        await registries.close()
        first, large, last = (f"/blobs/{digest(blob)}" for blob in made.blobs)
        proxy.faults.append(Fault("GET", large, pause_seconds=0.5))
        before = set(os.listdir(layers))
        pulling = threading.Thread(target=_pull, args=(engine, proxy.address))
        pulling.start()
        until(lambda: len(set(os.listdir(layers)) - before) == 2)
        engine.kill()
        pulling.join()
        assert engine.start() == "ready"
        assert os.listdir(engine.root / "images/snapshots/active") == []
        assert len(set(os.listdir(layers)) - before) == 2
        with pytest.raises(docker.errors.ImageNotFound):
            engine.client.images.get(f"{proxy.address}/app")
        engine.client.images.pull(f"{proxy.address}/app")
        assert engine.client.images.get(f"{proxy.address}/app").id == made.image_id
        assert [proxy.count("GET", path) for path in (first, large, last)] == [1, 2, 1]
        engine.client.images.remove(f"{proxy.address}/app")
        assert set(os.listdir(layers)) == before


def _pull(engine: EngineProcess, registry: str) -> None:
    with pytest.raises(Exception, match=r"."):  # the engine goes
        engine.client.images.pull(f"{registry}/app")


@pytest.mark.timeout(60 + 15 * KILLS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_a_store_is_whole_whenever_a_pull_is_killed(engine: EngineProcess, need: Callable[..., None]) -> None:
    need("registry")
    chance = random.Random(int(os.environ.get("SEED", "1")))
    files = [{f"d{n % 7}__{n}": os.urandom(999) for n in range(count)} for count in (1, 300, 40, 400)]
    made = Made([archive(**one) for one in files])
    with running_registry() as registry:
        registries = Registries(Settings())
        await publish(registries.repository(registry.address, "app", push=True), made)
        await registries.close()
        for _ in range(KILLS):
            pulling = threading.Thread(target=_pull_and_remove, args=(engine, registry.address))
            pulling.start()
            time.sleep(chance.uniform(0, LONGEST_SECONDS))
            engine.kill()
            pulling.join()
            assert engine.start() == "ready"
            assert what_stays_wrong(engine.root) == []
        assert engine.client.images.pull(f"{registry.address}/app").id == made.image_id
        assert what_stays_wrong(engine.root) == []


def _pull_and_remove(engine: EngineProcess, registry: str) -> None:
    with contextlib.suppress(Exception), contextlib.closing(docker.DockerClient(engine.url, timeout=60)) as client:
        while True:
            client.images.pull(f"{registry}/app")
            client.images.remove(f"{registry}/app")
