"""Whatever is asked, it is answered: no fault of ours, no hang, and nothing left behind.

``NBC_FUZZ_REQUESTS`` says how many requests; ``make soak`` sends 10,000.
"""

import contextlib
import http.client
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.busybox import root_file_system
from tests.engine_process import EngineProcess, running_engine
from tests.fuzz.requests import Request, any_request, served
from tests.waiting import until

REQUESTS = int(os.environ.get("NBC_FUZZ_REQUESTS", "400"))
ANSWER_SECONDS = 30
MOST_CONTAINERS = 12
UNREACHABLE = re.compile(r"(cannot pull '[^'\s]+': )?the registry '[^'\s]+' cannot be reached: .+")
pytestmark = [pytest.mark.root, pytest.mark.timeout(3600)]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_SECONDS)
        self.sock.connect(self._path)


@pytest.fixture(scope="module")
def engine(need: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    need("busybox")
    # Names that requests make up belong to registries of the world: no packet goes there.
    monkeypatch = pytest.MonkeyPatch()
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with running_engine(log=tmp_path_factory.mktemp("fuzz") / "engine.log") as running:
        monkeypatch.undo()
        yield running
        _remove_all(running)


def _remove_all(engine: EngineProcess) -> None:
    """Remove what requests have made, and bring back the image that one of them may have removed."""
    engine.remove_everything()
    api = engine.client.api
    api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
    for network in api.networks(filters={"type": ["custom"]}):
        api.remove_network(network["Id"])
    for volume in api.volumes()["Volumes"] or ():
        api.remove_volume(volume["Name"])


def _descriptors(engine: EngineProcess) -> int:
    assert engine.process is not None
    return len(os.listdir(f"/proc/{engine.process.pid}/fd"))


def ask(engine: EngineProcess, request: Request) -> tuple[int, bytes]:
    """Send a request, read the answer, or of an endless one the beginning, and go; return the status and the body."""
    with contextlib.closing(UnixConnection(str(engine.socket))) as connection:
        with contextlib.suppress(BrokenPipeError):  # it was refused before its body was read
            connection.request(request.method, request.target, request.body, {"Content-Type": "application/json"})
        with contextlib.closing(connection.getresponse()) as response:
            endless = "chunked" in (response.getheader("Transfer-Encoding") or "") or response.status == 101
            return response.status, b"" if endless else response.read()


@settings(
    max_examples=REQUESTS,
    deadline=None,
    database=None,
    print_blob=True,
    phases=(Phase.explicit, Phase.generate),  # what comes before matters: a request alone may not fail again
    suppress_health_check=list(HealthCheck),
)
@given(request=any_request())
def answer_many(engine: EngineProcess, request: Request) -> None:
    """Send many requests, and assert that each is answered."""
    status, body = ask(engine, request)
    # Docker's status for a registry that nobody reaches, and here that is any.
    assert status != 500 or UNREACHABLE.fullmatch(str(json.loads(body)["message"])), (request, body)
    assert 200 <= status < 600, request
    if len(engine.client.api.containers(all=True)) > MOST_CONTAINERS:
        _remove_all(engine)


def _descriptors_at_rest(engine: EngineProcess) -> int:
    """Run a container and have all connections closed, and return how many descriptors the engine has then."""
    _remove_all(engine)
    output = engine.client.containers.run("busybox", ["echo", "fine"], remove=True, network_mode="none")
    assert output == b"fine\n"
    assert engine.client.containers.list(all=True) == []
    engine.client.close()
    counted = [_descriptors(engine), 0]
    while counted[-1] != counted[-2]:  # until connections and pools have settled
        time.sleep(0.2)
        counted.append(_descriptors(engine))
    return counted[-1]


def test_nothing_is_left_of_many_requests(engine: EngineProcess) -> None:
    before = _descriptors_at_rest(engine)
    answer_many(engine)
    assert engine.log is not None
    assert "Traceback" not in (said := engine.log.read_text()), said
    assert len(served()) > 50
    until(lambda: _descriptors_at_rest(engine) <= before + 2, pause_seconds=0.2)
