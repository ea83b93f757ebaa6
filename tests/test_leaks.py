"""The fixture that looks for leaks finds each kind of them, and nothing of anybody else."""

import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbcontainers.linux import cgroups, mounts
from nbcontainers.linux.netlink import Netlink
from tests import leaks
from tests.leaks import Watch, identity

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.close()


def test_a_directory_that_stays(watch: Watch) -> None:
    directory = tempfile.mkdtemp(prefix="nbl-", dir="/tmp")
    assert f"directory {directory}" in watch.leaks()
    shutil.rmtree(directory)
    assert watch.leaks() == []


def test_a_process_that_goes_on_also_as_an_orphan(watch: Watch) -> None:
    script = "sleep 300 >/dev/null 2>&1 & echo $!"
    pid = int(subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout)
    try:
        assert watch.leaks() == [f"process {pid}: sleep 300"]
    finally:
        pidfd = os.pidfd_open(pid)
        os.kill(pid, 9)
        _wait(pidfd)
    assert watch.leaks() == []


@pytest.mark.root
def test_a_mount_a_group_and_a_bridge(watch: Watch) -> None:
    directory = Path(tempfile.mkdtemp(prefix="nbl-", dir="/tmp"))
    mark = identity(directory / "root")
    group = cgroups.detect().create(f"/nbcontainers/{mark}", {})
    mounts.mount("tmpfs", str(directory), "tmpfs")
    with Netlink() as netlink:
        netlink.add_bridge(f"nbc-{mark}")
        try:
            found = watch.leaks()
        finally:
            netlink.delete_link(f"nbc-{mark}")
            mounts.umount2(str(directory), mounts.MNT_DETACH)
            group.remove()
            directory.rmdir()
    assert f"mount / on {directory}" in found
    assert f"interface nbc-{mark}" in found
    assert any(line.startswith("control group") and line.endswith(mark) for line in found)
    assert watch.leaks() == []


@pytest.mark.root
def test_what_others_make_meanwhile_does_not_count(watch: Watch) -> None:
    mark = identity(Path("/tmp/of-somebody-else/root"))
    other = {name: value for name, value in os.environ.items() if name != leaks.VARIABLE}
    with Netlink() as netlink:
        netlink.add_bridge(f"nbc-{mark[:6]}x")
        try:
            with cgroups.detect().create(f"/nbcontainers-{mark}", {}):
                with subprocess.Popen(["sleep", "300"], env=other) as stranger:
                    found = watch.leaks()
                    stranger.kill()
        finally:
            netlink.delete_link(f"nbc-{mark[:6]}x")
    assert found == []


def test_a_session_that_leaks_fails_and_says_what(tmp_path: Path) -> None:
    passed = _session(tmp_path, "def test_it():\n    pass\n")
    assert passed.returncode == 0, passed.stdout
    text = "import subprocess\ndef test_it():\n    subprocess.Popen(['sleep', '300']).returncode = 0\n"
    failed = _session(tmp_path, text)
    assert failed.returncode == 1
    [line] = [
        line
        for line in failed.stdout.splitlines()
        if line.startswith("E ") and line[1:].lstrip().startswith("process ")
    ]
    assert line.endswith(": sleep 300")
    os.kill(int(line.split("process ")[1].split(":")[0]), 9)


def _session(directory: Path, text: str) -> "subprocess.CompletedProcess[str]":
    test = directory / "test_of_it.py"
    test.write_text(text)
    plugins = ["-p", "tests.leaks_plugin", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "-c", "/dev/null", f"--rootdir={directory}", str(test)],
        env=environment, cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip


def _wait(pidfd: int) -> None:
    try:
        assert select.select([pidfd], [], [], 10)[0]
    finally:
        os.close(pidfd)
