"""Directories in a spread one lie apart on ext4; other file systems are left alone."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path

import pytest

from nbcontainers.linux.spreading import spread

_GETFLAGS, _TOPDIR = 0x80086601, 0x00020000
_INODES_OF_A_GROUP = 8192


def flags(directory: Path) -> int:
    fd = os.open(directory, os.O_RDONLY)
    try:
        return int(struct.unpack("l", fcntl.ioctl(fd, _GETFLAGS, bytes(8)))[0])
    finally:
        os.close(fd)


def test_directories_lie_apart(tmp_path: Path) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout
    if not kind.startswith("ext"):
        pytest.skip(f"'{tmp_path}' is not on ext4")
    spread(tmp_path)
    assert flags(tmp_path) & _TOPDIR
    groups = set()
    for number in range(8):
        (tmp_path / str(number)).mkdir()
        groups.add((tmp_path / str(number)).stat().st_ino // _INODES_OF_A_GROUP)
    assert len(groups) > 1
    spread(tmp_path)
    assert flags(tmp_path) & _TOPDIR


def test_what_knows_no_groups_is_left_alone() -> None:
    spread("/dev/shm")
    spread("/proc/self/task")
    with pytest.raises(FileNotFoundError):
        spread("/nowhere")
