"""Programs brought into a container without an engine around: what they see, how they end, what is left."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.runtime.client import ShimConnection, StartError
from nbcontainers.runtime.entering import Entered, enter
from nbcontainers.runtime.spec import Request, Spec
from tests.runtime.conftest import SECONDS, Bench

pytestmark = [pytest.mark.root]


async def _container(bench: Bench) -> tuple[Request, ShimConnection]:
    request = bench.request("sleep", "60")
    return request, await bench.launch(request)


def _spec(request: Request, *args: str, **process: Any) -> Spec:
    own = request["spec"]
    changed = {**own["process"], "args": list(args), **process}
    return {**own, "process": changed}  # type: ignore[typeddict-item]


async def _run(bench: Bench, connection: ShimConnection, spec: Spec, stdin: bytes | None = None) -> tuple[int, bytes]:
    entered = await enter(bench.launcher, connection.pidfd, spec, stdin=stdin is not None, output=True)
    try:
        if stdin is not None:
            os.write(entered.streams.stdin_fd, stdin)
            entered.streams.close_stdin()
        written = await _read(entered)
        return await asyncio.wait_for(entered.wait(), SECONDS), written
    finally:
        entered.streams.close()
        entered.close()


async def _read(entered: Entered) -> bytes:
    async with asyncio.timeout(SECONDS):
        return b"".join([data async for data in entered.output(entered.streams.stdout_fd)])


async def test_input_output_and_exit_code(bench: Bench) -> None:
    request, connection = await _container(bench)
    code, written = await _run(bench, connection, _spec(request, "sh", "-c", "cat; exit 7"), b"passed on")
    assert (code, written) == (7, b"passed on")


async def test_it_is_in_all_namespaces_and_the_group(bench: Bench) -> None:
    request, connection = await _container(bench)
    entered = await enter(bench.launcher, connection.pidfd, _spec(request, "sleep", "60"), stdin=False, output=False)
    try:
        for kind in ("mnt", "pid", "net", "uts", "ipc", "cgroup"):
            own, other = (os.readlink(f"/proc/{pid}/ns/{kind}") for pid in (connection.pid, entered.pid))
            assert own == other
        groups = [Path(f"/proc/{pid}/cgroup").read_text() for pid in (connection.pid, entered.pid)]
        assert groups[0] == groups[1]
        opened = {os.readlink(f"/proc/{entered.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{entered.pid}/fd")}
        assert opened == {"/dev/null"}
    finally:
        entered.signal(signal.SIGKILL)
        assert await asyncio.wait_for(entered.wait(), SECONDS) == 137
        entered.close()


async def test_its_interpreter_cannot_be_written_to(bench: Bench) -> None:
    await _container(bench)
    fd = os.open(f"/proc/{bench.launcher.pid}/exe", os.O_RDONLY)
    try:
        assert os.fstatvfs(fd).f_flag & os.ST_RDONLY
    finally:
        os.close(fd)


async def test_a_terminal(bench: Bench) -> None:
    request, connection = await _container(bench)
    size = {"height": 12, "width": 34}
    code, written = await _run(
        bench, connection, _spec(request, "sh", "-c", "tty; stty size", terminal=True, consoleSize=size)
    )
    assert (code, written) == (0, b"/dev/pts/0\r\n12 34\r\n")


@pytest.mark.parametrize(
    ("args", "process", "code", "text"),
    [
        (["nope"], {}, 127, "executable file not found"),
        (["/etc"], {}, 126, "permission denied"),
        (["true"], {"cwd": "/nope"}, 127, "chdir to cwd"),
        (["true"], {"user": {"username": "nobody-here", "additionalGids": []}}, 126, "unable to find user"),
    ],
)
async def test_what_cannot_be_executed(
    bench: Bench, args: list[str], process: dict[str, Any], code: int, text: str
) -> None:
    request, connection = await _container(bench)
    with pytest.raises(StartError, match=text) as caught:
        await enter(bench.launcher, connection.pidfd, _spec(request, *args, **process), stdin=True, output=True)
    assert caught.value.exit_code == code


async def test_a_database_that_is_no_file_makes_nobody_wait(bench: Bench) -> None:
    request, connection = await _container(bench)
    code, _ = await _run(
        bench, connection, _spec(request, "sh", "-c", "rm /etc/passwd; mkfifo /etc/passwd; ln -sf /dev/zero /etc/group")
    )
    assert code == 0
    spec = _spec(request, "grep", "id:", "/proc/self/status", user={"username": "5:6", "additionalGids": []})
    code, written = await _run(bench, connection, spec)
    assert code == 0
    assert b"Uid:\t5\t5\t5\t5\nGid:\t6\t6\t6\t6\n" in written


async def test_it_ends_with_its_container(bench: Bench) -> None:
    request, connection = await _container(bench)
    entered = await enter(bench.launcher, connection.pidfd, _spec(request, "sleep", "60"), stdin=False, output=False)
    connection.signal(signal.SIGKILL)
    assert await asyncio.wait_for(entered.wait(), SECONDS) == 137
    entered.close()
    assert await asyncio.wait_for(connection.wait(), SECONDS) is not None
    with pytest.raises(StartError):
        await enter(bench.launcher, connection.pidfd, _spec(request, "true"), stdin=False, output=False)


async def test_nothing_is_left_open(bench: Bench) -> None:
    before = set(os.listdir("/proc/self/fd"))
    request, connection = await _container(bench)
    for _ in range(3):
        assert await _run(bench, connection, _spec(request, "cat"), b"x") == (0, b"x")
        with pytest.raises(StartError):
            await enter(bench.launcher, connection.pidfd, _spec(request, "nope"), stdin=True, output=True)
    connection.signal(signal.SIGKILL)
    await asyncio.wait_for(connection.wait(), SECONDS)
    connection.close()
    bench.connections.clear()
    await bench.launcher.close()
    assert set(os.listdir("/proc/self/fd")) == before
