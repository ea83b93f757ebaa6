import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcontainers.build.ignore import Matcher, read
from nbcontainers.errors import InvalidArgument

# patterns, paths that are ignored, paths that are not
TABLE = [
    ("*", "a .a a/b a/b/c", ""),
    ("*.o", "x.o .o x.o/y", "x.c d/x.o x.ob"),
    ("*/*.o", "d/x.o d/x.o/y", "x.o d/e/x.o"),
    ("**", "a a/b a/b/c", ""),
    ("**/*.o", "x.o d/x.o d/e/x.o", "x.c d/x.oo"),
    ("d/**", "d/x d/e/x", "d x ad/x"),
    ("d/**/x", "d/x d/e/x d/e/f/x", "x d/y e/d/x"),
    ("**/d", "d e/d e/d/x d/x", "dd ed e/dd"),
    ("**d", "d ed e/d e/fd", "de e/df"),
    ("**d*", "d e/d e/dd", "e/fd"),
    ("a?c", "abc a.c", "ac a/c abbc"),
    ("a[b-d]c", "abc adc abc/x", "aac aec a-c"),
    ("a[^b-d]c", "aac aec", "abc a/b/c"),
    ("a\\*b", "a*b", "ab aXb"),
    ("/a/", "a a/b", "b/a"),
    ("./a/../b", "b b/c", "a"),
    ("a.b+(c)|{d}$", "a.b+(c)|{d}$", "aXb"),
    ("d !d/keep", "d d/x", "d/keep d/keep/x"),
    ("!d/keep d", "d d/x d/keep", ""),
    ("** !*.md README*", "a README.md README-2.md", "x.md"),
    ("*.md !README*.md README-secret.md", "x.md README-secret.md", "README.md README-2.md"),
    ("d/* !d/e !**/x", "d/f d/f/y", "d d/e d/e/z d/f/x"),
]


@pytest.mark.parametrize(("patterns", "ignored", "seen"), TABLE, ids=[row[0] for row in TABLE])
def test_the_table(patterns: str, ignored: str, seen: str) -> None:
    matcher = Matcher(read("\n".join(patterns.split())))
    assert [path for path in ignored.split() if not matcher.matches(path)] == []
    assert [path for path in seen.split() if matcher.matches(path)] == []


@pytest.mark.parametrize(
    "pattern", ["[", "a[", "[]a]", "[a-", "[-a]", "[a-]", "a\\", "!", "[^", "[a-b-c]", "[z-a]", "d/[z-a]/"]
)
def test_malformed_patterns(pattern: str) -> None:
    with pytest.raises(InvalidArgument):
        Matcher([pattern])


def test_reading_a_file() -> None:
    text = "\ufeff# comment\n\n  spaced  \n /abs/path/ \n! /let/in\n #no-comment\na//b/./c/..\n"
    assert read(text) == ["spaced", "abs/path", "!let/in", "#no-comment", "a/b"]


@given(st.lists(st.text(alphabet="ab/*?!.", min_size=1, max_size=8), max_size=4), st.text(alphabet="ab/.", max_size=8))
def test_knowing_the_parents_result_changes_nothing(patterns: list[str], path: str) -> None:
    path = "/".join(part for part in path.split("/") if part)
    try:
        matcher = Matcher(patterns)
    except InvalidArgument:
        return
    above: tuple[bool, ...] = ()
    ignored = False
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        ignored, above = matcher.ignored_below("/".join(parts[:depth]), above)
    assert matcher.matches(path) == ignored
