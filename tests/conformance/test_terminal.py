"""A user at a terminal: the docker CLI on a pseudo terminal, against a real engine."""

import os
from collections.abc import Callable

import pytest

from tests.engine_process import EngineProcess
from tests.terminal import at_terminal, resize, until

pytestmark = [pytest.mark.root, pytest.mark.peer]


def _at_terminal(engine: EngineProcess, arguments: list[str], talk: Callable[[int], None]) -> int:
    return at_terminal(["docker", *arguments], engine.environment, talk)


def test_a_shell(cli: EngineProcess) -> None:
    def talk(master_fd: int) -> None:
        until(master_fd, b"# ")
        os.write(master_fd, b"echo $((40+2))\r")
        until(master_fd, b"42")
        # The CLI tells the size after the start: ask until it is there.
        os.write(master_fd, b"until [ \"$(stty size)\" = '40 100' ]; do :; done; echo si''zed\r")
        until(master_fd, b"sized")
        os.write(master_fd, b"exit 3\r")

    assert _at_terminal(cli, ["run", "-it", "--rm", "busybox", "sh"], talk) == 3


def test_leaving_a_container_and_coming_back(cli: EngineProcess) -> None:
    def leave(master_fd: int) -> None:
        until(master_fd, b"# ")
        os.write(master_fd, b"\x10\x11")

    _at_terminal(cli, ["run", "-it", "--name", "left", "busybox", "sh"], leave)
    assert cli.client.containers.get("left").status == "running"

    def come_and_leave(master_fd: int) -> None:
        os.write(master_fd, b"echo ba''ck\r")
        until(master_fd, b"back")
        os.write(master_fd, b"\x18x")

    _at_terminal(cli, ["attach", "--detach-keys", "ctrl-x,x", "left"], come_and_leave)
    assert cli.client.containers.get("left").status == "running"

    def come_back(master_fd: int) -> None:
        os.write(master_fd, b"echo ba''ck again\r")
        until(master_fd, b"back again")
        os.write(master_fd, b"exit 6\r")

    assert _at_terminal(cli, ["attach", "left"], come_back) == 6


def test_a_shell_in_a_running_container(cli: EngineProcess) -> None:
    cli.docker("run", "-d", "--name", "target", "--network", "none", "busybox", "sleep", "600")

    def talk(master_fd: int) -> None:
        until(master_fd, b"# ")
        os.write(master_fd, b"until [ \"$(stty size)\" = '40 100' ]; do :; done; echo si''zed\r")
        until(master_fd, b"sized")
        resize(master_fd, 33, 77)
        os.write(master_fd, b"until [ \"$(stty size)\" = '33 77' ]; do :; done; echo re''sized\r")
        until(master_fd, b"resized")
        # A program that is interrupted, and one that is stopped, both as the terminal's foreground job.
        os.write(master_fd, b"sh -c 'echo sl''eeps; sleep 100'\r")
        until(master_fd, b"sleeps")
        os.write(master_fd, b"\x03")
        until(master_fd, b"# ")
        os.write(master_fd, b"echo code $?; sh -c 'echo sl''eeps; sleep 100'\r")
        until(master_fd, b"code 130")
        until(master_fd, b"sleeps")
        os.write(master_fd, b"\x1a")
        until(master_fd, b"Stopped")
        os.write(master_fd, b"kill -9 %1; exit 3\r")
        until(master_fd, b"exit 3")
        os.write(master_fd, b"exit 3\r")  # the shell minds the first one while it has a stopped job

    assert _at_terminal(cli, ["exec", "-it", "target", "sh"], talk) == 3


def test_leaving_an_exec(cli: EngineProcess) -> None:
    cli.docker("run", "-d", "--name", "target", "--network", "none", "busybox", "sleep", "600")

    def leave(master_fd: int) -> None:
        until(master_fd, b"# ")
        os.write(master_fd, b"ab")

    _at_terminal(cli, ["exec", "-it", "--detach-keys", "a,b", "target", "sh"], leave)
    container = cli.client.containers.get("target")
    assert len(container.attrs["ExecIDs"]) == 1  # the shell is still there
    assert b"sh" in cli.docker("exec", "target", "ps", "-o", "comm").stdout.split()


def test_signals_and_jobs(cli: EngineProcess) -> None:
    """What a user types and does to the window reaches the programs in the container, as on any terminal."""

    def talk(master_fd: int) -> None:
        def type_in(line: str) -> None:
            os.write(master_fd, line.encode() + b"\r")

        # It says so itself: from then on it is in the foreground.
        sleeper = "sh -c 'echo slee\"\"ping; exec sleep 100'"
        until(master_fd, b"# ")
        type_in(sleeper)
        until(master_fd, b"sleeping")
        os.write(master_fd, b"\x03")
        until(master_fd, b"# ")
        type_in("echo status $?")
        until(master_fd, b"status 130")
        resize(master_fd, 20, 77)
        type_in("until [ \"$(stty size)\" = '20 77' ]; do :; done; echo si''zed")
        until(master_fd, b"sized")
        type_in(sleeper)
        until(master_fd, b"sleeping")
        os.write(master_fd, b"\x1a")
        until(master_fd, b"Stopped")
        type_in("exec sh -c 'exit 5'")

    assert _at_terminal(cli, ["run", "-it", "--rm", "busybox", "sh"], talk) == 5


def test_interrupting_what_runs_in_the_foreground(cli: EngineProcess) -> None:
    def interrupt(master_fd: int) -> None:
        until(master_fd, b"here")
        os.write(master_fd, b"\x03")

    script = "echo here; sleep 100; true"
    assert _at_terminal(cli, ["run", "-it", "--rm", "busybox", "sh", "-c", script], interrupt) == 130
    assert cli.client.containers.list(all=True) == []


def test_exit_statuses(cli: EngineProcess) -> None:
    for arguments, status in ((["nope"], 127), (["/etc"], 126), (["sh", "-c", "kill -9 $$; exit 7"], 7)):
        assert _at_terminal(cli, ["run", "-it", "--rm", "busybox", *arguments], lambda _: None) == status
