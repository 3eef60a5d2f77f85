"""The jobs that prove histories, from the page: asked for with a reason, followed there, and what differs is told."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from milepost.infrastructure.event_store.schema import jobs
from milepost.infrastructure.event_store.tokens import Role
from tests.browser.conftest import OpenPage, job_of
from tests.browser.site import Server, Site
from tests.browser.test_accessibility import LOOKS, passes
from tests.length import kinds

PICTURES: Final = os.environ.get("MILEPOST_PICTURES")  # a folder, for whoever wants to see them


@pytest.fixture(scope="module")
def audited(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of its own: its rows are damaged."""
    with closing(Site(tmp_path_factory.mktemp("audited"))) as found:
        found.worker()
        yield found


@pytest.fixture(scope="module")
def there(audited: Site) -> Server:
    return audited.server()


def some_jobs(site: Site, namespace: str) -> list[str]:
    ids = [site.start(namespace, queue="default", request={"steps": 2, "items": 1}) for _ in range(3)]
    for each in ids:
        site.comes_to(namespace, each, "CompletedSuccessfully")
    return ids


def counts_wrong(site: Site, job_id: str) -> None:
    with site.store.database.write() as connection:
        connection.execute(jobs.update().where(jobs.c.id == job_id).values(succeeded=7))


def ask(page: Page, verb: str, reason: str = "") -> None:
    page.get_by_role("button", name=verb).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=re.compile("^(Verify|Rebuild) them$")).click()


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def test_histories_are_verified_from_the_page_and_the_job_says_what_was_looked_at(
    there: Server, audited: Site, namespace: str, open_page: OpenPage
) -> None:
    some_jobs(audited, namespace)
    page = open_page(there.page(namespace, "/diagnosis"))

    ask(page, "Verify histories", "the auditor is here")

    expect(page.get_by_role("heading", name="verify-histories")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Completed successfully", ignore_case=True)
    job = job_of(page)
    page.goto(there.page(namespace, f"/jobs/{job}/steps"))
    expect(page.locator("tbody tr")).to_contain_text("4 jobs: nothing differs")
    page.goto(there.page(namespace, f"/jobs/{job}/history"))
    expect(page.locator("tbody tr").filter(has_text="JobStarted")).to_contain_text("the auditor is here")


def test_what_differs_is_named_on_the_page_and_a_rebuild_makes_it_right(
    there: Server, audited: Site, namespace: str, open_page: OpenPage
) -> None:
    one, _, other = some_jobs(audited, namespace)
    for each in (one, other):
        counts_wrong(audited, each)
    page = open_page(there.page(namespace, "/diagnosis"))
    ask(page, "Verify histories")
    expect(page.locator("main")).to_contain_text("Completed with failures", ignore_case=True)
    job = job_of(page)
    page.goto(there.page(namespace, f"/jobs/{job}/steps"))
    for summary in page.locator("main details > summary").all():
        summary.click()
    for each in (one, other):
        told = f"milepost_jobs: the row of job {each} says succeeded = 7, and the events say 2"
        expect(page.locator("main")).to_contain_text(told)
    picture(page, "differs-steps")

    page.goto(there.page(namespace, "/diagnosis"))
    ask(page, "Rebuild read models", "mended")
    expect(page.get_by_role("heading", name="rebuild-read-models")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Completed successfully", ignore_case=True)

    assert [audited.row(namespace, each)["succeeded"] for each in (one, other)] == [2, 2]


def test_who_may_only_look_is_offered_no_audit(
    site: Site, guarded: Server, namespace: str, open_page: OpenPage
) -> None:
    page = open_page(guarded.page(namespace, "/diagnosis"))
    page.get_by_label("Token").fill(site.token("onlooker-of-audits", Role.VIEWER, namespace))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Diagnosis")).to_be_visible()
    expect(page.locator(".findings").first).to_be_visible()

    expect(page.get_by_role("button", name="Verify histories")).to_have_count(0)


@pytest.mark.parametrize("look", kinds(*LOOKS, short=["light"]))
def test_every_view_of_an_audit_passes_the_checker(
    look: str, there: Server, audited: Site, namespace: str, open_page: OpenPage
) -> None:
    counts_wrong(audited, some_jobs(audited, namespace)[0])
    page = open_page(there.page(namespace, "/diagnosis"), reduced_motion="reduce", **LOOKS[look])
    expect(page.locator(".findings").first).to_be_visible()
    passes(page)
    page.get_by_role("button", name="Verify histories").click()
    expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
    picture(page, f"dialog-{look[:4]}")
    passes(page)
    page.get_by_role("button", name="Verify them").click()
    expect(page.locator("main")).to_contain_text("Completed with failures", ignore_case=True)
    picture(page, f"job-{look[:4]}")
    passes(page)


def test_how_far_it_is_is_seen_while_it_verifies(
    there: Server, audited: Site, namespace: str, open_page: OpenPage
) -> None:
    """It waits for its turn behind nobody: what is seen is whatever there is between its start and its end."""
    audited.wide_job(namespace, 1_000)
    page = open_page(there.page(namespace, "/diagnosis"))

    ask(page, "Verify histories")

    expect(page.locator("main")).to_contain_text(re.compile(r"[\d,]+ (of [\d,]+ )?events"))
    expect(page.locator("main")).to_contain_text("Completed successfully", ignore_case=True)
