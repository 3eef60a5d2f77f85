"""Nobody is kept out of what is shown of observers: each view passes the checker in light, in dark and on a phone."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.ledgers import POISON
from tests.browser.site import Server
from tests.browser.test_accessibility import LOOKS, passes
from tests.browser.watched_site import NAMESPACE, WatchedSite
from tests.length import kinds


@pytest.fixture(scope="module")
def watched(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedSite]:
    with closing(WatchedSite(tmp_path_factory.mktemp("watched"))) as found:
        found.worker()
        yield found


@pytest.fixture(scope="module")
def there(watched: WatchedSite) -> Server:
    return watched.server()


@pytest.fixture(scope="module")
def ill(watched: WatchedSite) -> str:
    """A failed partition of `balances`, among others that go on; `wary` has more than a page of them."""
    watched.account(1, 2)
    for number in range(51):
        watched.account(owner=f"careless {number:02}")
    return watched.account(POISON, 3)


@pytest.mark.parametrize("look", kinds(*LOOKS, short=["light"]))
def test_every_view_of_observers_passes_the_checker_and_fits_the_screen(
    look: str, there: Server, ill: str, open_page: OpenPage
) -> None:
    page = open_page(there.page(NAMESPACE, "/observers"), reduced_motion="reduce", **LOOKS[look])
    for path, ready in (
        ("/observers", ".strip"),
        ("/observers/balances", ".changes li"),
        ("/observers/wary/failed", ".pager a"),
        ("/observers/balances/failed", "tbody tr"),
        ("/observers/balances/history", "tbody tr"),
        (f"/observers/balances/failed/{ill}", ".attempts summary"),
        ("/observers/balances/failed/nobody", ".notice"),
        ("/observers/nobody", ".notice"),
        ("/diagnosis", ".findings li.bad"),
    ):
        page.goto(there.page(NAMESPACE, path))
        page.reload()
        expect(page.locator(ready).first).to_be_visible()
        for summary in page.locator("main details > summary").all()[:3]:
            summary.click()
        passes(page)


@pytest.mark.parametrize("look", kinds(*LOOKS, short=["light"]))
def test_every_question_about_observers_passes_the_checker(
    look: str, there: Server, ill: str, open_page: OpenPage
) -> None:
    page = open_page(there.page(NAMESPACE, "/observers/balances"), reduced_motion="reduce", **LOOKS[look])
    for command in ("Replay", "Catch up", "Pause"):
        asked(page, command)
    page.goto(there.page(NAMESPACE, f"/observers/balances/failed/{ill}"))
    for command in ("Retry", "Skip", "Replay partition"):
        asked(page, command)


def asked(page: Page, command: str) -> None:
    """Its dialog begins at the reason, passes, and gives the focus back."""
    page.get_by_role("button", name=command, exact=True).click()
    expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
    passes(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=command, exact=True)).to_be_focused()
