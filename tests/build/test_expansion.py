import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcontainers.build.expansion import ExpansionError, Style, expand, process, split

VARIABLES = {"A": "1", "B": "two", "SP": "x  y", "EMPTY": "", "PATH": "/usr/lib/a.tar.gz"}
TABLE = Path(__file__).parents[1] / "data" / "expansion" / "words.txt"


def _rows() -> list[tuple[str, str, list[str]]]:
    rows = []
    for line in TABLE.read_text().splitlines():
        if line.startswith("#"):
            continue
        text, result, *words = (part.strip() for part in line.split(" |"))
        rows.append((text, result, words[0].split(",") if words and words[0] else [result] if result else []))
    return rows


@pytest.mark.parametrize(("text", "result", "words"), _rows(), ids=[row[0] for row in _rows()])
def test_the_table(text: str, result: str, words: list[str]) -> None:
    if result == "!":
        with pytest.raises(ExpansionError):
            process(text, VARIABLES)
        return
    assert expand(text, VARIABLES) == result
    assert split(text, VARIABLES) == words


def test_what_is_not_set_is_told() -> None:
    assert process("$NO ${NO2:-x} $A ${NO3+y}", VARIABLES).unset == ["NO", "NO2", "NO3"]


def test_an_error_carries_its_message() -> None:
    with pytest.raises(ExpansionError, match="NO: give me 1"):
        expand("${NO:?give me $A}", VARIABLES)
    with pytest.raises(ExpansionError, match="EMPTY: is not allowed to be empty"):
        expand("${EMPTY:?}", VARIABLES)


def test_another_escape_character() -> None:
    assert expand("`$A \\$A", VARIABLES, "`") == "$A \\1"


def test_styles() -> None:
    assert expand("\"$A\" '$A'", VARIABLES, style=Style(raw_quotes=True)) == "\"1\" '$A'"
    assert expand("a\\b", VARIABLES, style=Style(raw_escapes=True)) == "a\\b"
    assert expand("$NO ${NO} ${NO:-x} $A", VARIABLES, style=Style(keep_unset=True)) == "$NO ${NO} ${NO:-x} 1"
    assert expand("it's $A", VARIABLES, style=Style(ignore_quotes=True)) == "it's 1"


@given(st.text(alphabet="ab1 $${}:-+?#%/\\\"'<*", max_size=30))
def test_any_text_gives_a_result_or_an_error(text: str) -> None:
    result = None
    with contextlib.suppress(ExpansionError):
        result = process(text, VARIABLES)
    if result is not None:
        assert "".join(result.words) == "".join(result.text.split()) or any(quote in text for quote in "\"'\\<")


@given(st.text(max_size=40))
def test_what_is_in_single_quotes_stays_as_it_is(text: str) -> None:
    plain = text.replace("'", "")
    assert expand(f"'{plain}'", VARIABLES) == plain
