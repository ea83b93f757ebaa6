"""Logs whose full segments are compressed: the same is read from them, forwards and from the end."""

import gzip
from pathlib import Path

import pytest

from nbcontainers.api.output import Selection, place, selected
from nbcontainers.runtime.log import PACKED, STDERR, STDOUT, Reader, Writer, extent, segments
from tests.waiting import until

SEGMENT_BYTES = 1 << 12
LINES = 4000


def _write(directory: Path, *, files: int = 100, compress: bool = True) -> None:
    """Write lines, and wait until all but the newest segments are compressed."""
    directory.mkdir()
    writer = Writer(str(directory), SEGMENT_BYTES, files, compress=compress)
    for number in range(LINES):
        writer.write(STDERR if number % 3 else STDOUT, b"line %d\n" % number, number + 1)
        if compress and number % 500 == 499:
            until(lambda: len(_packed(directory)) == len(segments(str(directory))) - 1)
    writer.close(LINES + 1)


def _packed(directory: Path) -> list[Path]:
    return sorted((directory / "log").glob(f"*{PACKED}"))


def _lines(directory: Path, selection: Selection) -> list[tuple[int, int, bytes]]:
    found = place(str(directory), selection)
    reader = Reader(str(directory), found.segment, found.offset)
    reader.prepare()
    try:
        return [(frame.ns, frame.stream, frame.data) for frame in selected(reader, selection, found) if frame.data]
    finally:
        reader.close()


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(tail=1),
        Selection(tail=777, streams=frozenset((STDOUT,))),
        Selection(since_ns=1234, until_ns=3000),
        Selection(tail=5, until_ns=100),
    ],
)
def test_the_same_is_read(tmp_path_factory: pytest.TempPathFactory, selection: Selection) -> None:
    directory = tmp_path_factory.mktemp("logs")
    _write(directory / "plain", compress=False)
    _write(directory / "packed")
    assert (extent(str(directory / "packed"))[1], extent(str(directory / "plain"))[1]) == (True, False)
    found = _lines(directory / "packed", selection)
    assert found == _lines(directory / "plain", selection) != []
    assert extent(str(directory / "packed"))[0] == extent(str(directory / "plain"))[0]


def test_as_many_are_kept_as_if_they_were_not_compressed(tmp_path: Path) -> None:
    _write(tmp_path / "few", files=3)
    assert len(segments(str(tmp_path / "few"))) == 3
    assert extent(str(tmp_path / "few"))[0] > 2 * SEGMENT_BYTES
    assert _lines(tmp_path / "few", Selection(tail=1))[0][0] == LINES


def test_what_a_shim_that_was_killed_left(tmp_path: Path) -> None:
    _write(tmp_path / "log")
    last = _packed(tmp_path / "log")[-1]
    plain = last.with_suffix("")
    # It was killed when the compressed segment had its name, and the other was not gone; and in the midst of a third.
    plain.write_bytes(gzip.decompress(last.read_bytes()))
    plain.with_suffix(".tmp").write_bytes(b"half")
    everything = _lines(tmp_path / "log", Selection())
    assert [ns for ns, _, _ in everything] == list(range(1, LINES + 1))
    Writer(str(tmp_path / "log"), SEGMENT_BYTES, 100, compress=True).close(LINES + 2)
    assert not list((tmp_path / "log" / "log").glob("*.tmp"))


def test_a_damaged_segment_hides_no_other(tmp_path: Path) -> None:
    _write(tmp_path / "log")
    second = _packed(tmp_path / "log")[1]
    second.write_bytes(second.read_bytes()[:100] + b"x" * 100)
    times = [ns for ns, _, _ in _lines(tmp_path / "log", Selection())]
    assert (times[0], times[-1], len(times) < LINES) == (1, LINES, True)
