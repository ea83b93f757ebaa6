import os
from pathlib import Path

from nbcontainers.build import cache
from nbcontainers.build.cache import Cache, Made


def test_what_was_put_is_found_again_and_a_line_cut_short_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    Cache(path).put("a", Made(snapshot="one", diff_id=""))
    Cache(path).put("b", Made(snapshot="two", diff_id="sha256:2"))
    os.truncate(path, path.stat().st_size - 5)  # as if the engine had been killed while it wrote
    again = Cache(path)
    assert (again.get("a"), again.get("b")) == (Made(snapshot="one", diff_id=""), None)
    again.put("c", Made(snapshot="three", diff_id=""))
    assert Cache(path).layers() == {"one", "three"}


def test_an_image_is_no_layer(tmp_path: Path) -> None:
    table = Cache(tmp_path / "cache.jsonl")
    table.put("a", Made(snapshot="sha256:1", diff_id="", steps=["x", "y"]))
    assert (table.layers(), table.steps_of("sha256:1")) == (set(), {"x", "y"})


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    table = Cache(path)
    for number in range(cache._FEW_LINES + 5):
        table.put("a", Made(snapshot=f"{number}", diff_id=""))
    assert len(Cache(path).layers()) == 1
    assert len(path.read_bytes().splitlines()) == 1


def test_what_was_found_again_is_counted_across_engines(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    table = Cache(path)
    table.put("a", Made(snapshot="one", diff_id="sha256:1", said="RUN a"))
    table.use("a")
    table.use("a")
    table.use("pruned meanwhile")
    table.keep_uses()
    before = path.read_bytes()
    table.keep_uses()
    assert path.read_bytes() == before  # nothing more to say
    found = Cache(path).made_layers()["one"]
    assert (found.uses, found.said, found.used_ns > 0) == (2, "RUN a", True)
    for _ in range(cache._FEW_LINES + 5):
        table.use("a")
        table.keep_uses()
    assert len(path.read_bytes().splitlines()) < 100
    assert Cache(path).made_layers()["one"].uses == cache._FEW_LINES + 7
