"""The doctor: every row with a reason and a remedy, for root and for a normal user; nothing is left by it."""

import os
import tempfile

import pytest

from nbcontainers.engine import doctor
from nbcontainers.engine.doctor import Finding
from nbcontainers.linux import cgroups, netlink, nftables, overlay, processes
from tests.children import in_child

NOBODY = 65534
LOADED = (netlink, nftables)  # what checks import when they run, before the child is nobody and may read no module

FEATURES = {
    "root", "kernel", "user namespace", "pid namespace", "net namespace", "clone3 and pidfds", "overlay file system",
    "overlay layers", "control groups", "swap limit", "seccomp", "bridge and veth", "nftables", "IP forwarding",
    "disk space", *(f"cgroup controller {name}" for name in doctor.WANTED_CONTROLLERS),
}  # fmt: skip


def _by_feature(rows: list[Finding]) -> dict[str, Finding]:
    for row in rows:
        assert row.needed_for
        assert row.detail
        assert row.available or row.remedy, f"no remedy for {row.feature}"
        assert not (row.available and row.remedy)
    return {row.feature: row for row in rows}


@pytest.mark.root
def test_root_is_told_of_everything() -> None:
    groups = cgroups.detect().children("")
    found = _by_feature(doctor.examine(tempfile.gettempdir()))
    assert set(found) >= FEATURES
    assert found["root"].available
    assert found["overlay file system"].available
    assert found["control groups"].available
    assert not [name for name in cgroups.detect().children("") - groups if str(os.getpid()) in name]


@pytest.mark.root
def test_a_normal_user_learns_that_root_is_what_is_missing() -> None:
    def work() -> dict[str, Finding]:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        processes.set_dumpable(True)  # as a process is that was executed by this user
        return _by_feature(doctor.examine(tempfile.gettempdir()))

    found = in_child(work)
    assert set(found) >= FEATURES
    assert not found["root"].available
    assert "NBCONTAINERS_HOST=docker" in found["root"].remedy
    assert not found["control groups"].available
    if found["user namespace"].available:
        # What the kernel has is seen in a user namespace, and not taken for missing.
        for feature in ("pid namespace", "bridge and veth", "nftables", "seccomp", "overlay file system"):
            assert found[feature].available, found[feature].detail
    else:
        assert "no user namespace" in found["pid namespace"].detail


def test_a_missing_feature_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "takes_one_by_one", lambda: False)
    row = doctor._layers()
    assert not row.available
    assert "fifteen layers" in row.detail
    assert row.remedy == "use Linux 6.5 or newer"
