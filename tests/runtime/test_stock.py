"""Directories made ahead: taken by a rename, made on the spot when none is left, none left half made."""

import errno
import os
from pathlib import Path

import pytest

from nbcontainers.runtime.stock import Stock


class Filler:
    """Makes one file in each directory, or fails after it."""

    def __init__(self) -> None:
        self.calls = 0
        self.full = False

    def __call__(self, directory: str) -> None:
        self.calls += 1
        Path(directory, "made").write_text(str(self.calls))
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_lies_ready_is_taken_before_anything_is_made(tmp_path: Path) -> None:
    fill = Filler()
    stock = Stock(tmp_path / "blank", fill)
    stock.refill()
    made = fill.calls
    for number in range(made):
        stock.take(tmp_path / str(number))
    assert fill.calls == made
    assert {(tmp_path / str(number) / "made").read_text() for number in range(made)} == {
        str(number + 1) for number in range(made)
    }
    assert (tmp_path / "0").stat().st_mode & 0o7777 == 0o700
    stock.take(tmp_path / "one more")
    assert fill.calls == made + 1
    assert list((tmp_path / "blank").iterdir()) == []


def test_nothing_that_is_there_is_replaced(tmp_path: Path) -> None:
    stock = Stock(tmp_path / "blank", Filler())
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileExistsError):
        stock.take(tmp_path / "taken")
    assert list((tmp_path / "taken").iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    fill = Filler()
    fill.full = True
    stock = Stock(tmp_path / "blank", fill)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        stock.take(tmp_path / "wanted")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        stock.refill()
    assert not (tmp_path / "wanted").exists()
    assert list((tmp_path / "blank").iterdir()) == []


def test_what_a_killed_engine_left_is_not_used(tmp_path: Path) -> None:
    Stock(tmp_path / "blank", Filler()).refill()
    fill = Filler()
    stock = Stock(tmp_path / "blank", fill)
    assert list((tmp_path / "blank").iterdir()) == []
    stock.take(tmp_path / "wanted")
    assert fill.calls == 1
