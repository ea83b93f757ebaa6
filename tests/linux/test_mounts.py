"""Paths that the kernel resolves below a root, while everything around it is renamed."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbcontainers.linux import mounts

OPENINGS = 300


@contextmanager
def renamed_all_the_while(directory: Path) -> Iterator[None]:
    """Rename a directory to and fro, as fast as the machine can."""
    names = [directory / "this", directory / "that"]
    names[0].mkdir()
    done = threading.Event()

    def rename() -> None:
        while not done.is_set():
            os.rename(*names)
            names.reverse()

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_what_is_renamed_meanwhile_stops_nobody_who_goes_upwards(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    upwards = "/".join(["a/b/../.."] * 40)
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        with renamed_all_the_while(tmp_path):
            for _ in range(OPENINGS):
                os.close(mounts.openat2(root_fd, upwards, os.O_PATH))
    finally:
        os.close(root_fd)
