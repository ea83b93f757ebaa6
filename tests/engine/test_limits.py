import os

import pytest

from nbcontainers import errors
from nbcontainers.engine import limits
from nbcontainers.engine.configuration import HostConfig, ThrottleDevice

MEGABYTE = 1 << 20
NONSENSE = [
    (HostConfig(memory_bytes=1), "minimum memory limit allowed is 6MB"),
    (HostConfig(memory_bytes=-5), "minimum memory limit"),
    (HostConfig(memory_swap_bytes=64 * MEGABYTE), "always set the memory limit"),
    (HostConfig(memory_bytes=64 * MEGABYTE, memory_swap_bytes=MEGABYTE), "larger than memory limit"),
    (HostConfig(memory_bytes=64 * MEGABYTE, memory_reservation_bytes=65 * MEGABYTE), "reservation"),
    (HostConfig(nano_cpus=1), "range of CPUs is from 0.01"),
    (HostConfig(nano_cpus=10**9 * ((os.cpu_count() or 1) + 1)), "range of CPUs"),
    (HostConfig(nano_cpus=10**9, cpu_quota_usec=50_000), "conflicting options"),
    (HostConfig(cpu_period_usec=10), "period"),
    (HostConfig(cpu_quota_usec=10), "quota"),
    (HostConfig(cpu_shares=-1), "shares '-1'"),
    (HostConfig(cpuset_cpus="a-b"), "invalid value 'a-b' for cpuset-cpus"),
    (HostConfig(cpuset_mems="0,"), "invalid value '0,'"),
    (HostConfig(pids_limit=-2), "pids limit '-2'"),
    (HostConfig(blkio_weight=5), "range of blkio weight"),
    (HostConfig(oom_score_adj=2000), "oom score adj"),
    (HostConfig(shm_size_bytes=-1), "SHM"),
]


@pytest.mark.parametrize(("asked", "message"), NONSENSE)
def test_nonsense_is_refused(asked: HostConfig, message: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=message):
        limits.check(asked)


def test_limits_become_the_runtime_specification() -> None:
    asked = HostConfig(
        memory_bytes=64 * MEGABYTE, nano_cpus=5 * 10**8, pids_limit=50, cpuset_cpus="0", oom_kill_disable=True
    )
    limits.check(asked)
    assert limits.resources(asked, swap_limit=True) == {
        "memory": {"limit": 64 * MEGABYTE, "swap": 128 * MEGABYTE, "disableOOMKiller": True},
        "cpu": {"period": 100_000, "quota": 50_000, "cpus": "0"},
        "pids": {"limit": 50},
    }
    assert "swap" not in limits.resources(asked, swap_limit=False)["memory"]
    assert limits.resources(HostConfig(), swap_limit=True) == {}


def test_a_throttle_on_no_device_is_refused() -> None:
    asked = HostConfig(blkio_read_bps=(ThrottleDevice(path="/no/such/device", rate=1),))
    with pytest.raises(errors.InvalidArgument, match="no such block device: '/no/such/device'"):
        limits.resources(asked, swap_limit=True)
