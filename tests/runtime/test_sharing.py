"""Containers that share namespaces with others or with the host, that have an init, devices, another parent group."""

import os
import signal
from pathlib import Path

import pytest

from nbcontainers.linux import cgroups, namespaces
from nbcontainers.runtime.spec import Request, Shared
from tests.runtime.conftest import Bench, output
from tests.waiting import until

pytestmark = [pytest.mark.root]
SLEEP = ("sh", "-c", "echo ready; sleep 60")


async def started(bench: Bench, request: Request, shared: dict[Shared, int] | None = None) -> int:
    """Start a container that says when it is there; returns its first process."""
    connection = await bench.launch(request, shared)
    until(lambda: b"ready" in output(request))
    return connection.pid


@pytest.mark.parametrize("kind", ["ipc", "uts", "cgroup", "pid"])
async def test_namespaces_are_shared_with_a_container_or_with_the_host(bench: Bench, kind: Shared) -> None:
    donor = await started(bench, bench.request(*SLEEP))
    for pid in (donor, os.getpid()):
        guest = await started(bench, bench.request(*SLEEP), {kind: pid})
        others = set(namespaces.KINDS) - {kind, "user", "time", "net"}
        assert namespaces.namespace_id(kind, guest) == namespaces.namespace_id(kind, pid)
        assert not [one for one in others if namespaces.namespace_id(one, guest) == namespaces.namespace_id(one, pid)]


async def test_a_shared_host_name_stays_as_it_is(bench: Bench) -> None:
    request = bench.request("hostname")
    request["spec"]["hostname"] = "not-this"
    _, written = await bench.run(request, {"uts": os.getpid()})
    assert written.decode().strip() == os.uname().nodename


async def test_processes_of_another_container_are_seen_and_signalled(bench: Bench) -> None:
    donor = bench.request("sh", "-c", "sleep 60 & echo ready; wait; exit 4")
    connection = await bench.launch(donor)
    until(lambda: b"ready" in output(donor))
    guest = bench.request("sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; test $$ -gt 1 && kill $(pidof sleep)")
    _, written = await bench.run(guest, {"pid": connection.pid})
    assert written.startswith(b"sh -c sleep 60")
    status = await connection.wait()
    assert status is not None
    assert status.code == 4


async def test_what_is_left_among_others_processes_is_killed(bench: Bench) -> None:
    donor = await started(bench, bench.request(*SLEEP))
    guest = bench.request("sh", "-c", "(trap '' TERM HUP; sleep 61) & exit 3")
    status, _ = await bench.run(guest, {"pid": donor})
    assert status.code == 3
    group = cgroups.detect().open(guest["spec"]["linux"]["cgroupsPath"])
    until(lambda: not group.procs())


async def test_dev_shm_of_another_container(bench: Bench) -> None:
    donor = await started(bench, bench.request("sh", "-c", "echo from-donor > /dev/shm/file; echo ready; sleep 60"))
    guest = bench.request("cat", "/dev/shm/file")
    mounts = guest["spec"]["mounts"]
    guest["spec"]["mounts"] = [mount for mount in mounts if mount["destination"] != "/dev/shm"] + [
        {"destination": "/dev/shm", "type": "shared", "source": "/dev/shm", "options": []}
    ]
    assert (await bench.run(guest, {"ipc": donor, "mnt": donor}))[1] == b"from-donor\n"


async def test_another_parent_group(bench: Bench) -> None:
    request = bench.request(*SLEEP)
    path = f"{bench.cgroup_parent}/parents/mine/one"
    request["spec"]["linux"]["cgroupsPath"] = path
    request["spec"]["linux"]["resources"] = {"pids": {"limit": 20}}
    pid = await started(bench, request)
    group = cgroups.detect().open(path)
    assert pid in group.procs()
    assert group.usage().pids_limit == 20


async def test_devices(bench: Bench) -> None:
    request = bench.request("sh", "-c", "stat -c '%t:%T %a %u' /dev/deep/er/nothing; echo x > /dev/deep/er/nothing")
    request["spec"]["linux"]["devices"].append(
        {"path": "/dev/deep/er/nothing", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8}
    )
    status, written = await bench.run(request)
    assert (status.code, written) == (0, b"1:3 640 7\n")


async def test_a_device_does_not_leave_the_root_by_a_link_of_the_image(bench: Bench, tmp_path: Path) -> None:
    request = bench.request("stat", f"{tmp_path}/escaped")
    Path(request["directory"], "upper", "link").symlink_to(tmp_path)
    request["spec"]["linux"]["devices"].append(
        {"path": "/link/escaped", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}
    )
    assert (await bench.run(request))[0].code == 0
    assert not list(tmp_path.iterdir())


async def test_the_size_of_a_terminal(bench: Bench) -> None:
    request = bench.request("stty", "size", tty=True)
    request["spec"]["process"]["consoleSize"] = {"height": 33, "width": 121}
    assert (await bench.run(request))[1].strip() == b"33 121"


ORPHANS = """
for i in 1 2 3; do (sh -c 'exit 0' &) ; done
(sleep 0.01 &)
while grep -qs '^State:.Z' /proc/[0-9]*/status; do :; done
tr '\\0' ' ' < /proc/1/cmdline
"""


async def test_an_init_takes_in_orphans(bench: Bench) -> None:
    request = bench.request("sh", "-c", ORPHANS)
    request["init"] = True
    status, written = await bench.run(request)
    assert status.code == 0
    assert written.startswith(b"nbc-init -- sh -c")


@pytest.mark.parametrize(("script", "code"), [("exit 9", 9), ("kill -USR1 $$", 138), ("no-such", 127)])
async def test_an_init_ends_as_its_program_does(bench: Bench, script: str, code: int) -> None:
    request = bench.request("sh", "-c", script)
    request["init"] = True
    assert (await bench.run(request))[0].code == code


async def test_an_init_passes_signals_on(bench: Bench) -> None:
    request = bench.request("sh", "-c", "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    request["init"] = True
    connection = await bench.launch(request)
    until(lambda: b"ready" in output(request))
    connection.signal(signal.SIGTERM)
    status = await connection.wait()
    assert status is not None
    assert (status.code, output(request)) == (5, b"ready\ngot\n")


async def test_an_init_holds_nothing_of_the_host_and_leads_nowhere(bench: Bench) -> None:
    script = "cat /proc/1/fd/0 /proc/1/exe /proc/1/environ; grep -E 'Cap(Eff|Bnd)|Seccomp:' /proc/1/status"
    request = bench.request("sh", "-c", script)
    request["init"] = True
    written = (await bench.run(request))[1].decode()
    assert written.count("Permission denied") == 3
    own = (await bench.run(bench.request("sh", "-c", "grep -E 'Cap(Eff|Bnd)|Seccomp:' /proc/self/status")))[1].decode()
    assert own in written


async def test_nobody_can_write_to_the_executable_of_an_init(bench: Bench) -> None:
    """Not even the host's root by that way: it is on a mount that is read-only."""
    request = bench.request("sleep", "60")
    request["init"] = True
    connection = await bench.launch(request)
    executable = f"/proc/{connection.pid}/exe"
    with pytest.raises(OSError, match="Read-only"):
        os.truncate(executable, os.stat(executable).st_size)


async def test_an_init_gives_the_terminal_to_its_program(bench: Bench) -> None:
    request = bench.request("sh", "-c", "trap 'exit 6' INT; echo ready; while :; do sleep 0.05; done", tty=True)
    request["init"] = True
    connection = await bench.launch(request)
    until(lambda: b"ready" in output(request))
    fd = await connection.stdin_fd()
    try:
        os.write(fd, b"\x03")
    finally:
        os.close(fd)
    status = await connection.wait()
    assert status is not None
    assert status.code == 6
