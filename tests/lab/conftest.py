"""A real Chromium, and the panel in it."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.engine_process import EngineProcess
from tests.jupyter_process import JupyterProcess

# Without these, Chromium asks its maker's hosts for updates, which closed networks refuse.
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
TIMEOUT_MS = 60_000


@pytest.fixture(scope="module")
def browser(need: Callable[..., None], loopback_fd: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need("browser", "labextension")
    chromium = tmp_path_factory.mktemp("browser") / "chromium"
    network = f"/proc/{os.getpid()}/fd/{loopback_fd}"
    chromium.write_text(f'#!/bin/sh\nexec nsenter --net={network} -- {shutil.which("chromium")} "$@"\n')
    chromium.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET.split())
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a new browser profile; an error that nobody catches fails the test."""
    context = browser.new_context(viewport={"width": 1100, "height": 700}, locale="en-GB")
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def engine(faces_engine: EngineProcess) -> Iterator[EngineProcess]:
    """The engine of the fixture ``jupyter``; containers left by the test are removed after it."""
    yield faces_engine
    faces_engine.remove_everything()


def open_panel(page: Page, jupyter: JupyterProcess) -> Locator:
    """Open JupyterLab, bring the panel to the front, and return it."""
    # Only the engine's events can change the list: nothing is asked for in between.
    jupyter.set("nbcontainers", "panel", refreshSeconds=3600)
    return open_panel_again(page, jupyter)


def open_panel_again(page: Page, jupyter: JupyterProcess) -> Locator:
    """Do the same, with the user's settings as they are."""
    page.goto(jupyter.address())
    page.get_by_role("tab", name="Containers").click()
    return page.get_by_role("region", name="Containers", exact=True)
