import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nbcontainers.lessons import Guest, GuestError
from nbcontainers.linux import cgroups, namespaces, processes

SECONDS = 10
PARENT = """
from nbcontainers.lessons import Guest

def spin():
    while True:
        pass

guest = Guest()
guest.start(spin)
print(guest.pid, flush=True)
input()
"""


def spin() -> None:
    while True:
        pass


def double(number: int) -> int:
    return number * 2


def large() -> str:
    return "x" * 1_000_000


def wait_end(pidfd: int) -> bool:
    try:
        return bool(select.select([pidfd], [], [], SECONDS)[0])
    finally:
        os.close(pidfd)


def test_a_guest_executes_calls_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    with Guest() as guest:
        assert guest.run("import os\nos.getpid()") == guest.pid != os.getpid()
        assert guest.run("x = 5") is None
        assert guest.run("x") == 5
        assert guest.call(double, 21) == 42
        guest.run("print('y' * 300_000)\nos.system('echo from a child')")
    printed = capsys.readouterr().out
    assert printed.count("y") == 300_000
    assert "from a child" in printed
    assert guest.exit_code == 128 + signal.SIGKILL


def test_what_cannot_travel_is_shown_or_refused() -> None:
    with Guest() as guest:
        assert guest.run("lambda: 1").startswith("<function")
        with pytest.raises(GuestError, match="too large"):
            guest.call(large)
        assert guest.call(double, 1) == 2


def test_an_error_is_told_with_the_guests_lines() -> None:
    with Guest() as guest:
        with pytest.raises(GuestError) as told:
            guest.run("def divide():\n    return 1 / 0\n\ndivide()")
        assert "return 1 / 0" in str(told.value)
        assert str(told.value).endswith("ZeroDivisionError: division by zero\n")
        assert "inside.py" not in str(told.value)
        with pytest.raises(GuestError, match="SyntaxError"):
            guest.run("def")


def test_a_busy_guest_is_not_disturbed_and_can_be_ended() -> None:
    with Guest() as guest:
        guest.start(spin)
        assert guest.busy
        with pytest.raises(GuestError, match="still busy"):
            guest.run("1")
    assert guest.exit_code == 128 + signal.SIGKILL
    with pytest.raises(GuestError, match="has ended"):
        guest.run("1")


def test_the_end_of_a_guest_is_noticed() -> None:
    with Guest() as guest:
        with pytest.raises(GuestError, match="exit code 7"):
            guest.run("import os\nos._exit(7)")
        assert guest.exit_code == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="a pid namespace needs root")
def test_the_child_may_go_on() -> None:
    with Guest() as guest:
        first = guest.pid
        guest.run(
            "import os\nfrom nbcontainers.linux import namespaces, processes\n"
            "pid, pidfd = processes.clone(namespaces.CLONE_NEWPID)\n"
            "if pid:\n    os._exit(processes.wait_pidfd(pidfd))\n"
        )
        assert guest.run("os.getpid()") == 1
        assert guest.pid != first
        assert namespaces.namespace_id("pid", guest.pid) != namespaces.namespace_id("pid", first)
        child = processes.pidfd_open(guest.pid)
        guest.start(spin)
    assert wait_end(child)
    assert guest.exit_code == 128 + signal.SIGKILL


def test_nothing_survives_a_killed_kernel(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    with subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pidfd = processes.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    assert wait_end(pidfd)


@pytest.mark.skipif(os.geteuid() != 0, reason="control groups need root")
def test_a_frozen_guest_does_not_hang_the_notebook() -> None:
    driver = cgroups.detect()
    if driver.version != 1:
        pytest.skip("a frozen process of version 2 can be killed")
    with driver.create(f"/lesson-test-{os.getpid()}", {}) as group:
        guest = Guest()
        group.attach(guest.pid)
        pidfd = processes.pidfd_open(guest.pid)
        group.freeze()
        with pytest.raises(GuestError, match="does not end"):
            guest.close()
        group.thaw()
        guest.close()
        assert wait_end(pidfd)
