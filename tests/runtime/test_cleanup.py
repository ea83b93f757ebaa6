"""The trash is emptied, and work is done at leisure, whatever else fails."""

import threading
from pathlib import Path

import pytest

from nbcontainers.runtime.cleanup import Cleanup
from tests.waiting import SECONDS, until


def test_work_that_fails_keeps_nothing_else_from_being_done(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def fail() -> None:
        raise RuntimeError("a fault of ours")

    cleanup = Cleanup(tmp_path / "trash")
    try:
        cleanup.refill(fail)
        cleanup.refill(done.set)
        assert done.wait(SECONDS)
        (tmp_path / "thrown").mkdir()
        (tmp_path / "thrown" / "file").write_text("1")
        cleanup.discard(tmp_path / "thrown")
        until(lambda: not list((tmp_path / "trash").iterdir()))
    finally:
        cleanup.close()
    assert "a fault of ours" in caplog.text
