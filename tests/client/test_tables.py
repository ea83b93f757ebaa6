import struct

import pandas as pd
import pytest

from nbcontainers.cli import invoke
from nbcontainers.client import history, log_tables, plots
from nbcontainers.client.tables import Table
from nbcontainers.client.units import human_bytes
from tests.conftest import RecordingFace

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def frames(*rows: tuple[int, int, bytes]) -> bytes:
    return b"".join(struct.pack("<qBI", ns, stream, len(data)) + data for ns, stream, data in rows)


def test_lines_have_the_time_of_the_frame_that_they_begin_in() -> None:
    table = log_tables._lines_of_frames(
        frames((1, 1, b"a\nb"), (2, 2, b"error\n"), (3, 1, b"c\n\nd"), (4, 1, b"e"), (5, 2, b"last"))
    )
    rows = [(time.value, stream, line) for time, stream, line in table.itertuples(index=False)]
    assert rows == [(1, "stdout", "a"), (2, "stderr", "error"), (1, "stdout", "bc"), (3, "stdout", ""),
                    (3, "stdout", "de"), (5, "stderr", "last")]  # fmt: skip
    assert str(table["time"].dtype) == "datetime64[ns, UTC]"


def test_an_empty_log_has_typed_columns() -> None:
    table = log_tables._lines_of_frames(b"")
    assert len(table) == 0
    assert str(table["stream"].dtype) == "category"


def test_a_list_has_the_same_types_with_rows_and_without(face: RecordingFace) -> None:
    invoke(["create", "--name", "one", "busybox", "true"], face)
    full, empty = (
        invoke(["ps", "-a", "--format", "table", "--filter", f"name={name}"], face) for name in ("one", "no")
    )
    assert (len(full), len(empty)) == (1, 0)
    assert list(full.dtypes.items()) == list(empty.dtypes.items())
    assert str(full["created"].dtype) == "datetime64[ns, UTC]"


def test_logs_of_a_container(face: RecordingFace) -> None:
    invoke(["run", "--name", "log", "busybox", "sh", "-c", "echo one; echo two; printf three"], face)
    table = invoke(["logs", "log"], face)
    assert list(table["line"]) == ["one", "two", "three"]
    assert list(invoke(["logs", "-n", "1", "log"], face)["line"]) == ["three"]


def test_stats_have_a_history_with_limits(face: RecordingFace) -> None:
    invoke(
        [
            "run",
            "--name",
            "busy",
            "-m",
            "64m",
            "busybox",
            "sh",
            "-c",
            "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done",
        ],
        face,
    )
    table = history.stats(face.client, "busy")
    assert len(table) >= 1
    assert table["memory_limit_bytes"].iloc[0] == 64 << 20
    assert table["cpu_percent"].dtype == "float64"
    assert isinstance(table.index.dtype, pd.DatetimeTZDtype)
    assert plots.overview(table).axes


def test_html_is_for_people_and_escapes_what_is_not_ours() -> None:
    table = Table({"id": ["sha256:" + "a" * 64], "size": [1_500_000], "command": ["<script>"], "state": ["running"]})
    html = table._repr_html_() or ""
    assert "1.5 MB" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert table.loc[0, "size"] == 1_500_000


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (64 << 20, "67.1 MB"), (float("nan"), "")]
)
def test_human_bytes(number: float, text: str) -> None:
    assert human_bytes(number) == text


def test_a_history_without_limits_is_shown_for_people() -> None:
    moment = pd.Timestamp("2026-01-01 10:00:00.25", tz="UTC")
    values = {"memory_limit_bytes": [0], "memory_percent": [float("nan")], "cpu_percent": [12.34]}
    shown = str(Table(pd.DataFrame(values, index=pd.DatetimeIndex([moment], name="time")))._repr_html_())
    assert "<th>10:00:00.250000</th>" in shown
    assert [cell.partition("<")[0] for cell in shown.split("<td>")[1:]] == ["none", "", "12.3%"]
