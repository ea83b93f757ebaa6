"""The engine that ``connect`` starts: in the background, for others too, and nobody's zombie."""

import contextlib
import os
import signal
import tempfile
from pathlib import Path

import pytest

from nbcontainers.client import connect
from tests.engine_process import EngineProcess, leftovers
from tests.waiting import until

pytestmark = [pytest.mark.root]


def test_an_engine_that_dies_is_no_zombie(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="nbe-", dir="/tmp") as directory:
        own = EngineProcess(Path(directory))
        monkeypatch.delenv("NBCONTAINERS_HOST", raising=False)
        monkeypatch.setenv("NBCONTAINERS_ROOT", str(own.root))
        monkeypatch.setenv("NBCONTAINERS_RUN", str(own.run))
        with connect() as first, connect() as second:  # the second finds the first one's engine
            assert first.version()["Version"] == second.version()["Version"]
        pid = int((own.root / "engine.lock").read_text())
        try:
            os.kill(pid, signal.SIGTERM)
            until(lambda: not Path(f"/proc/{pid}").exists())
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert leftovers(own) == []
