"""Layers laid over each other, as data: who hides what, and what is wasted by it."""

from nbcontainers.client.contents import Contents, Entry, Layer
from nbcontainers.client.stacking import Stack, stack


def laid(*layers: list[Entry], base: list[Entry] | None = None) -> Stack:
    found = [Layer(digest=str(n), created="", created_by="", entries=entries) for n, entries in enumerate(layers)]
    return stack(Contents(id="", layers=found, base=base or []))


def told(found: Stack) -> list[tuple[int, str, str]]:
    return [(row.layer, row.change, row.entry.path) for row in found.rows]


def wasted(found: Stack) -> dict[tuple[int, str], int]:
    return {(row.layer, row.entry.path): row.hidden_by for row in found.rows if row.wasted}


def test_a_file_is_added_changed_and_removed() -> None:
    found = laid(
        [Entry("etc", "d", mode=0o755), Entry("etc/a", "f", 5)],
        [Entry("etc", "d", mode=0o755), Entry("etc/a", "f", 7)],
        [Entry("etc/a", "w")],
    )
    assert told(found) == [(1, "added", "etc"), (1, "added", "etc/a"), (2, "changed", "etc/a"), (3, "removed", "etc/a")]
    assert [row.before for row in found.rows] == [0, 0, 5, 7]
    assert wasted(found) == {(1, "etc/a"): 2, (2, "etc/a"): 3}
    assert list(found.seen) == ["etc"]


def test_a_directory_on_the_way_is_no_change_but_another_mode_is() -> None:
    way, other = Entry("d", "d", mode=0o755), Entry("d", "d", mode=0o700)
    assert told(laid([way], [way], [other])) == [(1, "added", "d"), (3, "changed", "d")]


def test_a_removed_directory_is_one_row_with_all_its_bytes() -> None:
    found = laid([Entry("d", "d"), Entry("d/a", "f", 3), Entry("d/b", "d"), Entry("d/b/c", "f", 4)], [Entry("d", "w")])
    last = found.rows[-1]
    assert (last.change, last.entry.path, last.before) == ("removed", "d", 7)
    assert sum(row.wasted for row in found.rows) == 7


def test_an_opaque_directory_changes_what_comes_back_and_removes_the_rest() -> None:
    found = laid(
        [Entry("d", "d"), Entry("d/a", "f", 3), Entry("d/b", "f", 4), Entry("d/c", "d"), Entry("d/c/x", "f", 1)],
        [Entry("d", "o"), Entry("d/a", "f", 5), Entry("d/c", "d")],
    )
    assert told(found)[-5:] == [
        (2, "changed", "d"),
        (2, "changed", "d/a"),
        (2, "changed", "d/c"),
        (2, "removed", "d/b"),
        (2, "removed", "d/c/x"),
    ]
    assert sorted(found.seen) == ["d", "d/a", "d/c"]


def test_what_takes_a_directorys_place_hides_all_of_it() -> None:
    found = laid([Entry("d", "d"), Entry("d/a", "f", 3)], [Entry("d", "l", 4, target="else")])
    assert told(found)[-2:] == [(2, "changed", "d"), (2, "removed", "d/a")]
    assert wasted(found) == {(1, "d/a"): 2}


def test_a_file_with_two_names_is_wasted_when_both_are_hidden() -> None:
    first = [Entry("a", "f", 9), Entry("b", "h", target="a")]
    one = laid(first, [Entry("a", "w")])
    assert wasted(one) == {}
    assert (one.seen["b"].kind, one.seen["b"].size) == ("f", 9)
    assert sum(row.wasted for row in laid(first, [Entry("a", "w"), Entry("b", "w")]).rows) == 9


def test_what_is_no_layer_is_hidden_but_not_wasted() -> None:
    found = laid([Entry("etc/motd", "f", 6), Entry("doc", "w")], base=[Entry("etc/motd", "f", 2), Entry("doc", "d", 8)])
    assert [(row.change, row.entry.path, row.before) for row in found.rows] == [
        ("changed", "etc/motd", 2),
        ("removed", "doc", 8),
    ]
    assert wasted(found) == {}
    assert list(found.seen) == ["etc/motd"]
