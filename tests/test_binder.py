"""What Binder builds and starts: its own files, tried as far as that goes without Binder."""

import os
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent
BINDER = TREE / "binder"
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def start(*prefix: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the start script, as Binder does before Jupyter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NBCONTAINERS")}
    script = (BINDER / "start").read_text()
    return subprocess.run(
        [*prefix, "bash", "-c", script, "start", "echo", "jupyter", "a b"],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        cwd="/",
    )


@pytest.mark.root
def test_the_start_says_what_works_and_executes_jupyter() -> None:
    without_root = start(*NOBODY)
    assert without_root.stdout == "jupyter a b\n"
    assert "without root the engine does not start here" in without_root.stderr
    assert start(*NOBODY, NBCONTAINERS_HOST="tcp://elsewhere:2375").stderr == ""
    assert start().stderr == ""


def test_the_scripts_can_be_executed() -> None:
    assert all(os.access(BINDER / name, os.X_OK) for name in ("postBuild", "start"))


def test_binder_installs_what_setup_does() -> None:
    makefile = (TREE / "Makefile").read_text()
    packages = next(line for line in makefile.splitlines() if line.startswith("APT :=")).split(":=")[1].split()
    assert set((BINDER / "apt.txt").read_text().split()) == set(packages)
