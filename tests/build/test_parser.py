from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcontainers.build import Matcher, expand, instructions, parse
from nbcontainers.errors import DockerfileError

DATA = Path(__file__).parents[1] / "data" / "dockerfiles"

# text, line, column, what is said about it
BAD = [
    ("", 1, 1, "file with no instructions"),
    ("# only\n\n# comments\n", 3, 1, "file with no instructions"),
    ("# escape=x\nFROM a", 1, 10, "invalid escape token 'x'"),
    ("# escape=`\n# ESCAPE=`\nFROM a", 2, 1, "only one escape parser directive"),
    ("FROM a\nENV X", 2, 5, "ENV must have two arguments"),
    ("FROM a\nENV X=1 Y", 2, 9, 'can\'t find = in "Y"'),
    ("FROM a\nLABEL x=1 \\\n  y", 3, 3, 'can\'t find = in "y"'),
    ('FROM a\nCMD ["a", 1]', 2, 5, "arrays must be comprised of strings only"),
    ('FROM a\nCMD [["a"]]', 2, 5, "arrays must be comprised of strings only"),
    ('FROM a\nHEALTHCHECK CMD ["a", null]', 2, 13, "arrays must be comprised of strings only"),
    ("FROM a\nRUN <<EOF\nx\n", 2, 5, "unterminated heredoc"),
    (f"FROM a\nLABEL x={'a' * 65536}", 2, 1, "line greater than max allowed size of 65535"),
    (f"FROM a\nRUN <<E\n{'ä' * 32768}\nE", 3, 1, "line greater than max allowed size of 65535"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), BAD)
def test_what_has_no_form_is_refused_with_its_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.dockerfile")), ids=lambda path: path.stem)
def test_the_files_in_data(path: Path) -> None:
    assert parse(path.read_text()).dump() == path.with_suffix(".tree").read_text().rstrip("\n")


def test_lines_of_nodes_and_their_sources() -> None:
    nodes = parse("FROM a\n\nRUN one \\\n # c\n two\nRUN <<E\nx\nE\nCMD z").nodes
    assert [node.place.line for node in nodes] == [1, 3, 6, 9]
    assert nodes[1].place.source == ("RUN one \\", " # c", " two")
    assert nodes[2].heredocs[0].content == "x\n"
    assert nodes[3].error("m", "z").column == 5


def test_an_error_shows_the_line_with_a_mark_under_its_place() -> None:
    error = parse("FROM a\n\tRUN \\\n  one two").nodes[1].error("wrong", "two")
    assert str(error).splitlines() == [
        "dockerfile parse error on line 3, column 7: wrong",
        "Dockerfile:3:7",
        "  3 |   one two",
        "    |       ^",
    ]


def test_here_documents_of_all_kinds() -> None:
    text = (
        "RUN <<-E 3<<'F' <<\"G\"H\n\ta $x\n\tE\nb\nF\n\tc\nGH\nRUN <<E\r\nd\r\nE\r\nONBUILD COPY <<E /x\ne\nE\nUSER <<E"
    )
    nodes = parse(text).nodes
    first = [(one.name, one.text, one.expands, one.fd) for one in nodes[0].heredocs]
    assert first == [("E", "a $x\n", True, 0), ("F", "b\n", False, 3), ("GH", "\tc\n", False, 0)]
    assert nodes[1].heredocs[0].content == "d\r\n"
    assert nodes[2].heredocs[0].content == "e\n"
    assert nodes[3].arguments == ("<<E",)


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ('RUN ["NaN", "x"]', ("NaN", "x")),
        ("RUN [NaN]", ("[NaN]",)),
        ("RUN ['a']", ("['a']",)),
        ('RUN ["a"] x', ('["a"] x',)),
        ('RUN ["a', ('["a',)),
        ("RUN --x", ()),
    ],
)
def test_exec_form_or_not(line: str, arguments: tuple[str, ...]) -> None:
    assert parse(line).nodes[0].arguments == arguments


def test_directives_and_a_byte_order_mark() -> None:
    tree = parse("\ufeff# syntax = docker/dockerfile:1 \n#check=skip=all\n# escape=`\nRUN a `\nb")
    assert tree.directives == {"syntax": "docker/dockerfile:1", "check": "skip=all", "escape": "`"}
    assert tree.nodes[0].arguments == ("a b",)


def test_an_escaped_escape_character_ends_no_line() -> None:
    assert [node.arguments for node in parse("RUN a \\\\\nRUN b").nodes] == [("a \\\\",), ("b",)]


_LINES = st.lists(
    st.sampled_from(
        [
            "FROM a",
            "RUN x \\",
            "# c",
            "",
            "  y",
            "COPY <<E /",
            "E",
            'CMD ["a"',
            "ENV a=b c",
            "\\",
            "ONBUILD",
            "# escape=`",
        ]
    )
    | st.text(max_size=20),
    max_size=12,
)


@given(_LINES)
def test_any_text_is_parsed_or_refused(lines: list[str]) -> None:
    text = "\n".join(lines)
    places = [(1, 1)]
    try:
        for node in parse(text).nodes:
            instructions.parse(node)
    except DockerfileError as error:
        places.append((error.line, error.column))
    assert all(1 <= line <= text.count("\n") + 1 and column >= 1 for line, column in places)


def test_a_dump_is_readable_whatever_is_in_it() -> None:
    node = parse('CMD ["\\u0000\\t\\u200b\\"\\\\ ä\\udcff"]').nodes[0]
    assert node.dump() == r'(cmd "\x00\t\u200b\"\\ ä\xff")'


def test_the_parts_that_the_package_offers() -> None:
    assert parse("FROM busybox\nRUN echo $A").dump() == '(from "busybox")\n(run "echo $A")'
    assert expand("${A:-x}/${B%.*}", {"B": "b.tar"}) == "x/b"
    assert Matcher(["*.log", "!keep.log"]).matches("a.log")
