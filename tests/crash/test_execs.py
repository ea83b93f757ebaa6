"""kill -9 of engine, launcher and keepers while programs run in a container: nothing is left, the container goes on."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.engine_process import EngineProcess
from tests.waiting import until

pytestmark = [pytest.mark.root]


def _container(engine: EngineProcess) -> Any:
    return engine.client.containers.run("busybox", ["sleep", "600"], detach=True, name="target", network_mode="none")


def _start(engine: EngineProcess, *command: str) -> tuple[str, int]:
    """Start an exec detached; return its id and its process id."""
    api = engine.client.api
    one = api.exec_create("target", list(command))["Id"]
    api.exec_start(one, detach=True)
    return one, api.exec_inspect(one)["Pid"]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_killed_keeper_takes_its_program_along(engine: EngineProcess) -> None:
    container = _container(engine)
    one, pid = _start(engine, "sleep", "600")
    keeper = _parent(pid)
    assert Path(f"/proc/{keeper}/comm").read_text() == "nbc-keeper\n"
    os.kill(keeper, signal.SIGKILL)
    until(lambda: engine.client.api.exec_inspect(one)["ExitCode"] == 137)
    until(lambda: _gone(pid))
    container.reload()
    assert (container.status, container.attrs["ExecIDs"]) == ("running", None)
    assert container.exec_run("true").exit_code == 0


def test_a_killed_engine_leaves_programs_running(engine: EngineProcess) -> None:
    container = _container(engine)
    one, pid = _start(engine, "sleep", "600")
    keeper = _parent(pid)
    engine.kill()
    assert engine.start() == "ready"
    again = engine.client.containers.get("target")
    assert (again.status, again.attrs["ExecIDs"]) == ("running", None)
    with pytest.raises(docker.errors.NotFound):
        engine.client.api.exec_inspect(one)
    assert not _gone(pid)
    assert again.exec_run("true").exit_code == 0
    again.remove(force=True)
    until(lambda: _gone(pid) and _gone(keeper))
    assert container.id == again.id


def test_a_killed_launcher_costs_nothing(engine: EngineProcess) -> None:
    container = _container(engine)
    one, pid = _start(engine, "sleep", "600")
    launcher = _parent(_parent(pid))
    assert Path(f"/proc/{launcher}/comm").read_text() == "nbc-launcher\n"
    os.kill(launcher, signal.SIGKILL)
    assert container.exec_run(["echo", "again"]).output == b"again\n"
    assert engine.client.api.exec_inspect(one)["Running"]
    container.kill()
    until(lambda: engine.client.api.exec_inspect(one)["ExitCode"] == 137)


def test_prepared_keepers_that_were_killed_are_passed_over(engine: EngineProcess) -> None:
    container = _container(engine)
    assert container.exec_run("true").exit_code == 0
    _, pid = _start(engine, "sleep", "600")
    launcher = _parent(_parent(pid))
    children = Path(f"/proc/{launcher}/task/{launcher}/children")

    def prepared() -> list[int]:
        keepers = [int(child) for child in children.read_text().split()]
        named = [child for child in keepers if Path(f"/proc/{child}/comm").read_text() == "nbc-keeper\n"]
        return [child for child in named if child != _parent(pid)]

    until(lambda: len(prepared()) == 2)
    for keeper in prepared():
        os.kill(keeper, signal.SIGKILL)
    assert container.exec_run(["echo", "on"]).output == b"on\n"


def test_a_storm_of_execs_while_the_container_is_killed(engine: EngineProcess) -> None:
    container = _container(engine)
    codes: list[int] = []

    def run() -> None:
        client = docker.DockerClient(base_url=engine.url, timeout=60)
        try:
            while True:
                codes.append(client.containers.get("target").exec_run(["sh", "-c", "echo x"]).exit_code)
        except docker.errors.APIError:
            return  # it does not run any more
        finally:
            client.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(codes) >= 12)
    container.kill()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert set(codes) <= {0, 137, 126, 127}
    container.reload()
    assert container.attrs["ExecIDs"] is None
    assert engine.process is not None
    container.remove()
