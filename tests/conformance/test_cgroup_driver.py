"""One suite for the drivers of control groups; each runs on a kernel that has them: see ``tests.uml``."""

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbcontainers.errors import Conflict, Error, InvalidArgument, SyscallError, Unavailable
from nbcontainers.linux import cgroups, processes
from nbcontainers.linux.cgroups import Cgroup, checks, killing
from nbcontainers.linux.cgroups.v2_limits import weight_of_shares
from nbcontainers.runtime.spec import LinuxResources
from tests.conformance.cgroup_bench import MEGABYTE, SLEEP, SPIN, Bench, Disk
from tests.require import cgroup_driver
from tests.waiting import SECONDS, until

pytestmark = pytest.mark.root
V1 = pytest.param("v1", marks=pytest.mark.cgroup_v1)
V2 = pytest.param("v2", marks=pytest.mark.cgroup_v2)
HYBRID = pytest.param("hybrid", marks=pytest.mark.cgroup_hybrid)


BARE = pytest.param("bare", marks=pytest.mark.cgroup_v1)
"""Version 2 as it lies beside version 1 on many machines: without controllers, but with all that concerns processes."""


@pytest.fixture(params=[V1, V2, HYBRID])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench on the driver that this machine has, or the guest."""
    if request.param == "bare":
        driver: cgroups.Driver = cgroups.DriverV2(_unified())
    else:
        assert cgroup_driver() == request.param
        driver = cgroups.detect()
    bench = Bench(driver)
    try:
        yield bench
    finally:
        bench.close()


def _unified() -> str:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return line.split()[4]
    pytest.skip("no hierarchy of version 2 is mounted")


also_bare = pytest.mark.parametrize("bench", [V1, V2, HYBRID, BARE], indirect=True)


# Groups.


@also_bare
def test_groups_are_made_found_and_removed(bench: Bench) -> None:
    inner = bench.group("outer/inner")
    assert bench.driver.children(bench.base) == {"outer"}
    assert bench.driver.children(f"{bench.base}/outer") == {"inner"}
    outer = bench.driver.open(f"{bench.base}/outer")
    with pytest.raises(SyscallError, match="there are groups below it: inner") as caught:
        outer.remove()
    assert caught.value.errno == errno.EBUSY
    inner.remove()
    outer.remove()
    outer.remove()
    assert bench.driver.children(bench.base) == set()


def test_a_group_that_is_there_is_taken_as_it_is(bench: Bench) -> None:
    first = bench.group("same", {"pids": {"limit": 7}})
    program = bench.start(first, SLEEP)
    with pytest.raises(InvalidArgument):
        bench.group("same", {"cpu": {"period": 1}})
    again = bench.group("same")
    assert program.pid in again.procs()
    assert again.usage().pids_limit == 7


def test_a_group_whose_limits_are_refused_is_not_made(bench: Bench) -> None:
    with pytest.raises(InvalidArgument, match=r"'1'.*from 1000 to 1000000"):
        bench.group("none", {"cpu": {"period": 1}})
    assert bench.driver.children(bench.base) == set()


@also_bare
def test_processes_are_listed_with_those_of_groups_below(bench: Bench) -> None:
    outer = bench.driver.open(f"{bench.base}/outer")
    inner = bench.group("outer/inner")
    programs = [bench.start(inner, f"exec {SLEEP}") for _ in range(3)]
    assert sorted(outer.procs()) == sorted(inner.procs()) == sorted(program.pid for program in programs)


@pytest.mark.parametrize("bench", [V1, BARE], indirect=True)  # it takes nine seconds in a guest
def test_no_process_is_missed_in_a_long_list(bench: Bench, tmp_path: Path) -> None:
    group = bench.group("many")
    os.mkfifo(tmp_path / "fifo")
    program = bench.start(group, f"for i in $(seq 900); do (read x <&3) 3<>{tmp_path}/fifo & done; echo; wait")
    assert program.stdout is not None
    program.stdout.readline()
    assert len(group.procs()) == 901
    group.kill()
    program.wait(SECONDS)
    until(lambda: group.procs() == [])


def test_a_list_is_read_afresh_each_time(bench: Bench) -> None:
    group = bench.group("fresh")
    for _ in range(20):
        program = bench.start(group, f"exec {SLEEP}")
        assert group.procs() == [program.pid]
        program.kill()
        program.wait(SECONDS)
        until(lambda: group.procs() == [])


def test_a_process_that_has_gone_cannot_be_attached(bench: Bench) -> None:
    group = bench.group("late")
    program = bench.start(group, "true")
    program.wait(SECONDS)
    with pytest.raises(SyscallError, match="No such process"):
        group.attach(program.pid)


# Memory.


def hog(megabytes: int) -> str:
    return f"exec dd if=/dev/zero of=/dev/null bs={megabytes}M count=1"


def test_a_process_above_the_memory_limit_is_killed_and_counted(bench: Bench) -> None:
    group = bench.group("small", {"memory": {"limit": 16 * MEGABYTE, "swap": 16 * MEGABYTE}})
    assert bench.run(group, hog(8)) == 0
    assert group.oom_kills() == 0
    assert bench.run(group, hog(40)) == -signal.SIGKILL
    assert group.oom_kills() == group.usage().oom_kills == 1
    assert group.usage().memory_limit_bytes == 16 * MEGABYTE


def test_memory_is_raised_above_the_old_limit_with_swap_and_lowered_again(bench: Bench) -> None:
    group = bench.group("live", {"memory": {"limit": 16 * MEGABYTE, "swap": 32 * MEGABYTE}})
    for limit, swap in ((100, 200), (300, 300), (20, 40), (-1, -1), (16, 16)):
        group.apply({"memory": {"limit": max(limit * MEGABYTE, -1), "swap": max(swap * MEGABYTE, -1)}})
        assert group.usage().memory_limit_bytes == max(limit * MEGABYTE, 0)
    assert bench.run(group, hog(40)) == -signal.SIGKILL
    group.apply({"memory": {"limit": 100 * MEGABYTE, "swap": 100 * MEGABYTE}})
    assert bench.run(group, hog(40)) == 0


def test_memory_is_not_lowered_below_what_is_in_use(bench: Bench) -> None:
    group = bench.group("full", {"memory": {"limit": 64 * MEGABYTE, "swap": 64 * MEGABYTE}})
    program = bench.hold(group, 40 * MEGABYTE)
    before = swap_bytes(bench, group)
    with pytest.raises(Conflict, match=f"cannot lower .* to '{16 * MEGABYTE}': .* bytes are in use"):
        group.apply({"memory": {"limit": 16 * MEGABYTE, "swap": 16 * MEGABYTE}})
    assert program.poll() is None
    assert group.oom_kills() == 0
    assert (group.usage().memory_limit_bytes, swap_bytes(bench, group)) == (64 * MEGABYTE, before)


def test_page_cache_makes_way_for_a_lower_limit(bench: Bench, tmp_path: Path) -> None:
    group = bench.group("cache", {"memory": {"limit": 64 * MEGABYTE}})
    file = tmp_path / "file"
    assert bench.run(group, f"dd if=/dev/zero of={file} bs=1M count=30 conv=fsync") == 0
    group.apply({"memory": {"limit": 16 * MEGABYTE}})
    assert group.usage().memory_bytes <= 16 * MEGABYTE


def swap_bytes(bench: Bench, group: Cgroup) -> str:
    """Return the limit of swap: on version 1 of memory and swap, on version 2 of swap alone."""
    return bench.controls(group, v1="memory.memsw.limit_in_bytes", v2="memory.swap.max")


def test_swap_is_what_may_be_used_beside_memory(bench: Bench) -> None:
    assert bench.driver.swap_limit()
    group = bench.group("swap", {"memory": {"limit": 32 * MEGABYTE, "swap": 48 * MEGABYTE}})
    together = bench.driver.version_of("memory") == 1

    def expect(limit: int, swap: int) -> None:
        assert group.usage().memory_limit_bytes == limit * MEGABYTE
        assert swap_bytes(bench, group) == str((swap if together else swap - limit) * MEGABYTE)

    expect(32, 48)
    group.apply({"memory": {"swap": 64 * MEGABYTE}})
    expect(32, 64)
    group.apply({"memory": {"limit": 40 * MEGABYTE}})
    expect(40, 64)
    with pytest.raises(InvalidArgument, match=r"memory and swap together may not be less.*set both"):
        group.apply({"memory": {"limit": 65 * MEGABYTE}})
    with pytest.raises(InvalidArgument, match="memory and swap together"):
        group.apply({"memory": {"swap": 39 * MEGABYTE}})
    expect(40, 64)
    group.apply({"memory": {"swap": -1}})
    group.apply({"memory": {"limit": 65 * MEGABYTE}})
    assert group.usage().memory_limit_bytes == 65 * MEGABYTE


def test_swap_takes_what_memory_cannot_hold(bench: Bench) -> None:
    if len(Path("/proc/swaps").read_text().splitlines()) < 2:
        pytest.skip("this machine has no swap")
    group = bench.group("swapping", {"memory": {"limit": 16 * MEGABYTE, "swap": 80 * MEGABYTE}})
    assert bench.run(group, hog(40)) == 0
    group.apply({"memory": {"limit": 16 * MEGABYTE, "swap": 16 * MEGABYTE}})
    assert bench.run(group, hog(40)) == -signal.SIGKILL


def test_a_reservation_can_be_set_and_taken_back(bench: Bench) -> None:
    group = bench.group("reserved", {"memory": {"reservation": 8 * MEGABYTE}})
    assert bench.controls(group, v1="memory.soft_limit_in_bytes", v2="memory.low") == str(8 * MEGABYTE)
    group.apply({"memory": {"reservation": -1}})
    assert bench.controls(group, v1="memory.soft_limit_in_bytes", v2="memory.low") != str(8 * MEGABYTE)


# Processors.


def test_a_quota_holds_and_can_be_changed(bench: Bench) -> None:
    group = bench.group("quota", {"cpu": {"quota": 20_000, "period": 100_000}})
    bench.start(group, SPIN)
    until(lambda: group.usage().cpu_throttled_periods >= 6)
    usage = group.usage()
    assert usage.cpu_throttled_ns > 0
    assert usage.cpu_total_ns < (usage.cpu_periods + 2) * 20_000_000 * 1.3
    group.apply({"cpu": {"quota": -1}})
    before = group.usage()
    until(lambda: group.usage().cpu_total_ns > before.cpu_total_ns + 300_000_000)
    assert group.usage().cpu_throttled_periods <= before.cpu_throttled_periods + 2  # with the quota about fifteen


def test_period_and_quota_are_set_apart(bench: Bench) -> None:
    group = bench.group("parts", {"cpu": {"quota": 50_000}})

    def stands() -> tuple[str, ...]:
        if bench.driver.version_of("cpu") == 2:
            return tuple(bench.controls(group, v2="cpu.max").split())
        return bench.controls(group, v1="cpu.cfs_quota_us"), bench.controls(group, v1="cpu.cfs_period_us")

    assert stands() == ("50000", "100000")
    group.apply({"cpu": {"period": 200_000}})
    assert stands() == ("50000", "200000")
    group.apply({"cpu": {"quota": 10_000}})
    assert stands() == ("10000", "200000")
    group.apply({"cpu": {"quota": 0}})
    assert stands()[0] in ("max", "-1")


def test_shares_divide_a_busy_processor(bench: Bench) -> None:
    processor = min(os.sched_getaffinity(0))
    small = bench.group("small", {"cpu": {"shares": 256}})
    big = bench.group("big", {"cpu": {"shares": 1024}})
    for group in (small, big):
        program = bench.start(group, SPIN)
        os.sched_setaffinity(program.pid, {processor})
    until(lambda: small.usage().cpu_total_ns > 0 and big.usage().cpu_total_ns > 0)
    first = small.usage().cpu_total_ns, big.usage().cpu_total_ns
    until(lambda: small.usage().cpu_total_ns + big.usage().cpu_total_ns - sum(first) > 1_000_000_000)
    ratio = (big.usage().cpu_total_ns - first[1]) / (small.usage().cpu_total_ns - first[0])
    assert 2.5 < ratio < 6.5


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (512, 50), (1024, 100), (2048, 200), (262_144, 10_000)])
def test_shares_become_weights_of_the_same_proportion(shares: int, weight: int) -> None:
    assert weight_of_shares(shares) == weight


def test_a_set_of_processors_holds(bench: Bench) -> None:
    if "cpuset" not in bench.driver.controllers:
        with pytest.raises(Unavailable, match=r"limits of cpuset is not available: its .* is not"):
            bench.group("pinned", {"cpu": {"cpus": "0"}})
        return
    group = bench.group("pinned", {"cpu": {"cpus": "0", "mems": "0"}})
    program = bench.start(group, f"exec {SLEEP}")
    assert os.sched_getaffinity(program.pid) == {0}
    everything = f"0-{(os.cpu_count() or 1) - 1}"
    group.apply({"cpu": {"cpus": everything}})
    assert os.sched_getaffinity(program.pid) == set(range(os.cpu_count() or 1))
    with pytest.raises(InvalidArgument, match="requested CPUs are not available: requested '0,4095', available"):
        group.apply({"cpu": {"cpus": "0,4095"}})
    with pytest.raises(InvalidArgument, match="requested memory nodes are not available: requested '77'"):
        group.apply({"cpu": {"mems": "77"}})
    with pytest.raises(InvalidArgument, match=r"'a-b' for cpuset.cpus: a list such as 0-2,7"):
        group.apply({"cpu": {"cpus": "a-b"}})


# Processes, disks.


def test_a_process_above_the_pids_limit_is_refused_and_counted(bench: Bench) -> None:
    group = bench.group("few", {"pids": {"limit": 4}})
    program = bench.start(group, f"for i in 1 2 3 4 5 6; do {SLEEP} & done; wait")
    until(lambda: group.usage().pids_refused > 0)
    assert group.usage().pids <= group.usage().pids_limit == 4
    group.kill()
    program.wait(SECONDS)
    until(lambda: group.usage().pids == 0)
    refused = group.usage().pids_refused
    group.apply({"pids": {"limit": -1}})
    assert group.usage().pids_limit == 0
    bench.start(group, f"for i in 1 2 3 4 5 6; do {SLEEP} & done; wait")
    until(lambda: group.usage().pids == 7)
    assert group.usage().pids_refused == refused
    group.apply({"pids": {"limit": 2}})
    assert group.usage().pids_limit == 2


def test_reading_a_disk_is_held_to_its_rate_and_counted(bench: Bench, tmp_path: Path) -> None:
    disk = Disk(tmp_path / "file")
    if not disk.major:
        pytest.skip(f"'{tmp_path}' is not on a disk")
    read, read_bytes = f"exec dd if={disk.path} of=/dev/null bs=64k count=12 iflag=direct", 12 << 16
    group = bench.group("disk")
    assert bench.run(group, read) == 0
    # A busy machine may have to read the program as well.
    assert read_bytes <= group.usage().io_read_bytes < 2 * read_bytes
    group.apply({"blockIO": {"throttleReadBpsDevice": [{"major": disk.major, "minor": disk.minor, "rate": 1 << 20}]}})
    times: list[float] = []

    def is_held() -> bool:
        begin = time.monotonic()
        assert bench.run(group, read) == 0
        times.append(time.monotonic() - begin)
        return times[-1] > 0.5

    assert is_held()
    group.apply({"blockIO": {"throttleReadBpsDevice": [{"major": disk.major, "minor": disk.minor, "rate": 0}]}})
    until(lambda: not is_held())  # others may use the disk
    assert 0 <= group.usage().io_read_bytes - (1 + len(times)) * read_bytes < read_bytes


def test_a_weight_is_taken_only_where_it_does_something(bench: Bench) -> None:
    if not checks.scheduled_by_bfq():
        reason = "block io weight is not available: no disk here is scheduled by weights"
    elif not any(Path(directory, "io.bfq.weight").exists() for directory in bench.group("look").directories()):
        reason = "the limit io.bfq.weight is not available: this kernel was built or started without it"
    else:
        group = bench.group("heavy", {"blockIO": {"weight": 300}})
        assert "300" in bench.controls(group, v1="blkio.bfq.weight", v2="io.bfq.weight")
        return
    with pytest.raises(Unavailable, match=reason):
        bench.group("heavy", {"blockIO": {"weight": 300}})


NONSENSE: list[tuple[LinuxResources, str]] = [
    ({"memory": {"limit": 0}}, "memory limit '0'"),
    ({"memory": {"limit": 64 * MEGABYTE, "swap": MEGABYTE}}, "'1048576' bytes, and '67108864' bytes"),
    ({"memory": {"limit": -1, "swap": MEGABYTE}}, "'1048576' bytes, and no limit"),
    ({"memory": {"swap": MEGABYTE}}, "'1048576' bytes, and no limit; set both"),
    ({"cpu": {"quota": 500}}, "cpu quota '500': at least 1000"),
    ({"cpu": {"period": 2_000_000}}, "cpu period '2000000': from 1000 to 1000000"),
    ({"cpu": {"shares": 0}}, "cpu shares '0': a number from 2"),
    ({"pids": {"limit": 1 << 40}}, "'1099511627776' for pids.max: a number up to 4194304"),
    ({"blockIO": {"weight": 5}}, "weight '5': from 10 to 1000"),
    ({"blockIO": {"throttleReadBpsDevice": [{"major": 77, "minor": 7, "rate": 1}]}}, "'77:7 .*: a block device"),
]


@pytest.mark.parametrize(("resources", "message"), NONSENSE, ids=[message for _, message in NONSENSE])
def test_nonsense_is_refused_with_what_would_be_right(bench: Bench, resources: LinuxResources, message: str) -> None:
    group = bench.group("sane")
    before = group.usage()
    with pytest.raises(InvalidArgument, match=message):
        group.apply(resources)
    after = group.usage()
    assert (after.memory_limit_bytes, after.pids_limit) == (before.memory_limit_bytes, before.pids_limit)


# Stopping, killing, removing.


@also_bare
def test_freezing_returns_when_all_have_stopped(bench: Bench) -> None:
    group = bench.group("ice")
    bench.start(group, f"for i in $(seq 40); do ({SPIN}) & done; {SPIN}")
    until(lambda: len(group.procs()) == 41 and group.usage().cpu_total_ns > 0)
    for _ in range(5):
        group.freeze()
        stopped = group.usage().cpu_total_ns
        state = bench.controls(group, v1="freezer.state", v2="cgroup.events")
        assert state == "FROZEN" or "frozen 1" in state
        time.sleep(0.03)
        # A process is told of as frozen some microseconds before it lets go of its processor.
        assert group.usage().cpu_total_ns - stopped < 2_000_000
        group.thaw()
        until(lambda stopped=stopped: group.usage().cpu_total_ns > stopped)  # type: ignore[misc]


@also_bare
def test_a_group_without_processes_can_be_frozen(bench: Bench) -> None:
    group = bench.group("empty")
    group.freeze()
    program = bench.start(group, "echo; sleep 1000")
    assert program.stdout is not None
    os.set_blocking(program.stdout.fileno(), False)
    assert program.stdout.read() is None
    os.set_blocking(program.stdout.fileno(), True)
    group.thaw()
    assert program.stdout.readline() == b"\n"


EVADE = "evade() { evade & }; evade"
"""A process that is gone before it can be signalled: it has a child, and ends."""


def fuse(bench: Bench) -> LinuxResources:
    """Return a limit for what might get out of hand."""
    return {"pids": {"limit": 200}} if "pids" in bench.driver.controllers else {}


@also_bare
@pytest.mark.parametrize("by_signals", [False, True], ids=["kill", "by signals"])
def test_killing_leaves_none_of_those_that_fork_away(bench: Bench, by_signals: bool) -> None:
    group = bench.group("bomb", fuse(bench))
    bench.start(group, f"for i in $(seq 30); do {SLEEP} & done; wait")
    until(lambda: len(group.procs()) >= 31)
    for _ in range(8):  # last: they would take every place that the limit leaves
        bench.start(group, EVADE)
    if by_signals:
        killing.kill_all(group)
    else:
        group.kill()
    group.remove()
    assert bench.driver.children(bench.base) == set()


@also_bare
def test_killing_without_a_freezer_leaves_none_either(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    group = bench.group("chase", fuse(bench))
    bench.start(group, f"for i in $(seq 30); do {SLEEP} & done; wait")
    until(lambda: len(group.procs()) >= 31)
    for _ in range(3):
        bench.start(group, EVADE)

    def refuse() -> None:
        raise Unavailable("freezer", "it is not mounted", "mount it")

    monkeypatch.setattr(group, "freeze", refuse)
    killing.kill_all(group)
    monkeypatch.undo()
    group.remove()


@also_bare
def test_killing_reaches_groups_below_and_frozen_ones(bench: Bench) -> None:
    outer, inner = bench.driver.open(f"{bench.base}/outer"), bench.group("outer/inner")
    program = bench.start(inner, SPIN)
    inner.freeze()
    outer.kill()
    inner.thaw()
    assert program.wait(SECONDS) == -signal.SIGKILL
    bench.driver.open(f"{bench.base}/nowhere").kill()


@also_bare
def test_removal_waits_for_the_dying(bench: Bench) -> None:
    group = bench.group("dying")
    program = bench.hold(group, 60 * MEGABYTE)
    remover = threading.Thread(target=group.remove)
    remover.start()
    group.kill()
    remover.join(SECONDS)
    assert bench.driver.children(bench.base) == set()
    assert program.wait(SECONDS) == -signal.SIGKILL


@also_bare
def test_removal_says_which_processes_do_not_end(bench: Bench) -> None:
    group = bench.group("alive")
    program = bench.start(group, f"exec {SLEEP}")
    group.removal_seconds = 0.1
    with pytest.raises(SyscallError, match=rf"it has processes that do not end: \[{program.pid}\]"):
        group.remove()


# What it tells.


def test_usage_is_what_was_used(bench: Bench) -> None:
    group = bench.group("used")
    assert group.usage().memory_limit_bytes == group.usage().pids_limit == 0
    bench.hold(group, 40 * MEGABYTE)
    assert 40 * MEGABYTE < group.usage().memory_bytes < 60 * MEGABYTE
    assert group.usage().pids == 1
    before = group.usage()
    program = bench.start(group, SPIN)
    begin = cpu_seconds(program.pid)
    until(lambda: cpu_seconds(program.pid) >= begin + 0.5)
    usage, spent = group.usage(), cpu_seconds(program.pid) - begin
    assert 0.45 < (usage.cpu_total_ns - before.cpu_total_ns) / 1e9 < spent + 0.1
    assert 0 < usage.cpu_user_ns + usage.cpu_system_ns < usage.cpu_total_ns * 1.5 + 100_000_000


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process by its own clock; ``clock_getcpuclockid(3)``."""
    return time.clock_gettime(~pid << 3 | 2)


def test_page_cache_is_told_apart(bench: Bench, tmp_path: Path) -> None:
    group = bench.group("cache")
    assert bench.run(group, f"dd if=/dev/zero of={tmp_path}/file bs=1M count=20 conv=fsync") == 0
    usage = group.usage()
    if os.statvfs(tmp_path).f_fsid and bench.driver.version_of("memory") == 1 and cgroup_driver() == "v1":
        assert usage.memory_cache_bytes > 15 * MEGABYTE
    assert usage.memory_bytes > 15 * MEGABYTE


@also_bare
def test_a_group_that_has_gone_tells_nothing_rather_than_zero(bench: Bench) -> None:
    group = bench.group("gone")
    group.usage()
    bench.driver.open(group.path).remove()
    with pytest.raises(SyscallError) as caught:
        group.usage()
    assert caught.value.errno in (errno.ENODEV, errno.ENOENT)
    with pytest.raises(SyscallError):
        bench.driver.open(f"{bench.base}/never").usage()
    assert group.oom_kills() == 0
    assert group.procs() == []
    with pytest.raises((SyscallError, Error)):
        group.apply({"pids": {"limit": 3}})


@pytest.mark.parametrize("bench", [V2, BARE], indirect=True)
def test_pressure_is_told_where_the_kernel_measures_it(bench: Bench) -> None:
    group = bench.group("pressed")
    if not Path("/proc/pressure").exists():
        assert group.pressure() == {}
        return
    assert group.pressure()["memory"] == {"some_10s": 0, "full_10s": 0}
    processor = min(os.sched_getaffinity(0))
    for _ in range(3):
        os.sched_setaffinity(bench.start(group, SPIN).pid, {processor})
    # The kernel counts what has passed since the last reading in whole ticks: who asks more often loses it all.
    until(lambda: group.pressure()["cpu"]["some_10s"] > 5, pause_seconds=0.1)
    bench.driver.open(group.path).kill()


def test_descriptors_are_closed(bench: Bench) -> None:
    group = bench.group("closed")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        group.usage()
        group.pressure()
    assert len(os.listdir("/proc/self/fd")) > before
    group.close()
    assert len(os.listdir("/proc/self/fd")) == before


# What only one version has.


def test_a_prepared_group_is_renamed_with_its_limits_and_processes(bench: Bench) -> None:
    group = bench.group("prepared")
    program = bench.start(group, f"exec {SLEEP}")
    if bench.driver.version == 2:
        with pytest.raises(Unavailable, match="renaming a control group is not available: version 2 cannot"):
            group.rename(f"{bench.base}/final")
        return
    group.apply({"memory": {"limit": 32 * MEGABYTE}, "pids": {"limit": 9}, "cpu": {"quota": 50_000}})
    group.rename(f"{bench.base}/final")
    assert bench.driver.children(bench.base) == {"final"}
    found = bench.driver.open(f"{bench.base}/final")
    assert found.procs() == group.procs() == [program.pid]
    assert (found.usage().memory_limit_bytes, found.usage().pids_limit) == (32 * MEGABYTE, 9)
    assert bench.controls(found, v1="cpu.cfs_quota_us", v2="cpu.max").split()[0] == "50000"
    other = bench.group("other")
    with pytest.raises(SyscallError, match=r"rename .*/final': File exists \(from '.*/other'\)"):
        other.rename(f"{bench.base}/final")


@pytest.mark.cgroup_v2
def test_a_child_is_born_in_its_group() -> None:
    bench = Bench(cgroups.detect())
    try:
        group = bench.group("born", {"pids": {"limit": 1}})
        fd = group.directory_fd()
        pid, pidfd = processes.clone(0, fd)
        if pid == 0:
            os._exit(0 if f"0::{group.path}" in Path("/proc/self/cgroup").read_text() else 1)
        os.close(fd)
        assert processes.wait_pidfd(pidfd) == 0
        os.close(pidfd)
    finally:
        bench.close()


@pytest.mark.cgroup_v2
def test_processes_and_groups_below_exclude_each_other() -> None:
    bench = Bench(cgroups.detect())
    try:
        full = bench.group("full")
        program = bench.start(full, f"exec {SLEEP}")
        with pytest.raises(Unavailable, match=r"control groups below '.*/full' is not available: it has processes"):
            bench.group("full/below")
        assert bench.driver.children(full.path) == set()
        bench.group("parent/child")
        with pytest.raises(SyscallError, match="there are groups with limits below it") as caught:
            bench.driver.open(f"{bench.base}/parent").attach(program.pid)
        assert caught.value.errno == errno.EBUSY
    finally:
        bench.close()


@pytest.mark.cgroup_v2
@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"devices": [{"allow": False}]}, "device rules is not available: version 2 has no devices controller"),
        ({"memory": {"disableOOMKiller": True}}, "disabling the oom killer is not available: version 2 cannot"),
    ],
    ids=["devices", "oom killer"],
)
def test_what_version_2_lacks_is_refused(resources: LinuxResources, message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        cgroups.detect().create(f"/nbcontainers-test-{os.getpid()}", resources)
    assert f"nbcontainers-test-{os.getpid()}" not in cgroups.detect().children("")
