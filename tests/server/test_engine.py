"""The engine's containers over Jupyter's server."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.engine_process import EngineProcess
from tests.jupyter_plugin import OwnEngine
from tests.jupyter_process import TOKEN, JupyterProcess
from tests.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.busybox]
OVERVIEW = "/nbcontainers/containers"
EVENTS = "/nbcontainers/events"
START = "/nbcontainers/engine"


def overview(jupyter: JupyterProcess) -> Any:
    status, body = jupyter.request("GET", OVERVIEW)
    assert status == 200
    return body


def next_change(stream: HTTPResponse) -> tuple[str, str]:
    """Read the stream up to the next change: its action, and the container's name."""
    while True:
        line = stream.readline()
        assert line, "the stream ended"
        if line.startswith(b"data: "):
            change = json.loads(line.removeprefix(b"data: "))
            return change["action"], change["name"]


def test_containers_are_listed_whatever_their_state(jupyter: JupyterProcess, engine: EngineProcess) -> None:
    ended = engine.client.containers.run("busybox", ["sh", "-c", "exit 3"], name="ended", detach=True)
    ended.wait()
    web = engine.client.containers.run("busybox", ["sleep", "600"], name="web", detach=True)
    said = overview(jupyter)
    assert said["engine"] == {"answers": True, "address": engine.url, "message": "", "startable": False}
    assert [entry["name"] for entry in said["containers"]] == ["web", "ended"]
    first, second = said["containers"]
    assert (first["id"], first["image"], first["command"], first["state"]) == (
        web.id,
        "busybox",
        "sleep 600",
        "running",
    )
    assert first["status"].startswith("Up ")
    assert second["state"] == "exited"
    assert second["status"].startswith("Exited (3)")
    assert isinstance(first["created"], int)


def test_events_come_as_they_happen(jupyter: JupyterProcess, engine: EngineProcess) -> None:
    with jupyter.stream(EVENTS) as stream:
        assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream")
        container = engine.client.containers.run("busybox", ["sleep", "600"], name="web", detach=True)
        assert [next_change(stream) for _ in range(2)] == [("create", "web"), ("start", "web")]
        container.kill()
        assert [next_change(stream) for _ in range(2)] == [("kill", "web"), ("die", "web")]
        container.remove()
        assert next_change(stream) == ("destroy", "web")


def test_the_engine_is_left_when_the_client_goes(jupyter: JupyterProcess, engine: EngineProcess) -> None:
    before = jupyter.open_sockets()
    with contextlib.ExitStack() as clients:
        for _ in range(3):
            assert clients.enter_context(jupyter.stream(EVENTS)).status == 200
        # Each has a connection of ours to Jupyter, and one of Jupyter's to the engine.
        assert jupyter.open_sockets() >= before + 6
    until(lambda: jupyter.open_sockets() <= before)


def test_an_engine_elsewhere_is_not_ours_to_start(jupyter: JupyterProcess, engine: EngineProcess) -> None:
    status, body = jupyter.request("POST", START)
    assert status == 409
    assert body["message"] == f"the engine at '{engine.url}' is not this user's own: start it where it is"


def test_no_engine_is_an_answer_and_starts_none(on_own: JupyterProcess, own: OwnEngine) -> None:
    said = overview(on_own)
    assert said["containers"] == []
    assert (said["engine"]["answers"], said["engine"]["startable"]) == (False, True)
    assert f"'unix://{own.socket}' does not answer (No such file or directory)" in said["engine"]["message"]
    status, body = on_own.request("GET", EVENTS)
    assert (status, body["message"]) == (503, said["engine"]["message"])
    assert not own.socket.exists()


def test_this_users_engine_is_started_when_asked_to(on_own: JupyterProcess, own: OwnEngine) -> None:
    assert on_own.request("POST", START)[0] == 204
    assert overview(on_own)["engine"]["answers"]
    pid = own.pid()
    assert on_own.request("POST", START)[0] == 204
    assert own.pid() == pid


def test_an_engine_that_cannot_start_says_why(on_own: JupyterProcess, own: OwnEngine) -> None:
    root = Path(own.environment["NBCONTAINERS_ROOT"])
    kept = root.with_name("kept")
    root.mkdir(exist_ok=True)
    root.rename(kept)
    root.write_text("in the way")
    try:
        status, body = on_own.request("POST", START)
        assert status == 503
        assert str(root) in body["message"]
    finally:
        root.unlink()
        kept.rename(root)


def test_the_events_end_with_the_engine_and_it_is_found_again(on_own: JupyterProcess, own: OwnEngine) -> None:
    assert on_own.request("POST", START)[0] == 204
    with on_own.stream(EVENTS) as stream:
        own.end(signal.SIGKILL)
        assert stream.read() == b""
    assert not overview(on_own)["engine"]["answers"]
    assert on_own.request("POST", START)[0] == 204
    assert overview(on_own)["engine"]["answers"]


def test_an_engine_that_hangs_does_not_hold_jupyter_up(on_own: JupyterProcess, own: OwnEngine) -> None:
    assert on_own.request("POST", START)[0] == 204
    pid = own.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as waiting:
            asked = [waiting.enter_context(contextlib.closing(on_own.connection())) for _ in range(6)]
            for connection in asked:
                connection.request("GET", OVERVIEW, headers={"Authorization": f"token {TOKEN}"})
            # While all of them wait for the engine, Jupyter goes on; it reads files in threads.
            assert on_own.request("GET", "/api/contents")[0] == 200
            assert select.select([connection.sock for connection in asked], [], [], 0)[0] == []
            answer = asked[0].getresponse()
            assert not json.loads(answer.read())["engine"]["answers"]
    finally:
        os.kill(pid, signal.SIGCONT)


def test_it_is_started_by_being_looked_at_where_that_is_configured(own: OwnEngine) -> None:
    program = """if True:
        import asyncio
        from nbcontainers.server.engine import Engine
        print(asyncio.run(Engine(may_start=True).overview()).engine.answers)
    """
    command = [sys.executable, "-W", "ignore", "-c", program]
    environment = {**os.environ, **own.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"


def test_a_user_without_root_is_told_so(own: OwnEngine) -> None:
    program = """if True:
        import asyncio
        from nbcontainers.errors import Unavailable
        from nbcontainers.server.engine import Engine
        try:
            asyncio.run(Engine().start())
        except Unavailable as error:
            print(error)
    """
    # The one privilege left is to read this test's Python, wherever it is installed.
    nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps +dac_override --ambient-caps +dac_override"
    command = [*nobody.split(), sys.executable, "-W", "ignore", "-c", program]
    environment = {**os.environ, **own.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert "it needs root, this is user 65534" in done.stdout


def act(jupyter: JupyterProcess, container: str, action: str) -> tuple[int, Any]:
    return jupyter.request("POST", "/nbcontainers/actions", body={"id": container, "action": action})


def test_what_is_done_to_a_container(jupyter: JupyterProcess, engine: EngineProcess) -> None:
    web = engine.client.containers.create("busybox", ["sh", "-c", "echo one; echo two >&2; exec sleep 600"])
    assert act(jupyter, web.id, "start") == (204, None)
    assert overview(jupyter)["containers"][0]["state"] == "running"
    until(lambda: web.logs().count(b"\n") == 2)
    with jupyter.stream(f"/nbcontainers/logs?id={web.id}") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert sorted(answer.read().split()) == [b"one", b"two"]
    status, body = act(jupyter, web.id, "remove")
    assert (status, "cannot remove container" in body["message"]) == (409, True)
    web.pause()
    assert act(jupyter, web.id, "unpause") == (204, None)
    web.kill()
    assert act(jupyter, web.id, "stop") == (204, None)
    assert act(jupyter, web.id, "remove") == (204, None)
    assert act(jupyter, web.id, "remove") == (204, None)
    assert overview(jupyter)["containers"] == []


def test_what_cannot_be_done(jupyter: JupyterProcess, engine: EngineProcess) -> None:
    assert act(jupyter, "nobody", "start") == (404, {"message": "No such container: nobody"})
    assert act(jupyter, "nobody", "fly") == (
        400,
        {"message": "invalid action: 'fly': start, stop, unpause, remove"},
    )
    assert act(jupyter, "../images/x", "stop")[0] == 400
    assert jupyter.request("POST", "/nbcontainers/actions", body=["stop"])[0] == 400
    assert jupyter.request("GET", "/nbcontainers/logs?id=nobody")[0] == 404
    assert jupyter.request("GET", "/nbcontainers/logs?id=a%2Fb")[0] == 400
