import pytest

from nbcontainers.build.expansion import ExpansionError, expand, split
from nbcontainers.build.parser import parse
from nbcontainers.build.stages import duration_ns
from nbcontainers.errors import DockerfileError

BAD = [
    ("", 1, "no instructions"),
    ("RUN x", 1, "first instruction must be FROM"),
    ("FROM a\nRUNN x", 2, "unknown instruction: RUNN .did you mean RUN"),
    ("FROM a\n# c\n\nCOPPY a b", 4, "did you mean COPY"),
    ("FROM a\nRUN", 2, "requires at least one argument"),
    ("FROM a\nCOPY --chwon=1 a b", 2, "unknown flag: --chwon .did you mean --chown"),
    ("FROM a\nCOPY --chown a b", 2, "missing a value on flag"),
    ("FROM a\nONBUILD FROM b", 2, "isn't allowed as an ONBUILD trigger"),
    ("# escape=x\nFROM a", 1, "invalid escape token"),
    ("FROM a\nRUN <<EOF\nx\nEOF", 2, "here-documents are not supported yet"),
]


@pytest.mark.parametrize(("text", "line", "message"), BAD)
def test_what_is_wrong_is_said_with_its_place(text: str, line: int, message: str) -> None:
    with pytest.raises(DockerfileError, match=message) as caught:
        parse(text)
    assert caught.value.line == line
    assert f"line {line}, column {caught.value.column}" in str(caught.value)


def test_continuations_comments_and_forms() -> None:
    text = '# a comment\nFROM host AS base\nRUN one \\\n  # between\n  && two\n\nCMD ["a", "b c"]\nENV A=1 \\\n B=2\n'
    instructions = parse(text).instructions
    assert [one.keyword for one in instructions] == ["FROM", "RUN", "CMD", "ENV"]
    assert instructions[1].text == "one   && two"
    assert instructions[1].place.line == 3
    assert instructions[2].words == ["a", "b c"]


def test_another_escape_character() -> None:
    assert parse("# escape=`\nFROM a\nRUN one `\n two").instructions[1].text == "one  two"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A", "1"),
        ("${A}b", "1b"),
        ("${NO:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${A:+y}", "y"),
        ("${NO:+y}", ""),
        ("${NO:-${A}}", "1"),
        ("\\$A", "$A"),
        ("'$A'", "'$A'"),
        ('"$A"', '"1"'),
        ("$", "$"),
        ("$1", "$1"),
    ],
)
def test_expansion(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "EMPTY": ""}) == result


@pytest.mark.parametrize("text", ["${A", "${}", "${A!x}", "${NO:?gone}"])
def test_what_cannot_be_expanded(text: str) -> None:
    with pytest.raises(ExpansionError):
        expand(text, {"A": "1"})


def test_splitting_keeps_quoted_blanks_together() -> None:
    assert split("a=\"b c\" d='$A' e\\ f $A", {"A": "1 2"}) == ["a=b c", "d=$A", "e f", "1 2"]


@pytest.mark.parametrize(("text", "nanoseconds"), [("30s", 30 * 10**9), ("1m30s", 90 * 10**9), ("1.5ms", 1_500_000)])
def test_durations(text: str, nanoseconds: int) -> None:
    assert duration_ns(text) == nanoseconds
