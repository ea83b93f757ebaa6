"""What the tests of control groups work with: groups of their own, programs in them, and waiting without guessing."""

import contextlib
import os
import subprocess
from pathlib import Path

from nbcontainers.linux.cgroups import Cgroup, Driver
from nbcontainers.runtime.spec import LinuxResources
from tests.waiting import SECONDS

MEGABYTE = 1 << 20
SPIN = "while :; do :; done"
SLEEP = "sleep 1000"


class Bench:
    """Makes groups below one of its own, and starts programs in them; ``close`` ends and removes all of it.

    Args:
        driver: What makes the groups.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.base = f"/nbcontainers-test-{os.getpid()}"
        self.programs: list[subprocess.Popen[bytes]] = []

    def group(self, name: str, resources: LinuxResources | None = None) -> Cgroup:
        return self.driver.create(f"{self.base}/{name}", resources or {})

    def start(self, group: Cgroup, script: str) -> "subprocess.Popen[bytes]":
        """Start a shell script; its first command runs in the group."""
        command = ["/bin/sh", "-c", f"read go; exec </dev/null; {script}"]
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.programs.append(program)
        group.attach(program.pid)
        assert program.stdin is not None
        program.stdin.write(b"\n")
        program.stdin.close()
        return program

    def run(self, group: Cgroup, script: str) -> int:
        """Run a shell script to its end; returns its status, -9 when it was killed."""
        return self.start(group, script).wait(SECONDS)

    def hold(self, group: Cgroup, size: int) -> "subprocess.Popen[bytes]":
        """Start a program that has taken so many bytes when this returns, and keeps them."""
        python = f'import time; taken = b"x" * {size}; print(flush=True); time.sleep(1000)'
        program = self.start(group, f"exec python3 -S -c '{python}'")
        assert program.stdout is not None
        program.stdout.readline()
        return program

    def controls(self, group: Cgroup, **files: str) -> str:
        """Return what a file of the group says, named for each version: ``v1="memory.limit_in_bytes"``."""
        for directory in group.directories():
            for name in files.values():
                path = Path(directory, name)
                if path.exists():
                    return path.read_text().strip()
        raise AssertionError(f"none of {files} in {group.directories()}")

    def close(self) -> None:
        names = sorted(self._below(self.base), reverse=True)
        for name in names:
            self.driver.open(name).thaw()
        for name in names:
            self.driver.open(name).kill()
        for program in self.programs:
            program.wait(SECONDS)
            with contextlib.suppress(AttributeError, OSError):
                program.stdout.close()  # type: ignore[union-attr]
        for name in names:
            self.driver.open(name).remove()
        self.driver.open(self.base).remove()

    def _below(self, path: str) -> list[str]:
        found = []
        for name in self.driver.children(path):
            found += [f"{path}/{name}", *self._below(f"{path}/{name}")]
        return found


class Disk:
    """Something that can be read from a disk past the page cache: a disk in memory, or a file.

    Args:
        file: Where a file may be made; only if its file system is on one disk.
    """

    def __init__(self, file: Path) -> None:
        self.path = Path("/dev/ram0")
        self.major = self.minor = 0
        if self.path.is_block_device():
            self._number(self.path.stat().st_rdev)
        elif (number := file.parent.stat().st_dev) and (holder := _whole_disk(number)):
            self.path = file
            file.write_bytes(os.urandom(MEGABYTE))
            self._number(holder)

    def _number(self, number: int) -> None:
        self.major, self.minor = os.major(number), os.minor(number)


def _whole_disk(number: int) -> int:
    """Return the number of the disk that a partition is on, or of the disk itself; 0 where there is none."""
    try:
        found = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve(strict=True)
    except FileNotFoundError:
        return 0
    disk = found if (found / "queue").exists() else found.parent
    major, _, minor = (disk / "dev").read_text().strip().partition(":")
    return os.makedev(int(major), int(minor))
