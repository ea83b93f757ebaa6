"""What the tutorials asked for: a group as a context manager, its events, and maps of ids."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nbcontainers.lessons import Guest, GuestError
from nbcontainers.linux import cgroups, namespaces

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
MIB = 1 << 20


def hoard() -> None:
    hoarded = []
    while True:
        hoarded.append(b"x" * (1 << 20))


def crowd() -> int:
    import signal

    from nbcontainers.linux import processes

    children = 0
    while True:
        try:
            pid, _ = processes.clone(0)
        except OSError:
            return children
        if pid == 0:
            signal.pause()
        children += 1


def spin_for_a_while() -> None:
    import time

    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass


def unshare_user() -> int:
    import os

    from nbcontainers.linux import namespaces

    namespaces.unshare(namespaces.CLONE_NEWUSER)
    return os.getuid()


def become_root_without_privileges(setgroups: bool) -> tuple[int, str]:
    import os

    from nbcontainers.linux import namespaces, processes

    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    processes.set_dumpable(True)
    namespaces.unshare(namespaces.CLONE_NEWUSER)
    namespaces.write_id_maps("self", [(0, 65534, 1)], [(0, 65534, 1)], setgroups=setgroups)
    return os.getuid(), open("/proc/self/setgroups").read().strip()


def directories(path: str) -> list[Path]:
    return [place for pattern in (path[1:], f"*{path}") for place in Path("/sys/fs/cgroup").glob(pattern)]


def with_group(resources: dict[str, object], act: Callable[[Guest], None]) -> dict[str, int]:
    path = f"/lesson-test-{os.getpid()}"
    with Guest() as guest, cgroups.detect().create(path, resources) as group:  # type: ignore[arg-type]
        assert directories(path) != []
        group.attach(guest.pid)
        act(guest)
        events = group.events()
    assert directories(path) == []
    assert guest.exit_code is not None
    return events


def test_events_tell_which_limit_was_felt() -> None:
    def hoards(guest: Guest) -> None:
        with pytest.raises(GuestError, match="exit code 137"):
            guest.call(hoard)

    swap = {"swap": 20 * MIB} if cgroups.detect().swap_limit() else {}
    assert with_group({"memory": {"limit": 20 * MIB, **swap}}, hoards) == {
        "oom_kills": 1, "forks_refused": 0, "cpu_throttled_periods": 0,
    }  # fmt: skip
    refused = with_group({"pids": {"limit": 4}}, lambda guest: guest.call(crowd))
    assert refused == {"oom_kills": 0, "forks_refused": 1, "cpu_throttled_periods": 0}
    throttled = with_group({"cpu": {"period": 20_000, "quota": 2_000}}, lambda guest: guest.call(spin_for_a_while))
    assert throttled.pop("cpu_throttled_periods") > 1
    assert throttled == {"oom_kills": 0, "forks_refused": 0}


def test_a_group_removed_in_its_block_is_no_error() -> None:
    with cgroups.detect().create(f"/lesson-test-{os.getpid()}", {}) as group:
        usage = group.usage().as_dict()
        group.remove()
    assert usage["pids"] == 0
    assert set(usage) == set(cgroups.Usage.__slots__)


def test_ids_are_mapped_from_outside_and_once() -> None:
    with Guest() as guest:
        assert guest.call(unshare_user) == 65534
        namespaces.write_id_maps(guest.pid, [(0, 100_000, 10), (20, 200_000, 5)], [(0, 100_000, 1)])
        assert Path(f"/proc/{guest.pid}/uid_map").read_text().split() == "0 100000 10 20 200000 5".split()
        guest.run("import os\nos.setresgid(0, 0, 0)\nos.setresuid(20, 20, 20)")
        assert "\nUid:\t200000\t" in Path(f"/proc/{guest.pid}/status").read_text()
        with pytest.raises(PermissionError):
            namespaces.write_id_maps(guest.pid, [(0, 100_000, 10)], [])


def test_without_privileges_setgroups_must_be_renounced() -> None:
    with Guest() as guest:
        assert guest.call(become_root_without_privileges, False) == (0, "deny")
    with Guest() as guest, pytest.raises(GuestError, match="PermissionError"):
        guest.call(become_root_without_privileges, True)
