"""The layer explorer in JupyterLab: as a cell shows it, and in a saved notebook that nobody has trusted."""

import io
from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from nbcontainers.client.image import Image
from tests.engine_process import EngineProcess
from tests.jupyter_process import TOKEN, JupyterProcess
from tests.lab.conftest import TIMEOUT_MS

pytestmark = [pytest.mark.root, pytest.mark.busybox, pytest.mark.browser, pytest.mark.labextension]
expect.set_options(timeout=TIMEOUT_MS)
ODD = "<img src=x onerror=alert(1)>"
TEXT = f"""FROM busybox
RUN mkdir /data; dd if=/dev/zero of=/data/small bs=1000 count=1; dd if=/dev/zero of=/data/big bs=1000 count=300; \\
    : > '/data/{ODD}'
RUN rm /data/big; echo more >> /data/small
""".encode()


@pytest.fixture
def html(engine: EngineProcess) -> Iterator[str]:
    engine.client.images.build(fileobj=io.BytesIO(TEXT), tag="explored:1")
    yield Image(engine.client, "explored:1").explore()._repr_html_()
    engine.client.images.remove("explored:1")


def opened(page: Page, jupyter: JupyterProcess, html: str, *, trusted: bool) -> Locator:
    """Save a notebook with what a cell has shown, trust it or not, and open it."""
    output = nbformat.v4.new_output("execute_result", {"text/html": html}, execution_count=1)
    cell = nbformat.v4.new_code_cell("image.explore()", outputs=[output], execution_count=1)
    (jupyter.directory / "explored.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])))
    page.goto(f"http://127.0.0.1:{jupyter.port}/lab/tree/explored.ipynb?reset&token={TOKEN}")
    notebook = page.locator(".jp-Notebook")
    expect(notebook.get_by_text("301 kB").first).to_be_visible()
    # A notebook that names no kernel makes JupyterLab ask for one.
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    if trusted:
        page.evaluate("() => { jupyterapp.commands.execute('notebook:trust'); }")
        page.get_by_role("dialog").get_by_role("button", name="Trust").click()
    return notebook


def names(layer: Locator) -> list[str]:
    return layer.locator(".nbc-tree code").all_inner_texts()


def test_it_sorts_and_filters(page: Page, jupyter: JupyterProcess, html: str) -> None:
    notebook = opened(page, jupyter, html, trusted=True)
    explorer = notebook.locator(".nbc-explorer[data-live]")
    expect(explorer.locator(".nbc-tools")).to_be_visible()
    layers = explorer.locator(".nbc-layer")
    expect(layers).to_have_count(3)
    expect(layers.nth(1).locator("summary").first).to_contain_text("wasted 301 kB")
    expect(explorer.get_by_text("big", exact=True).first).to_be_hidden()
    explorer.get_by_role("button", name="unfold").click()
    expect(explorer.get_by_text("big", exact=True).first).to_be_visible()
    assert [name for name in names(layers.nth(1)) if name[0] != "R"] == [
        "data/",
        "big",
        "small",
        "<img src=x onerror=alert(1)>",
    ]
    explorer.get_by_label("paths by").select_option("name")
    assert names(layers.nth(1)) == ["data/", ODD, "big", "small"]
    explorer.get_by_label("layers by").select_option("wasted")
    expect(layers.first.locator("summary").first).to_contain_text("RUN mkdir /data")
    explorer.get_by_label("find a path").fill("data/big")
    expect(explorer.get_by_text("small", exact=True).first).to_be_hidden()
    expect(explorer.locator(".nbc-removed:not(.nbc-hidden)")).to_have_count(1)
    explorer.get_by_label("removed").uncheck()
    expect(explorer.locator(".nbc-removed:not(.nbc-hidden)")).to_have_count(0)
    explorer.get_by_label("find a path").fill("")
    explorer.get_by_label("only wasted").check()
    expect(explorer.locator(".nbc-tree > div[data-name]:not(.nbc-hidden)")).to_have_count(2)


def test_it_can_be_read_where_no_script_runs(page: Page, jupyter: JupyterProcess, html: str) -> None:
    notebook = opened(page, jupyter, html, trusted=False)
    expect(notebook.locator("[data-live]")).to_have_count(0)
    layer = notebook.locator("details").filter(has_text="RUN mkdir /data").first
    layer.locator("summary").first.click()
    layer.locator("details", has_text="data/").locator("summary").first.click()
    expect(layer.get_by_text("big", exact=True)).to_be_visible()
    expect(layer).to_contain_text("wasted 300 kB, hidden by layer 3")
    expect(notebook.locator("img")).to_have_count(0)
