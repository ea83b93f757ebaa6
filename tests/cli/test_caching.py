import json
from pathlib import Path

import click
import pytest

from nbcontainers.cli import caching
from tests.conftest import RecordingFace


def test_folders_are_those_of_who_asks(face: RecordingFace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sources = ("type=local,src=c", '"src=a,b",type=local', "busybox", "127.0.0.1:1/none", "type=registry,ref=x")
    assert caching.sources(face, sources) == [
        f"type=local,src={tmp_path}/c",
        f'"src={tmp_path}/a,b",type=local',
        "busybox",
        "type=registry,ref=127.0.0.1:1/none",
        "type=registry,ref=x",
    ]
    assert json.loads(caching.targets(face, ("type=local,dest=../c,mode=max", "type=inline"))) == [
        f"type=local,dest={tmp_path.parent}/c,mode=max",
        "type=inline",
    ]


def test_an_engine_elsewhere_does_not_see_them(face: RecordingFace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "_BESIDE_US", "elsewhere")
    with pytest.raises(click.UsageError, match="on another machine"):
        caching.targets(face, ("type=local,dest=c",))
    assert caching.sources(face, ("type=registry,ref=x",)) == ["type=registry,ref=x"]
