"""What fails once under load is run again alone; what fails twice, or leaks, is broken."""

import os
import sys
from pathlib import Path

import pytest

from tests.halves import halves, run

_ONCE = """
import pathlib

def test_once():
    marker = pathlib.Path(__file__).with_suffix(".marker")
    there = marker.exists()
    marker.touch()
    assert there
"""
_TWICE = "def test_twice(): assert False"
_LEAK = """
import pytest

@pytest.fixture
def leaking():
    yield
    assert False

def test_leak(leaking): pass
"""
_FINE = "def test_fine(): pass"


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [(_ONCE, 0, "UNSTABLE"), (_TWICE, 1, "once more"), (_LEAK, 1, "")],
    ids=["once", "twice", "leak"],
)
def test_a_few_failures_have_a_second_chance(
    source: str,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "test_first.py").write_text(_FINE)
    (tmp_path / "test_second.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "pytest", "-p", "tests.failures_plugin", "-p", "no:cacheprovider"]
    assert run([*command, "-c", os.devnull, "--rootdir=."], ["test_first.py"], ["test_second.py"]) == code
    out = capfd.readouterr().out
    assert said in out
    assert bool(said) == ("once more, alone" in out)


def test_together_the_halves_are_everything() -> None:
    first, second = halves()
    modules = {str(path) for path in Path("tests").rglob("test_*.py")}
    ignored = {option.removeprefix("--ignore=") for option in second if option.startswith("--ignore=")}

    def expand(parts: list[str]) -> set[str]:
        return {
            str(path)
            for part in parts
            for path in (Path(part).rglob("test_*.py") if Path(part).is_dir() else [Path(part)])
        }

    told_second = expand([part for part in second if not part.startswith("--")]) - ignored
    assert expand(first) | told_second == modules
    assert not expand(first) & told_second
