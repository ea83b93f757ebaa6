"""The doctor tells what a running engine lacks, beside what the machine does."""

import gc
import warnings

import pytest

from nbcontainers.client import Client, doctor
from tests.conftest import RecordingFace


def test_what_a_running_engine_lacks(face: RecordingFace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBCONTAINERS_HOST", str(face.url))
    told = face.client.info()
    monkeypatch.setattr(Client, "info", lambda _: {**told, "Warnings": ["WARNING: no way out"]})
    row = doctor().set_index("feature").loc["running engine"]
    assert (row["available"], row["detail"]) == (False, "no way out")
    assert "restarted" in row["remedy"]
    monkeypatch.setenv("NBCONTAINERS_HOST", "unix:///nowhere/engine.sock")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker-py leaves the socket of a failed connection to gc
        assert "running engine" not in set(doctor()["feature"])
        gc.collect()
