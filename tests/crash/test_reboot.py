"""What a reboot leaves: all that is in directories, and nothing that is in the kernel's memory."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import recovery
from nbcontainers.linux import cgroups
from tests.engine_process import EngineProcess
from tests.leaks import identity
from tests.waiting import until

pytestmark = [pytest.mark.root]

WRITER = ["sh", "-c", "echo started >> /data/$0; echo ready; sleep 600"]


def _shim_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def power_off(engine: EngineProcess, pids: list[int]) -> None:
    """End an engine and its containers at once, and take away what does not outlive that in the kernel."""
    shims = [_shim_of(pid) for pid in pids]
    engine.kill()
    for shim in shims:
        os.kill(shim, signal.SIGKILL)
    mark = identity(engine.root)
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if str(engine.root) in line.split()[4]:
            subprocess.run(["umount", "-l", line.split()[4]], check=True)
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    for line in links.splitlines():
        if f"nbc-{mark[:6]}" in line:
            subprocess.run(["ip", "link", "delete", line.split(": ")[1].partition("@")[0]], check=False)
    for line in subprocess.run(
        ["nft", "list", "tables"], capture_output=True, text=True, check=True
    ).stdout.splitlines():
        if mark in line:
            # Another engine that starts just now may have cleared it away.
            subprocess.run(["nft", "delete", *line.split()], check=False)
    parent = f"/nbcontainers/{mark}"
    until(lambda: _without_groups(parent))
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in (*pids, *shims)))
    shutil.rmtree(engine.run)
    boot = engine.root / "boot"
    boot.write_text(f"another {boot.read_text()}")


def _without_groups(parent: str) -> bool:
    """Remove the control groups below one; False when somebody is in one still, who is about to end."""
    recovery.sweep_cgroups(set(), parent)
    return not cgroups.detect().children(parent)


def test_after_a_reboot(engine: EngineProcess) -> None:
    client = engine.client
    client.networks.create("own")
    client.volumes.create("memory", driver_opts={"type": "tmpfs", "device": "tmpfs"})
    volumes = {"data": {"bind": "/data", "mode": "rw"}, "memory": {"bind": "/memory", "mode": "rw"}}

    def run(name: str, policy: str, **options: Any) -> Any:
        container = client.containers.run(
            "busybox",
            [*WRITER, name],
            name=name,
            detach=True,
            volumes=volumes,
            restart_policy={"Name": policy},
            **options,
        )
        until(lambda: b"ready\n" in container.logs())
        return container

    run("stays", "no").exec_run(["touch", "/memory/before"])
    run("always", "always", network="own")
    run("on-failure", "on-failure")
    run("beside", "always", network_mode="container:always", pid_mode="container:on-failure")
    run("paused", "unless-stopped").pause()
    run("stopped", "unless-stopped").stop(timeout=0)
    client.containers.create("busybox", "true", name="created", restart_policy={"Name": "always"})
    client.containers.run("busybox", ["sleep", "600"], name="passing", detach=True, auto_remove=True)
    pids = [container.attrs["State"]["Pid"] for container in client.containers.list()]
    assert len(pids) == 6
    power_off(engine, pids)

    assert engine.start() == "ready"
    again = ("always", "on-failure", "paused", "beside")
    states: dict[str, Any] = {}

    def have_started() -> bool:
        states.clear()
        found = engine.client.containers.list(all=True, ignore_removed=True)
        states.update({one.name: one.attrs["State"] for one in found})
        return all(states[name]["Status"] == "running" for name in again)

    until(have_started)
    assert sorted(states) == ["always", "beside", "created", "on-failure", "paused", "stays", "stopped"]
    assert [
        (states[name]["Status"], states[name]["ExitCode"], states[name]["Error"]) for name in ("stays", "stopped")
    ] == [
        ("exited", 255, ""),  # as dockerd says it
        ("exited", 137, ""),
    ]
    assert states["created"]["Status"] == "created"
    data = Path(engine.client.volumes.get("data").attrs["Mountpoint"])
    until(lambda: all((data / name).read_text() == "started\n" * 2 for name in again))
    assert all((data / name).read_text() == "started\n" for name in ("stays", "stopped"))
    assert states["beside"]["Error"] == ""
    always = engine.client.containers.get("always")
    assert always.exec_run(["ls", "/memory"]).output == b""  # that was in memory, and is anew
    assert always.exec_run(["grep", "-c", " /memory tmpfs ", "/proc/mounts"]).output == b"1\n"
    assert always.attrs["NetworkSettings"]["Networks"]["own"]["IPAddress"]
    stays = engine.client.containers.get("stays")
    stays.start()
    until(lambda: (data / "stays").read_text() == "started\n" * 2)
