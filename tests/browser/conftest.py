"""A real Chromium, one for all tests of the page, and one site that they share."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.resources import files
from itertools import count
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from milepost.infrastructure.event_store.tokens import Role
from tests.browser.site import Server, Site

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REQUIRED: Final = os.environ.get("MILEPOST_BROWSER") == "required"  # .ci/run says so
ADVICE: Final = "needs a Chromium: 'apt-get install chromium', or another one on the PATH"
FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MILLISECONDS: Final = 60_000  # until a test believes that it will never happen: nothing is measured
PHONE: Final = {"width": 360, "height": 740}
AXE: Final = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES: Final = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
_numbers: Final = count(1)

expect.set_options(timeout=PATIENCE_MILLISECONDS)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where it is."""
    path = next((found for found in map(shutil.which, NAMES) if found), None)
    if path is None:
        assert not REQUIRED, f"the browser tests must run here, and there is no browser: this {ADVICE}"
        pytest.skip(ADVICE)
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Not for the whole session: as long as it is there, no other test of this process can run an event loop."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="session")
def site(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Not without a browser: nobody would use it."""
    with closing(Site(tmp_path_factory.mktemp("site"))) as found:
        found.worker()
        yield found


@pytest.fixture(scope="session")
def server(site: Site) -> Server:
    """Open to this machine."""
    return site.server()


@pytest.fixture(scope="session")
def guarded(site: Site) -> Server:
    """The same event store, for those who have a token."""
    site.token("root", Role.ADMIN)  # without one it would not start
    return site.server("--require-tokens")


@pytest.fixture
def namespace() -> str:
    """One that no other test uses."""
    return f"test{next(_numbers)}"


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Another user's browser: `url`, and what a new context takes. At the end none may have met an error."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def opened(url: str, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Security Policy" in message.text else None)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def live(page: Page) -> None:
    """Wait until the page follows what happens."""
    expect(page.locator(".live")).to_have_attribute("data-state", "live")


def violations(page: Page) -> list[str]:
    """What the accessibility checker finds: nothing, one hopes."""
    page.evaluate("window.scrollTo(0, 0)")  # it takes what lies half under the head of the page for too small
    page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate(
        "async (options) => (await axe.run(document, options)).violations", RULES
    )
    return [f"{each['id']}: {each['help']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


def job_of(page: Page) -> str:
    """The id in the address of a job's page."""
    found = re.search(r"/jobs/([0-9a-f-]{36})", page.url)
    assert found, page.url
    return found[1]
