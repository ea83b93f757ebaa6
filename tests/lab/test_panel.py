"""The panel as a user sees it."""

import signal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.engine_process import EngineProcess
from tests.jupyter_plugin import OwnEngine
from tests.jupyter_process import JupyterProcess
from tests.lab.conftest import TIMEOUT_MS, open_panel, open_panel_again

pytestmark = [pytest.mark.root, pytest.mark.busybox, pytest.mark.browser, pytest.mark.labextension]
expect.set_options(timeout=TIMEOUT_MS)
THEMES = ("JupyterLab Dark", "JupyterLab Dark High Contrast", "JupyterLab Light")
READABLE = 4.5  # WCAG 2.2, success criterion 1.4.3: the contrast of a text with its background

CONTRAST = """
element => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d');
  const over = (colors) => {
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = channels => channels
    .map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const backgrounds = [];
  for (let node = element; node; node = node.parentElement) {
    backgrounds.unshift(getComputedStyle(node).backgroundColor);
  }
  const behind = luminance(over(backgrounds));
  const text = luminance(over([...backgrounds, getComputedStyle(element).color]));
  return (Math.max(behind, text) + 0.05) / (Math.min(behind, text) + 0.05);
}
"""


def entry(panel: Locator, name: str) -> Locator:
    return panel.get_by_role("listitem").filter(has_text=name)


def test_containers_come_change_and_go_as_it_happens(
    page: Page, jupyter: JupyterProcess, engine: EngineProcess
) -> None:
    panel = open_panel(page, jupyter)
    expect(panel.get_by_text("No containers yet")).to_be_visible()
    container = engine.client.containers.run("busybox", ["sleep", "600"], name="web", detach=True)
    web = entry(panel, "web")
    expect(web).to_contain_text("running")
    expect(web).to_contain_text("busybox")
    expect(web).to_contain_text("Up ")
    expect(panel.get_by_role("status")).to_have_text("1 running")
    container.kill()
    expect(web).to_contain_text("exited")
    expect(web).to_contain_text("Exited (137)")
    expect(panel.get_by_role("status")).to_have_text("0 running, 1 stopped")
    container.remove()
    expect(panel.get_by_text("No containers yet")).to_be_visible()


def test_stopped_ones_are_hidden_at_the_users_wish_and_it_is_kept(
    page: Page, jupyter: JupyterProcess, engine: EngineProcess
) -> None:
    engine.client.containers.create("busybox", ["true"], name="prepared")
    engine.client.containers.run("busybox", ["sleep", "600"], name="web", detach=True)
    panel = open_panel(page, jupyter)
    expect(panel.get_by_role("listitem")).to_have_count(2)
    hide = panel.get_by_role("button", name="Hide stopped containers")
    with page.expect_response(lambda response: response.request.method == "PUT" and "panel" in response.url):
        hide.click()
    expect(hide).to_have_attribute("aria-pressed", "true")
    expect(panel.get_by_role("listitem")).to_have_count(1)
    expect(entry(panel, "web")).to_be_visible()
    panel = open_panel_again(page, jupyter)
    expect(panel.get_by_role("listitem")).to_have_count(1)
    hide.click()
    expect(panel.get_by_role("listitem")).to_have_count(2)


def test_it_can_be_read_in_every_theme(page: Page, jupyter: JupyterProcess, engine: EngineProcess) -> None:
    engine.client.containers.create("busybox", ["true"], name="prepared")
    engine.client.containers.run("busybox", ["sleep", "600"], name="web", detach=True)
    panel = open_panel(page, jupyter)
    expect(entry(panel, "web")).to_contain_text("running")
    texts = panel.locator("h2, [role=status], .nbc-Entry-name, .nbc-Badge, .nbc-Entry-image, .nbc-Entry-status, time")
    for theme in THEMES:
        page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        expect(page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
        contrasts = {text.inner_text(): text.evaluate(CONTRAST) for text in texts.all()}
        assert {"CONTAINERS", "web", "running", "busybox"} <= set(contrasts)
        assert {text: ratio for text, ratio in contrasts.items() if ratio < READABLE} == {}


def test_without_an_engine_it_says_so_and_starts_one(page: Page, on_own: JupyterProcess, own: OwnEngine) -> None:
    panel = open_panel(page, on_own)
    expect(panel.get_by_text("No engine is running")).to_be_visible()
    expect(panel.get_by_text("does not answer")).to_be_visible()
    panel.get_by_role("button", name="Start the engine").click()
    expect(panel.get_by_text("No containers yet")).to_be_visible()
    own.end(signal.SIGKILL)
    expect(panel.get_by_text("No engine is running")).to_be_visible()


def test_nothing_is_asked_for_while_nobody_looks(page: Page, jupyter: JupyterProcess, engine: EngineProcess) -> None:
    panel = open_panel(page, jupyter)
    expect(panel.get_by_text("No containers yet")).to_be_visible()
    with page.expect_event("requestfailed", lambda request: "/nbcontainers/events" in request.url):
        page.get_by_role("tab", name="File Browser").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    engine.client.containers.run("busybox", ["true"], name="unseen")
    expect(page.get_by_role("tab", name="File Browser")).to_be_visible()
    assert [url for url in asked if "/nbcontainers/" in url] == []
    page.get_by_role("tab", name="Containers").click()
    expect(entry(panel, "unseen")).to_contain_text("exited")


def test_containers_are_handled_with_the_keyboard_alone(
    page: Page, jupyter: JupyterProcess, engine: EngineProcess
) -> None:
    command = ["sh", "-c", "trap 'exit 0' TERM; echo hello from web; sleep 600 & wait"]
    engine.client.containers.create("busybox", command, name="web").start()
    panel = open_panel(page, jupyter)
    panel.get_by_role("button", name="Show logs: web").press("Enter")
    logs = page.get_by_role("log", name="Logs of web")
    expect(logs).to_contain_text("hello from web")
    expect(logs).to_be_focused()
    panel.get_by_role("button", name="Stop: web").press("Enter")
    start = panel.get_by_role("button", name="Start: web")
    expect(start).to_be_focused()  # where Stop was
    start.press("Enter")
    expect(entry(panel, "web")).to_contain_text("running")
    expect(logs).to_have_text("hello from web\nhello from web\n")
    engine.client.containers.get("web").kill()
    panel.get_by_role("button", name="Remove: web").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Remove").press("Enter")
    expect(panel.get_by_text("No containers yet")).to_be_visible()
