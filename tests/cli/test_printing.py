"""Tables in a terminal: docker's columns, as many as fit; the DataFrame keeps all."""

import pandas as pd
import pytest
from rich.cells import cell_len

from nbcontainers.cli import invoke, printing
from nbcontainers.client.tables import Table
from tests.conftest import RecordingFace

NOW = pd.Timestamp.now(tz="UTC")
CONTAINERS = Table(
    [
        {
            "id": "0123456789abcdef" * 4,
            "name": f"name-{number}",
            "image": "registry.example.org/some/where/image:latest",
            "command": "sh -c 'while true; do sleep 1; done'",
            "state": "running",
            "status": "Up 3 minutes",
            "created": NOW - pd.Timedelta(minutes=3),
            "ports": "0.0.0.0:8080→80/tcp",
        }
        for number in range(2)
    ]
)
USE = Table(
    [
        {
            "cpu_percent": 12.345,
            "throttled_percent": 0.0,
            "memory_bytes": 1_500_000,
            "memory_limit_bytes": 0,
            "memory_percent": float("nan"),
            "pids": 3,
            "pids_limit": 0,
            "io_read_bytes": 0,
            "io_write_bytes": 10,
            "rx_bytes": 1000,
            "tx_bytes": 2000,
            "oom_kills": 0,
        }
    ],
    index=pd.Index(["web"], name="name"),
)


def test_without_a_width_all_of_dockers_columns_are_there() -> None:
    heading, first, *_ = printing.lines(CONTAINERS, None)
    assert [word.strip() for word in heading.split("  ") if word.strip()] == [
        "CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES",
    ]  # fmt: skip
    assert "0123456789ab " in first
    assert '"sh -c \'while true; …"' in first
    assert "minutes ago" in first


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132])
@pytest.mark.parametrize("frame", [CONTAINERS, USE], ids=["containers", "use"])
def test_no_line_is_longer_than_the_terminal(frame: pd.DataFrame, width: int) -> None:
    lines = printing.lines(frame, width)
    assert len(lines) == len(frame) + 1
    assert max(map(cell_len, lines)) <= width
    assert frame.iloc[0].name != "web" or "12.35%" in lines[1]


def test_the_least_important_go_first() -> None:
    assert "CREATED" not in printing.lines(CONTAINERS, 120)[0]
    assert "PORTS" in printing.lines(CONTAINERS, 120)[0]
    assert printing.lines(CONTAINERS, 60)[0].split()[-1] == "NAMES"


def test_use_as_docker_shows_it() -> None:
    heading, row = printing.lines(USE, None)
    assert heading == "NAME   CPU %    MEM USAGE / LIMIT   MEM %   NET I/O       BLOCK I/O    PIDS"
    assert row == "web    12.35%   1.5 MB / no limit           1 kB / 2 kB   0 B / 10 B   3"


def test_a_table_of_any_other_kind_is_printed_whole() -> None:
    lines = printing.lines(pd.DataFrame({"a": [1, 2], "b": ["x", "日本"]}), None)
    assert lines == ["A   B", "1   x", "2   日本"]


def test_nothing_running_is_a_table_too(face: RecordingFace) -> None:
    table = invoke(["stats"], face)
    assert len(table) == 0
    assert {"cpu_percent", "memory_bytes", "rx_bytes"} <= set(table.columns)
    [heading] = printing.lines(table, 200)
    assert heading.startswith("NAME   CPU %   MEM USAGE / LIMIT")


def test_the_columns_of_stats_are_the_same_whether_or_not_something_runs(face: RecordingFace) -> None:
    empty = invoke(["stats"], face)
    invoke(["run", "-d", "busybox", "sleep", "60"], face)
    face.client.api.stats(face.client.api.containers()[0]["Id"], stream=False)  # a second, with a sample in it
    some = invoke(["stats"], face)
    assert len(some) == 1
    assert list(some.columns) == list(empty.columns)
