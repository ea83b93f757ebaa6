"""How a log goes out: by line, stamped and not; and detach keys."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcontainers import errors
from nbcontainers.api.frames import HEADER, Lines, Prefix, stamp
from nbcontainers.detach import DetachKeys, parse_keys
from nbcontainers.engine.log_attributes import Details
from nbcontainers.runtime.log import STDERR, STDOUT, Frame

T1, T2 = 1_700_000_000_000_000_001, 1_700_000_001_000_000_000
S1, S2 = b"2023-11-14T22:13:20.000000001Z ", b"2023-11-14T22:13:21.000000000Z "
PLAIN, STAMPED = Prefix(timestamps=False), Prefix(timestamps=True)


def parts(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        stream, size = HEADER.unpack_from(data)
        found.append((stream, data[8 : 8 + size]))
        data = data[8 + size :]
    return found


def test_stamp() -> None:
    assert stamp(T1) == S1


def test_every_line_is_a_piece_of_its_own() -> None:
    lines = Lines(tty=False, prefix=PLAIN)
    assert parts(lines.format(Frame(T1, STDERR, b"a\n\nbcd\nef\n"))) == [
        (2, b"a\n"),
        (2, b"\n"),
        (2, b"bcd\n"),
        (2, b"ef\n"),
    ]


def test_after_so_many_that_are_alone_lines_share_a_piece() -> None:
    lines = Lines(tty=False, prefix=STAMPED, alone=3)
    first, second = Frame(T1, STDOUT, b"a\nb\n"), Frame(T2, STDERR, b"c\nd\ne\nf")
    assert parts(lines.format(first) + lines.format(second) + lines.rest()) == [
        (1, S1 + b"a\n"),
        (1, S1 + b"b\n"),
        (2, S2 + b"c\n"),
        (2, S2 + b"d\n" + S2 + b"e\n"),
        (2, S2 + b"f"),
    ]


def test_a_terminals_lines_are_stamped_where_they_begin() -> None:
    lines = Lines(tty=True, prefix=STAMPED)
    first = lines.format(Frame(T1, STDOUT, b"a\nb"))
    second = lines.format(Frame(T2, STDOUT, b"b\nc\n", begins=0))
    third = lines.format(Frame(T2, STDOUT, b"d\n"))
    assert first + second + third == S1 + b"a\n" + S1 + b"bb\n" + S2 + b"c\n" + S2 + b"d\n"


def test_a_line_that_never_ended_is_not_gone_on_with_by_another_run() -> None:
    lines = Lines(tty=True, prefix=STAMPED)
    assert (
        lines.format(Frame(T1, STDOUT, b"half")) + lines.format(Frame(T2, STDOUT, b"new\n"))
        == S1 + b"half" + S2 + b"new\n"
    )


def test_details_stand_between_time_and_line(tmp_path: Path) -> None:
    none = Details(str(tmp_path))
    detailed = Prefix(timestamps=True, details=none)
    assert parts(Lines(tty=False, prefix=detailed).format(Frame(T1, STDOUT, b"a\n"))) == [(1, S1 + b" a\n")]
    assert Lines(tty=True, prefix=Prefix(timestamps=False, details=none)).format(Frame(T1, STDOUT, b"a\n")) == b" a\n"


def test_lines_are_whole() -> None:
    lines = Lines(tty=False, prefix=STAMPED)
    assert lines.format(Frame(T1, STDOUT, b"ab")) == b""
    assert parts(lines.format(Frame(T2, STDERR, b"x\n"))) == [(2, S2 + b"x\n")]
    assert parts(lines.format(Frame(T2, STDOUT, b"c\nd\ne", begins=0))) == [(1, S1 + b"abc\n"), (1, S2 + b"d\n")]
    assert parts(lines.rest()) == [(1, S2 + b"e")]
    assert lines.rest() == b""


def test_a_very_long_line_is_not_held_back() -> None:
    assert parts(Lines(tty=False, prefix=PLAIN).format(Frame(T1, STDOUT, b"x" * 20000))) == [(1, b"x" * 20000)]


def test_a_terminals_output_waits_for_no_line() -> None:
    assert Lines(tty=True, prefix=PLAIN).format(Frame(T1, STDOUT, b"$ ")) == b"$ "


@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(min_size=1, max_size=50))))
def test_no_byte_is_lost_or_moved(chunks: list[tuple[int, bytes]]) -> None:
    lines = Lines(tty=False, prefix=PLAIN)
    by_line = b"".join(lines.format(Frame(T1, stream, data)) for stream, data in chunks) + lines.rest()
    for stream in (STDOUT, STDERR):
        sent = b"".join(data for of, data in chunks if of == stream)
        assert b"".join(data for of, data in parts(by_line) if of == stream) == sent


def test_detach_keys() -> None:
    assert parse_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_keys("a,ctrl-[") == b"a\x1b"
    for text in ("", "ctrl-", "ctrl-1", "ab"):
        with pytest.raises(errors.InvalidArgument):
            parse_keys(text)


def test_detach_keys_are_found_across_chunks() -> None:
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"ls\x10") == (b"ls", False)
    assert keys.feed(b"x") == (b"\x10x", False)
    assert keys.feed(b"y\x10") == (b"y", False)
    assert keys.feed(b"\x11rest") == (b"", True)
