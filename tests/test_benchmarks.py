"""The benchmarks' own words, and that the dockerd they compare with leaves nothing behind."""

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from benchmarks.dockerd import private_dockerd
from tests.busybox import root_file_system


def _compare(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.compare", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_comparison_says_how_it_is_used() -> None:
    asked = _compare("--help")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "NAME=URL" in asked.stdout
    refused = _compare("ours")
    assert refused.returncode == 2
    assert refused.stderr.endswith("'ours' is no NAME=URL, such as ours=unix:///run/nbcontainers/engine.sock\n")


@pytest.mark.root
@pytest.mark.peer
def test_a_private_dockerd_leaves_nothing(need: Callable[..., None]) -> None:
    need("root", "peer", "busybox")
    with private_dockerd() as url, contextlib.closing(docker.DockerClient(url, timeout=60)) as client:
        place = Path(url.removeprefix("unix://")).parent
        client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
        assert client.containers.run("busybox", ["echo", "hi"], network_mode="host", remove=True) == b"hi\n"
        assert str(place) in Path("/proc/self/mountinfo").read_text()
    assert not place.exists()
    assert str(place) not in Path("/proc/self/mountinfo").read_text()
