"""The archive of Debian: made once, kept, and nothing half made. In place of mmdebstrap are programs of the test's."""

from pathlib import Path

import pytest

from nbcontainers.errors import Unavailable
from nbcontainers.lessons import debian


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin")
    (tmp_path / "bin").mkdir()
    return tmp_path / "cache" / "nbcontainers"


def install(tmp_path: Path, script: str) -> None:
    program = tmp_path / "bin" / "mmdebstrap"
    program.write_text(f"#!/bin/sh\nfor word; do case $word in *.tar) archive=$word;; esac; done\n{script}\n")
    program.chmod(0o755)


def test_an_archive_is_made_once(cache: Path, tmp_path: Path) -> None:
    install(tmp_path, f'echo x >> {tmp_path}/calls; echo "$@" > "$archive"')
    path = debian.archive()
    assert path.parent == cache
    assert path.suffixes == [".tar"]
    assert "--variant=minbase" in path.read_text()
    assert debian.archive() == path
    assert (tmp_path / "calls").read_text() == "x\n"


def test_a_failure_is_told_and_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    install(tmp_path, 'echo half > "$archive"; echo "I: begun" >&2; echo "E: no such suite" >&2; exit 25')
    with pytest.raises(Unavailable, match="mmdebstrap: E: no such suite"):
        debian.archive()
    assert list(cache.glob("*.tar")) == []


def test_without_mmdebstrap_it_says_how_to_get_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="apt install mmdebstrap"):
        debian.archive()
    assert list(cache.glob("*.tar")) == []
