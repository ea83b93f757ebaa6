"""Reading a log from its end, against reading all of it and picking lines."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from nbcontainers.api.output import Selection, place, selected
from nbcontainers.runtime import rewind
from nbcontainers.runtime.log import DIRECTORY, STDERR, STDOUT, Reader, Writer

CHUNKS = st.lists(
    st.tuples(
        st.sampled_from([STDOUT, STDERR]),
        st.lists(st.sampled_from([b"a", b"bb", b"\n", b"c\n"]), min_size=1, max_size=4).map(b"".join),
    ),
    max_size=25,
)


def write(directory: str, chunks: list[tuple[int, bytes]], max_bytes: int = 1 << 30) -> None:
    writer = Writer(directory, max_bytes, 2)
    for time, (stream, data) in enumerate(chunks, 1):
        writer.write(stream, data, time)
    writer.close(len(chunks) + 1)


def lines(chunks: list[tuple[int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Time, stream and text of each line, in the order in which they began."""
    found: list[tuple[int, int, bytes]] = []
    unfinished: dict[int, int] = {}
    for time, (stream, data) in enumerate(chunks, 1):
        for part in data.splitlines(keepends=True):
            if stream in unfinished:
                began, _, text = found[unfinished[stream]]
                found[unfinished[stream]] = (began, stream, text + part)
            else:
                unfinished[stream] = len(found)
                found.append((time, stream, part))
            if part.endswith(b"\n"):
                del unfinished[stream]
    return found


def read(directory: str, selection: Selection) -> dict[int, bytes]:
    """What is read of each stream."""
    found = place(directory, selection)
    reader = Reader(directory, found.segment, found.offset)
    try:
        output = dict.fromkeys(selection.streams, b"")
        for frame in selected(reader, selection, found):
            output[frame.stream] += frame.data
        return output
    finally:
        reader.close()


@settings(deadline=None, max_examples=150)
@given(CHUNKS, st.sampled_from([(STDOUT,), (STDOUT, STDERR)]), st.integers(0, 8), st.integers(0, 26))
def test_the_last_lines_since_a_moment(
    chunks: list[tuple[int, bytes]], streams: tuple[int, ...], tail: int, since: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        write(directory, chunks)
        wanted = [line for line in lines(chunks) if line[1] in streams and line[0] >= since]
        expected = {stream: b"".join(text for _, own, text in wanted if own == stream) for stream in streams}
        assert read(directory, Selection(streams=frozenset(streams), since_ns=since)) == expected
        wanted = wanted[-tail:] if tail else []
        expected = {stream: b"".join(text for _, own, text in wanted if own == stream) for stream in streams}
        asked = Selection(streams=frozenset(streams), since_ns=since, tail=tail)
        assert read(directory, asked) == expected


def test_only_the_end_is_read(tmp_path: Path) -> None:
    """The last line of a long log is found though all that stands before it has been overwritten."""
    directory = str(tmp_path)
    write(directory, [(STDOUT, b"x" * 1000 + b"\n")] * 5000 + [(STDOUT, b"last\n")])
    [segment] = (tmp_path / DIRECTORY).iterdir()
    with segment.open("r+b") as file:
        file.write(os.urandom(segment.stat().st_size // 2))
    assert read(directory, Selection(tail=1))[STDOUT] == b"last\n"


def test_half_a_frame_at_the_end(tmp_path: Path) -> None:
    directory = str(tmp_path)
    write(directory, [(STDOUT, b"one\n"), (STDERR, b"two\n"), (STDOUT, b"three\n")])
    [segment] = (tmp_path / DIRECTORY).iterdir()
    os.truncate(segment, segment.stat().st_size - 25)  # the end mark, and a part of the last line's frame
    assert [frame.data for _, _, frame in rewind.backwards(directory)] == [b"two\n", b"one\n"]


def test_over_many_segments(tmp_path: Path) -> None:
    directory = str(tmp_path)
    chunks = [(STDOUT, b"line %d\n" % number) for number in range(400)]
    write(directory, chunks, max_bytes=1 << 13)
    assert len(list((tmp_path / DIRECTORY).iterdir())) == 2
    tail = read(directory, Selection(tail=150))[STDOUT].splitlines()
    assert tail == [b"line %d" % number for number in range(250, 400)]


def test_what_is_written_meanwhile_is_not_one_of_the_last_lines(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path), 1 << 30, 2)
    writer.write(STDOUT, b"first\nlast\n", 1)
    for tail, lines in ((1, [b"last\n"]), (5, [b"first\nlast\n"]), (0, [])):
        found = place(str(tmp_path), Selection(tail=tail))
        writer.write(STDOUT, b"later\n", 2)
        reader = Reader(str(tmp_path), found.segment, found.offset)
        seen = [frame.data for frame in selected(reader, Selection(tail=tail), found)]
        reader.close()
        assert seen[: len(lines)] == lines
        assert seen.count(b"later\n") == {1: 0, 5: 1, 0: 0}[tail]
    writer.close(3)
