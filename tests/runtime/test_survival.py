"""kill -9 of launcher, shim and engine; nothing left on the host; what a shim and a launcher weigh."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nbcontainers.linux import cgroups
from nbcontainers.runtime.client import ExitStatus, ShimConnection, StartError, reconnect
from nbcontainers.runtime.shim import PREPARED
from nbcontainers.runtime.spec import Request
from nbcontainers.runtime.supervising import SOCKET_NAME
from tests.runtime.conftest import SECONDS, Bench, output, parent

pytestmark = [pytest.mark.root]
HEAVY = {
    "asyncio",
    "logging",
    "pathlib",
    "dataclasses",
    "subprocess",
    "typing",
    "pyroute2",
    "msgspec",
}  # enum comes with socket
LIMIT_BYTES = 3 << 20


async def test_a_killed_shim_takes_its_container_along(bench: Bench) -> None:
    request = bench.request("sleep", "60")
    connection = await bench.launch(request)
    pidfd = os.pidfd_open(connection.pid)
    os.kill(parent(connection.pid), signal.SIGKILL)
    assert await asyncio.wait_for(connection.wait(), SECONDS) is None
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, ended.set)
    await asyncio.wait_for(ended.wait(), SECONDS)
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)
    assert await reconnect(request["directory"]) is None


async def test_a_killed_launcher_is_replaced(bench: Bench) -> None:
    running = await bench.launch(bench.request("sleep", "60"))
    os.kill(bench.launcher.pid, signal.SIGKILL)
    status, _ = await bench.run(bench.request("true"))
    assert status.code == 0
    assert Path(f"/proc/{running.pid}").exists()


async def test_prepared_shims_that_were_killed_are_passed_over(bench: Bench) -> None:
    await bench.run(bench.request("true"))
    children = Path(f"/proc/{bench.launcher.pid}/task/{bench.launcher.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    assert (await bench.run(bench.request("true")))[0].code == 0


async def test_a_killed_prepared_shim_leaves_no_group(bench: Bench) -> None:
    await bench.run(bench.request("true"))
    children = _prepared(bench)
    for child in children:
        os.kill(child, signal.SIGKILL)
    await bench.run(bench.request("true"))  # finds them dead
    killed = {f"{PREPARED}{child}" for child in children}
    async with asyncio.timeout(SECONDS):
        while killed & cgroups.detect().children(bench.cgroup_parent):
            await asyncio.sleep(0.01)


async def test_a_shim_killed_while_nobody_looked_leaves_no_group_to_the_next_engine(bench: Bench) -> None:
    await bench.run(bench.request("true"))
    for child in _prepared(bench):
        os.kill(child, signal.SIGKILL)
    await bench.launcher.close()
    left = cgroups.detect().children(bench.cgroup_parent)
    assert not [name for name in left if name.startswith(PREPARED)]


def _prepared(bench: Bench) -> list[int]:
    children = Path(f"/proc/{bench.launcher.pid}/task/{bench.launcher.pid}/children").read_text().split()
    assert children
    return [int(child) for child in children]


async def test_a_prepared_container_has_not_begun(bench: Bench) -> None:
    request = bench.request("touch", "/begun")
    prepared = await bench.launcher.prepare(request)
    await _until_listening(request)
    assert not Path(request["directory"], "upper/begun").exists()
    [group] = [name for name in cgroups.detect().children(bench.cgroup_parent) if name == request["id"]]
    prepared.close()
    with pytest.raises(StartError, match="given up"):
        await prepared.start()
    await bench.launcher.close()  # waits for the shims that are leaving
    assert not Path(request["directory"], "upper/begun").exists()
    async with asyncio.timeout(SECONDS):
        while group in cgroups.detect().children(bench.cgroup_parent):
            await asyncio.sleep(0.01)


async def test_a_prepared_container_is_given_to_another_shim_when_its_own_was_killed(bench: Bench) -> None:
    request = bench.request("sh", "-c", "echo begun >>/begun")
    prepared = await bench.launcher.prepare(request)
    await _until_listening(request)
    for child in Path(f"/proc/{bench.launcher.pid}/task/{bench.launcher.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    Path(request["directory"], SOCKET_NAME).unlink()
    connection = await prepared.start()
    bench.connections.append(connection)
    status = await asyncio.wait_for(connection.wait(), SECONDS)
    assert status is not None
    assert status.code == 0
    assert Path(request["directory"], "upper/begun").read_text() == "begun\n"


async def _until_listening(request: Request) -> None:
    """Wait until a shim has got a prepared container so far that only the word to start is missing."""
    async with asyncio.timeout(SECONDS):
        while not Path(request["directory"], SOCKET_NAME).exists():
            await asyncio.sleep(0.002)


async def test_an_engine_finds_its_container_again(bench: Bench) -> None:
    request = bench.request("sh", "-c", "read line; echo $line; exit 4", open_stdin=True)
    first = await bench.launch(request)
    first.close()
    bench.connections.remove(first)
    again = await reconnect(request["directory"])
    assert isinstance(again, ShimConnection)
    bench.connections.append(again)
    assert again.pid == first.pid
    fd = await again.stdin_fd()
    os.write(fd, b"after all\n")
    os.close(fd)
    status = await asyncio.wait_for(again.wait(), SECONDS)
    assert status is not None
    assert status.code == 4
    assert output(request) == b"after all\n"
    left = await reconnect(request["directory"])
    assert isinstance(left, ExitStatus)
    assert left == status


def _mounts() -> set[str]:
    return set(Path("/proc/self/mountinfo").read_text().splitlines())


async def test_nothing_is_left_on_the_host(bench: Bench) -> None:
    before = _mounts()
    descriptors = set(os.listdir("/proc/self/fd"))
    await bench.run(bench.request("true"))
    await bench.run(bench.request("/bin/true", host=True))
    with pytest.raises(StartError):
        await bench.launch(bench.request("no-such-program"))
    for connection in bench.connections:
        connection.close()
    bench.connections.clear()
    await bench.launcher.close()
    # Engines of other sessions come and go.
    assert [line for line in _mounts() - before if "/tmp/nbe-" not in line] == []
    assert set(os.listdir("/proc/self/fd")) == descriptors


async def test_a_shim_is_small_and_closed(bench: Bench) -> None:
    connection = await bench.launch(bench.request("sleep", "60"))
    shim = Path(f"/proc/{parent(connection.pid)}")
    private = [line.split() for line in (shim / "smaps_rollup").read_text().splitlines() if line.startswith("Private_")]
    assert sum(int(fields[1]) << 10 for fields in private) <= LIMIT_BYTES
    assert "nbc-shim" in (shim / "comm").read_text()


def test_the_launcher_imports_little() -> None:
    program = "import sys; sys.path.insert(0, '.'); import nbcontainers.runtime.launcher; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert not HEAVY & set(loaded.stdout.split())
