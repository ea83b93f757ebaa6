"""The explorer's page and text, of layers that no engine has."""

import re

from nbcontainers.client.contents import Contents, Entry, Layer
from nbcontainers.client.explorer import Explorer
from nbcontainers.client.image import Image
from nbcontainers.client.stacking import stack


def explorer(*layers: list[Entry]) -> Explorer:
    image = Image.__new__(Image)
    found = [Layer(digest="", created="", created_by=f"RUN <{n}>", entries=one) for n, one in enumerate(layers)]
    image.contents = Contents(id="", layers=found, base=[])
    image.stack = stack(image.contents)
    image.id, image.tags, image.diff_ids = "sha256:" + "a" * 64, ["some:1"], [""] * len(layers)
    return Explorer(image)


def test_a_large_image_makes_no_large_page() -> None:
    files = [Entry(f"d{n // 100}/f{n}", "f", n) for n in range(20_000)]
    page = explorer([Entry(f"d{n}", "d") for n in range(200)] + files)._repr_html_()
    assert len(page) < 400_000
    assert "f19999" in page
    assert "f5<" not in page
    assert re.search(r"and \d+ more", page)


def test_names_and_steps_are_escaped_and_depth_has_an_end() -> None:
    page = explorer([Entry("<b>", "f", 1), Entry("/".join("x" * 1500), "f", 2)])._repr_html_()
    assert "<b></code>" not in page
    assert "&lt;b&gt;" in page
    assert "RUN &lt;0&gt;" in page


def test_the_text_for_a_terminal() -> None:
    text = str(explorer([Entry("a", "f", 9), Entry("b", "f", 1)], [Entry("a", "w")]))
    assert "some:1  10 B in 2 layers, 9 B of it wasted (90%)" in text
    assert "9 B + /a  (hidden by layer 2)" in text
    assert "-9 B − /a" in text
    assert "0 B in 1 layer" in str(explorer([]))
