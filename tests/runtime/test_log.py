"""The log: what is written is read back, over rotations, a full disk and a reader that is overtaken."""

import asyncio
import os
import resource
import signal
from pathlib import Path

import pytest

from nbcontainers.runtime.follow import Follower
from nbcontainers.runtime.log import END, OVERHEAD, STDERR, STDOUT, Reader, Writer, extent, segments


def _read(directory: Path) -> list[tuple[int, int, bytes]]:
    reader = Reader(str(directory))
    try:
        return [(frame.ns, frame.stream, frame.data) for frame in reader.frames()]
    finally:
        reader.close()


def test_frames_come_back_as_they_were(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path), 1 << 20, 2)
    frames = [(1, STDOUT, b"one\n"), (2, STDERR, b"\x00\xff half"), (3, STDOUT, b"x" * 300_000)]
    for ns, stream, data in frames:
        writer.write(stream, data, ns)
    writer.close(4)
    assert _read(tmp_path) == [*frames, (4, END, b"")]


def test_rotation_keeps_the_newest_within_bounds(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path), 1 << 13, 2)
    for number in range(1000):
        writer.write(STDOUT, b"%d\n" % number * 10, number)
    writer.close(1000)
    numbers = [ns for ns, _, _ in _read(tmp_path)]
    assert numbers == list(range(numbers[0], 1001))
    assert len(segments(str(tmp_path))) == 2
    assert extent(str(tmp_path))[0] <= 2 * ((1 << 13) + 100)


def test_a_reader_that_a_rotation_overtakes_skips_nothing(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path), 1 << 12, 2)
    writer.write(STDOUT, b"first", 1)
    reader = Reader(str(tmp_path))
    found = reader.frames()
    assert next(found).data == b"first"
    writer.write(STDOUT, b"x" * (1 << 12), 2)  # fills the segment that is being read
    writer.write(STDOUT, b"last", 3)
    rest = [frame.ns for frame in found] + [frame.ns for frame in reader.frames()]
    reader.close()
    writer.close(4)
    assert rest == [2, 3]


def test_a_full_disk_leaves_no_half_frame(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path), 1 << 20, 2)
    writer.write(STDOUT, b"before", 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(OSError, match="space"):
            writer.write(STDOUT, b"x" * 1000, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    writer.write(STDOUT, b"after", 3)
    writer.close(4)
    assert [data for _, _, data in _read(tmp_path)] == [b"before", b"after", b""]


def test_a_frame_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    Writer(str(tmp_path), 1 << 20, 2).write(STDOUT, b"whole", 1)
    cut = Writer(str(tmp_path), 1 << 20, 2)
    cut.write(STDOUT, b"cut short", 2)
    newest = tmp_path / "log" / f"{segments(str(tmp_path))[-1]:08d}"
    os.truncate(newest, OVERHEAD + 3)
    assert [data for _, _, data in _read(tmp_path)] == [b"whole"]


async def test_following_ends_with_the_end_mark(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path), 1 << 12, 2)

    async def collect() -> list[bytes]:
        with Follower(str(tmp_path), Reader(str(tmp_path))) as follower:
            started.set()
            return [frame.data async for frame in follower.frames()]

    started = asyncio.Event()
    following = asyncio.create_task(collect())
    await started.wait()
    for number in range(3):
        writer.write(STDOUT, b"%d" % number, number)
        await asyncio.sleep(0)
    writer.close(9)
    assert await asyncio.wait_for(following, 10) == [b"0", b"1", b"2"]


def test_many_starts_keep_their_output_within_the_limit(tmp_path: Path) -> None:
    for number in range(12):
        writer = Writer(str(tmp_path), 16 << 10, 4)
        writer.write(STDOUT, f"start {number}\n".encode(), number)
        writer.close(number)
    assert len(segments(str(tmp_path))) == 12
    for number in range(12):
        writer = Writer(str(tmp_path), 16 << 10, 4)
        writer.write(STDOUT, b"x" * 8000, number)
        writer.close(number)
    assert extent(str(tmp_path))[0] < (4 + 1) * (16 << 10)
