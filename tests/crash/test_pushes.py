"""An engine killed in the middle of a push: the registry has no image that is not whole, and the next push goes on."""

import contextlib
import io
import threading
from collections.abc import Callable
from typing import Any

import docker
import pytest

from tests.crash.stores import what_stays_wrong
from tests.engine_process import EngineProcess
from tests.images.registry.servers import Fault, FaultyProxy, Hold, RegistryServer
from tests.waiting import SECONDS

pytestmark = [pytest.mark.root, pytest.mark.registry]
DOCKERFILE = b"FROM busybox\nRUN head -c 3000000 /dev/urandom > /large\n"


def _push(engine: EngineProcess, name: str) -> list[dict[str, Any]]:
    with contextlib.closing(docker.DockerClient(engine.url, timeout=60)) as client:
        return list(client.api.push(name, "1", stream=True, decode=True))


def _push_until_killed(engine: EngineProcess, name: str) -> None:
    with contextlib.suppress(Exception):
        _push(engine, name)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_push_goes_on_after_a_kill(
    engine: EngineProcess, need: Callable[..., None], registry: RegistryServer
) -> None:
    need("busybox")
    with FaultyProxy(registry.address) as proxy:
        name = f"{proxy.address}/killed"
        pushed, _ = engine.client.images.build(fileobj=io.BytesIO(DOCKERFILE), tag=f"{name}:1")
        for fault in (
            Fault("PUT|PATCH", "/uploads/", cut_request_after=100_000),
            Fault("PUT", "/manifests/"),
        ):
            fault.hold = hold = Hold()
            proxy.faults = [fault]
            pushing = threading.Thread(target=_push_until_killed, args=(engine, name))
            pushing.start()
            try:
                assert hold.reached.wait(SECONDS)
                engine.kill()
                pushing.join()
            finally:
                hold.over.set()
            assert engine.start() == "ready"
            assert what_stays_wrong(engine.root) == []
            assert not list(registry.directory.glob("**/_manifests/tags/*"))
        proxy.requests.clear()
        told = _push(engine, name)
        assert "aux" in told[-1]
        # Both layers had arrived before the last kill.
        assert [one.get("status") for one in told].count("Layer already exists") == 2
        assert proxy.count("POST", "/uploads/") == 0
        engine.client.images.remove(f"{name}:1")
        assert engine.client.images.pull(f"{name}:1").id == pushed.id
