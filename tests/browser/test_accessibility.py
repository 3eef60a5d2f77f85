"""Nobody is kept out: each view of the page passes the checker in light, in dark and on a phone."""

import re
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect

from milepost.domain import commands as c
from tests.browser.conftest import PHONE, OpenPage, violations
from tests.browser.site import Server, Site
from tests.length import kinds

ON_A_PHONE: Final[dict[str, Any]] = {"viewport": PHONE, "is_mobile": True, "has_touch": True}
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "dark, on a phone": {"color_scheme": "dark", **ON_A_PHONE},
}


@pytest.fixture(scope="module")
def jobs(site: Site) -> dict[str, str]:
    """Of each kind that looks different, all in one namespace."""
    failed = site.start("looks", queue="default", request={"steps": 5, "fail_steps": [2]}, tags=("nightly",))
    site.comes_to("looks", failed, "CompletedWithFailures")
    pending = site.start("looks", reason="it has time")
    stopped = site.start("looks")
    site.change("looks", stopped, c.StopJob(worker_alive=False), "lunch")
    site.change("looks", site.start("looks"), c.CancelJob(worker_alive=False))
    return {"failed": failed, "pending": pending, "wide": site.wide_job("looks", 1_000)}


@pytest.mark.parametrize("look", kinds(*LOOKS, short=["dark, on a phone"]))  # observers are looked at in light
def test_every_view_passes_the_checker_and_fits_the_screen(
    look: str, server: Server, jobs: dict[str, str], open_page: OpenPage
) -> None:
    page = open_page(server.page("looks"), reduced_motion="reduce", **LOOKS[look])
    expect(page.locator("tbody tr")).to_have_count(5)
    page.get_by_text("Filter and search").click()
    page.get_by_text("What they mean").click()
    page.get_by_role("button", name="Exact times").click()
    passes(page)
    page.get_by_text("All 5 jobs …").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
    passes(page)

    for path, ready in (
        (f"/jobs/{jobs['failed']}", ".why"),
        (f"/jobs/{jobs['failed']}/steps", "tbody tr"),
        (f"/jobs/{jobs['wide']}/timeline", "svg.picture"),
        (f"/jobs/{jobs['failed']}/history", "tbody tr"),
        (f"/jobs/{jobs['failed']}/steps?version=6", ".past-changes li"),
        ("/start?type=paint", "form.start"),
    ):
        page.goto(server.page("looks", path))
        page.reload()
        expect(page.locator(ready).first).to_be_visible()
        for summary in page.locator("main details > summary").all()[:3]:
            summary.click()
        passes(page)


def test_the_sign_in_form_passes_the_checker(guarded: Server, open_page: OpenPage) -> None:
    page = open_page(guarded.page("looks"))
    expect(page.get_by_label("Token")).to_be_visible()
    passes(page)


def test_what_was_done_is_read_out(server: Server, site: Site, namespace: str, open_page: OpenPage) -> None:
    job = site.start(namespace)
    page = open_page(server.page(namespace, f"/jobs/{job}"))
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop this job").click()
    expect(page.locator("[role=status][aria-live=polite]")).to_contain_text(re.compile("Stopped"))


def passes(page: Page) -> None:
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"
