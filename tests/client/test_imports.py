"""The faces import where there is no Unix: on Windows, with a Docker's socket."""

import ast
import importlib
from pathlib import Path

import pytest

import nbcontainers
from nbcontainers import errors
from nbcontainers.client import connect

_OF_UNIX = frozenset(("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"))
_PACKAGE = Path(nbcontainers.__file__).parent
_FACES = ("client", "cli", "notebook", "server")


def _imported_at_once(source: str) -> set[str]:
    """Return what a module imports when it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("face", _FACES)
def test_no_face_imports_what_only_unix_has(face: str) -> None:
    modules = [*(_PACKAGE / face).glob("*.py"), *_PACKAGE.glob("*.py")]
    assert len(modules) > len(_FACES)
    assert {path.name: found for path in modules if (found := _imported_at_once(path.read_text()) & _OF_UNIX)} == {}
    assert _imported_at_once("import fcntl\nfrom termios import error") & _OF_UNIX


def test_no_engine_of_ones_own_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBCONTAINERS_HOST", raising=False)
    monkeypatch.setattr(importlib.import_module("nbcontainers.client.connect"), "_HAS_OWN", False)
    with pytest.raises(errors.Unavailable, match="it needs Linux"):
        connect()
    with pytest.raises(errors.Unavailable, match="does not answer"):
        connect("unix:///nowhere")
