"""Files of a volume as a notebook gets at them, on our engine and, where there is one, on Docker."""

import gzip
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pandas as pd
import pytest
from docker.errors import APIError, NotFound

import nbcontainers
from nbcontainers.client.volumes import Volume, restore, volume
from tests.engine_process import EngineProcess, running_engine

pytestmark = [pytest.mark.root]


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    if os.geteuid() != 0:
        pytest.skip("the engine needs root")
    with running_engine() as running:
        yield running


@pytest.fixture
def data(engine: EngineProcess) -> Iterator[Volume]:
    """A volume of our engine."""
    engine.client.volumes.create("data")
    yield volume("data", engine.client)
    engine.client.volumes.get("data").remove()


def inside(data: Volume) -> Path:
    return Path(data.attributes["Mountpoint"])


def fill(data: Volume) -> None:
    """Give a volume what there is in volumes, links that lead out of it among it."""
    data.write_text("notes.txt", "of today")
    data.write_bytes("tables/2026.csv.gz", gzip.compress(b"x,y\n1,2\n3,4\n"), mode=0o600, uid=70, gid=71)
    data.write_text("tables/2026.json", '[{"x": 1}, {"x": 2}]')
    root = inside(data)
    (root / "link").symlink_to("tables/2026.json")
    (root / "absolute").symlink_to("/notes.txt")
    (root / "up").symlink_to("../../../../../../../etc/passwd")
    (root / "host").symlink_to("/etc/passwd")
    (root / "folder").symlink_to("tables")
    os.mkfifo(root / "pipe")


def test_what_is_written_is_read(data: Volume) -> None:
    fill(data)
    assert data.read_text("notes.txt") == data.read_text("/notes.txt") == "of today"
    assert data.read_csv("tables/2026.csv.gz").to_dict("list") == {"x": [1, 3], "y": [2, 4]}
    assert list(data.read_json("link")["x"]) == [1, 2]
    assert data.read(lambda file, skip: file.read()[skip:], "notes.txt", skip=3) == b"today"
    assert data.read_text("absolute") == "of today"
    assert data.read_text("folder/2026.json").startswith("[{")
    with data.open("tables/2026.json") as file:
        assert (file.seek(0, os.SEEK_END), file.seek(2), file.read(3)) == (20, 2, b'"x"')
    assert stat.S_IMODE((inside(data) / "tables/2026.csv.gz").stat().st_mode) == 0o600
    assert repr(data) == "<Volume: data>"


def test_what_is_in_a_directory(data: Volume) -> None:
    fill(data)
    table = data.ls()
    assert list(table["name"]) == ["absolute", "folder", "host", "link", "notes.txt", "pipe", "tables", "up"]
    rows = table.set_index("name")
    assert list(rows["type"]) == ["link", "link", "link", "link", "file", "fifo", "directory", "link"]
    assert (rows["size"]["notes.txt"], rows["mode"]["notes.txt"], rows["uid"]["notes.txt"]) == (8, "0644", 0)
    assert rows["target"]["link"] == "tables/2026.json"
    assert str(rows["modified"].dtype) == "datetime64[ns, UTC]"
    assert abs(rows["modified"]["notes.txt"] - pd.Timestamp.now("UTC")) < pd.Timedelta("1min")
    below = data.ls("folder").set_index("name")
    assert list(below.index) == ["2026.csv.gz", "2026.json"]
    assert tuple(below.loc["2026.csv.gz"][["mode", "uid", "gid"]]) == ("0600", 70, 71)
    assert list(data.ls("tables/2026.json")["name"]) == ["2026.json"]
    assert list(data.ls(recursive=True)["name"])[-3:] == ["tables/2026.csv.gz", "tables/2026.json", "up"]
    assert "<table" in str(data.ls()._repr_html_())


def test_an_empty_directory_has_typed_columns(data: Volume) -> None:
    table = data.ls("/")
    assert (len(table), str(table["size"].dtype), str(table["modified"].dtype)) == (0, "int64", "datetime64[ns, UTC]")


def test_nothing_leads_out_of_the_volume(data: Volume) -> None:
    """Links to the host's files lead to what has that path in the volume: to nothing."""
    fill(data)
    for path in ("up", "host", "../../etc/passwd"):
        with pytest.raises(NotFound):
            data.read_bytes(path)
        assert not data.exists(path)
    (inside(data) / "out").symlink_to("/tmp")
    with pytest.raises(APIError):
        data.write_text("out/stray", "x")
    assert not Path("/tmp/stray").exists()


def test_what_cannot_be_read(data: Volume) -> None:
    fill(data)
    with pytest.raises(NotFound, match="Could not find the file /nothing in volume data"):
        data.read_bytes("nothing")
    with pytest.raises(IsADirectoryError, match="'tables'"):
        data.open("tables")
    with pytest.raises(OSError, match="no file that has a content"):
        data.open("pipe")
    with pytest.raises(APIError, match="not a directory"):
        data.read_bytes("notes.txt/x")
    with pytest.raises(ValueError, match="names no file"):
        data.write_bytes("/", b"")
    with pytest.raises(NotFound, match="no such volume"):
        volume("nothing", data.client)


def test_removed(data: Volume) -> None:
    fill(data)
    data.remove("link")
    assert data.exists("tables/2026.json")
    with pytest.raises(APIError, match="the directory is not empty"):
        data.remove("tables")
    data.remove("/tables/", recursive=True)
    assert not data.exists("tables")
    with pytest.raises(NotFound):
        data.remove("tables")
    for path in ("/", ".", "x/.."):
        with pytest.raises(APIError, match="the root of volume data cannot be removed"):
            data.remove(path, recursive=True)


def test_put(data: Volume, tmp_path: Path) -> None:
    (tmp_path / "folder/sub").mkdir(parents=True)
    (tmp_path / "folder/sub/file").write_bytes(b"x" * 100_000)
    os.chown(tmp_path / "folder/sub/file", 1234, 1234)
    data.put(tmp_path / "folder", "there")
    data.put(tmp_path / "folder/sub/file", "there/")
    assert data.read_bytes("there/sub/file") == data.read_bytes("there/file") == b"x" * 100_000
    assert list(data.ls("there")["uid"]) == [0, 0]


def test_a_big_file_does_not_stay_in_memory(data: Volume) -> None:
    with (inside(data) / "big").open("wb") as file:
        file.truncate(80 << 20)
    with data.open("big") as content:
        assert content.fileno() > 2  # on the disk
        assert content.seek(0, os.SEEK_END) == 80 << 20


def test_the_package_exports_it() -> None:
    assert nbcontainers.volume is volume


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_same_on_docker(need: Callable[..., None]) -> None:
    """A container that is never started gives access; it is gone afterwards."""
    from benchmarks.dockerd import private_dockerd

    need("peer")
    with private_dockerd() as url:
        client = docker.DockerClient(base_url=url)
        client.volumes.create("data")
        data = volume("data", client)
        fill(data)
        assert data.read_csv("tables/2026.csv.gz").to_dict("list") == {"x": [1, 3], "y": [2, 4]}
        assert data.read_text("link").startswith("[{")
        for path in ("host", "absolute"):
            with pytest.raises(nbcontainers.errors.Unsupported, match="out of the volume"):
                data.read_text(path)
        table = data.ls().set_index("name")
        assert list(table.index) == ["absolute", "folder", "host", "link", "notes.txt", "pipe", "tables", "up"]
        assert tuple(table.loc["notes.txt"][["type", "size", "mode", "uid"]]) == ("file", 8, "0644", 0)
        assert list(data.ls("folder")["name"]) == ["2026.csv.gz", "2026.json"]
        assert list(data.ls(recursive=True)["name"])[-3:] == ["tables/2026.csv.gz", "tables/2026.json", "up"]
        with pytest.raises(nbcontainers.errors.Unsupported, match="in a container"):
            data.remove("notes.txt")
        with pytest.raises(APIError, match="invalid symlink"):
            restore(client, "copy", data.backup())
        (inside(data) / "up").unlink()
        restore(client, "copy", data.backup())
        copy = volume("copy", client).ls("tables").set_index("name")
        assert tuple(copy.loc["2026.csv.gz"][["mode", "uid", "gid"]]) == ("0600", 70, 71)
        with pytest.raises(nbcontainers.errors.Unsupported, match="can only add"):
            restore(client, "copy", data.backup(), replace=True)
        assert client.containers.list(all=True) == []
        client.close()
