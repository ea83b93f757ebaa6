"""kill -9 of engine, launcher and shim; two engines on one state; a broken database; a hundred containers at once."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nbcontainers.client import extension
from nbcontainers.linux import cgroups
from nbcontainers.networks.endpoint_pool import PREPARED_ENDPOINTS
from tests.engine_process import EngineProcess
from tests.leaks import identity
from tests.waiting import until

pytestmark = [pytest.mark.root]

TICKER = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo $i; sleep 0.05; done"]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_containers_outlive_a_killed_engine(engine: EngineProcess) -> None:
    ticking = engine.client.containers.run("busybox", TICKER, detach=True, name="ticking")
    engine.client.containers.run("busybox", ["sh", "-c", "sleep 0.3; exit 7"], detach=True, name="ended")
    assert engine.first_lines("ticking", 1) == [b"1\n"]
    ticking.reload()
    engine.kill()
    pid = ticking.attrs["State"]["Pid"]
    assert os.path.exists(f"/proc/{pid}")
    assert engine.start() == "ready"
    again = engine.client.containers.get("ticking")
    assert again.status == "running"
    assert again.attrs["State"]["Pid"] == pid
    assert engine.first_lines("ticking", 20) == [b"%d\n" % number for number in range(1, 21)]  # none is missing
    assert engine.client.containers.get("ended").wait()["StatusCode"] == 7
    again.stop(timeout=0)


def test_containers_outlive_an_engine_that_ends_cleanly(engine: EngineProcess) -> None:
    container = engine.client.containers.run("busybox", ["sleep", "60"], detach=True, name="staying")
    container.reload()
    assert engine.stop() == 0
    assert not engine.socket.exists()
    assert engine.start() == "ready"
    again = engine.client.containers.get("staying")
    assert (again.status, again.attrs["State"]["Pid"]) == ("running", container.attrs["State"]["Pid"])
    assert again.attrs["NetworkSettings"]["IPAddress"] == container.attrs["NetworkSettings"]["IPAddress"]


def test_a_new_engine_knows_how_a_running_container_was_started(engine: EngineProcess) -> None:
    container = engine.client.containers.run("busybox", ["sleep", "60"], detach=True)
    before = _trace(engine, container.id)
    assert before
    engine.kill()
    assert engine.start() == "ready"
    assert _trace(engine, container.id) == before


def _trace(engine: EngineProcess, container_id: str) -> list[dict[str, object]]:
    answer = extension.get_json(engine.client, f"/containers/{container_id}/trace")
    steps: list[dict[str, object]] = answer["steps"]
    return steps


def test_an_exit_while_no_engine_ran(engine: EngineProcess) -> None:
    container = engine.client.containers.run(
        "busybox", ["sh", "-c", "read x; exit 9"], detach=True, stdin_open=True, name="reader"
    )
    container.reload()
    pidfd = os.pidfd_open(container.attrs["State"]["Pid"])
    engine.kill()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    assert engine.start() == "ready"
    found = engine.client.containers.get("reader")
    assert found.wait()["StatusCode"] == 137
    assert found.status == "exited"


def test_an_engine_killed_between_create_and_start(engine: EngineProcess) -> None:
    container = engine.client.containers.create("busybox", ["sh", "-c", "echo begun"], name="new")
    engine.kill()
    assert engine.start() == "ready"
    again = engine.client.containers.get("new")
    assert again.status == "created"
    assert again.logs() == b""
    again.start()
    assert again.wait()["StatusCode"] == 0
    assert again.logs() == b"begun\n"
    assert again.id == container.id


def test_the_next_start_works_after_the_launcher_was_killed(engine: EngineProcess) -> None:
    running = engine.client.containers.run("busybox", ["sleep", "60"], detach=True)
    assert engine.process is not None
    for child in _children(engine.process.pid):
        os.kill(child, signal.SIGKILL)
    assert engine.client.containers.run("busybox", ["echo", "again"], remove=True) == b"again\n"
    running.reload()
    assert running.status == "running"


def test_a_container_whose_shim_was_killed_is_dead(engine: EngineProcess) -> None:
    container = engine.client.containers.run("busybox", ["sleep", "60"], detach=True)
    container.reload()
    pid = container.attrs["State"]["Pid"]
    os.kill(_parent(pid), signal.SIGKILL)
    assert container.wait()["StatusCode"] == 137
    container.reload()
    assert container.status == "dead"
    assert container.attrs["State"]["Error"]
    # It is killed by then, but on a busy machine need not have died.
    until(lambda: not os.path.exists(f"/proc/{pid}/root/bin"))


def test_a_second_engine_on_the_same_state_is_refused(engine: EngineProcess, tmp_path: Path) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "nbcontainers.api", "serve", "--root", engine.root, "--run", tmp_path],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert "another engine" in second.stderr
    assert "Traceback" not in second.stderr
    assert engine.client.ping()


def test_a_broken_database_gives_one_clear_sentence(engine: EngineProcess) -> None:
    engine.remove_everything()
    assert engine.stop() == 0
    database = engine.root / "state.db"
    whole = database.read_bytes()
    for suffix in ("-wal", "-shm"):
        database.with_name(f"state.db{suffix}").unlink(missing_ok=True)
    database.write_bytes(b"no database at all" * 100)
    line = engine.start()
    assert "database" in line
    assert str(database) in line
    engine.process = None
    database.write_bytes(whole)
    assert engine.start() == "ready"


def test_a_hundred_containers_at_once(engine: EngineProcess) -> None:
    """What they leave on the machine the fixture looks for, and the session's; here, what they leave in the engine."""
    client = engine.client
    client.containers.run("busybox", "true", remove=True)
    until(lambda: _quiet(engine))
    before = engine.held()
    mounts = Path("/proc/self/mountinfo").read_text().count(str(engine.root))
    with ThreadPoolExecutor(8) as pool:
        containers = list(
            pool.map(lambda _: client.containers.run("busybox", ["sleep", "60"], detach=True), range(100))
        )
        running = client.api.containers()
        assert len(running) == 100
        addresses = {one["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] for one in running}
        assert len(addresses) == 100
        pids = [client.api.inspect_container(container.id)["State"]["Pid"] for container in containers]
        assert len(set(pids)) == 100
        assert len({os.stat(f"/proc/{pid}/ns/net").st_ino for pid in pids}) == 100
        assert Path("/proc/self/mountinfo").read_text().count(str(engine.root)) == mounts  # none is on the host
        list(pool.map(lambda container: container.remove(force=True), containers))
    assert client.containers.list(all=True) == []
    until(lambda: not [pid for pid in pids if os.path.exists(f"/proc/{pid}")])
    until(lambda: _quiet(engine))
    until(lambda: engine.held() <= before)


def _quiet(engine: EngineProcess) -> bool:
    """Say whether all is removed: groups but those of prepared shims, cables but those that lie ready, the trash."""
    groups = cgroups.detect().children(f"/nbcontainers/{identity(engine.root)}")
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return (
        all(name.startswith("prepared-") for name in groups)
        and links.count(f"nbv{identity(engine.root)[:4]}") <= PREPARED_ENDPOINTS
        and not list((engine.root / "trash").iterdir())
        and not list((engine.root / "containers").iterdir())
    )
