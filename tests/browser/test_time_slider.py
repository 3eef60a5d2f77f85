"""The time slider of a job's page: what was is shown as it was, by mouse, by keyboard and to those who hear it."""

import re
from uuid import UUID

from playwright.sync_api import Locator, Page, expect

from milepost.domain import commands as c
from milepost.domain.envelope import Origin
from milepost.domain.events import PlannedStep, Progress
from milepost.domain.job import Job
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.store import ClaimOffer, Wanted
from tests.browser.conftest import OpenPage, live
from tests.browser.site import Server, Site

WORKER = Origin("host:1:abc", "worker")


def work(site: Site, job: Job, *commands: c.CoordinatorCommand) -> Job:
    batch = Batch(job, WORKER, site.store.surroundings)
    for command in commands:
        batch.do(command)
    return site.store.append(batch)


def stopped_job(site: Site, namespace: str) -> str:
    """1 started, 2 claimed, 3 planned, 4 prepared, 5, 6 steps begun, 7 at 4 of 10, 8 asked to stop, 9 to 11 at rest."""
    job_id = site.start(namespace, reason="it is time")
    job = site.store.claim(Wanted(WORKER.actor, {"self-test": ClaimOffer()}, only=UUID(job_id)), 3600.0, WORKER)
    assert job is not None
    planned = tuple(PlannedStep(name=f"step-{number}") for number in (1, 2, 3))
    job = work(
        site,
        job,
        c.PlanSteps(job.claim, 0, planned),
        c.PrepareJob(job.claim),
        c.StartStep(job.claim, 0),
        c.StartStep(job.claim, 1),
        c.ReportProgress(job.claim, 1, 1, Progress(done=4, total=10, unit="items", checkpoint=4)),
    )
    site.change(namespace, job_id, c.StopJob(worker_alive=True), "lunch")
    job = work(
        site,
        site.store.load(job.id),
        c.ReportSuccess(job.claim, 0, 1, 0.5),
        c.ReportStop(job.claim, 1, 1, 1.0, Progress(done=7, total=10, unit="items", checkpoint=7)),
        c.Advance(job.claim),
    )
    assert job.version == 11
    return job_id


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Version")


def slide(page: Page, version: int) -> None:
    """As the mouse does it."""
    slider(page).evaluate("(it, to) => { it.value = to; it.dispatchEvent(new Event('input')); }", version)


def step(page: Page, name: str) -> Locator:
    return page.locator("tbody tr", has_text=name)


def test_a_job_slides_back_to_before_its_stop_and_forward_to_now(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job_id = stopped_job(site, namespace)
    page = open_page(server.page(namespace, f"/jobs/{job_id}/steps"))
    chip, said = page.locator(".title .chip"), page.locator(".past-said")
    expect(chip).to_contain_text("Stopped")
    expect(slider(page)).to_have_attribute("aria-valuetext", "11, now")

    slide(page, 7)

    expect(chip).to_contain_text("Running")
    expect(said).to_contain_text("The job as it was at version 7")
    expect(said).to_contain_text("StepProgressed by host:1:abc (worker)")
    expect(said).to_contain_text("step-2: ")
    expect(step(page, "step-1")).to_contain_text("Running")
    expect(page.get_by_role("progressbar", name="Progress of step-2")).to_have_js_property("value", 4)
    expect(page.locator(".head-progress")).to_contain_text("0 of 3 steps")
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)
    assert page.url.endswith("?version=7")

    page.get_by_role("button", name="Later").click()
    expect(said).to_contain_text("JobStopRequested by ann@desk (cli): lunch")
    expect(said).to_contain_text("status: ▶Running → ◫Stopping")

    page.get_by_role("button", name="Now", exact=True).click()
    expect(chip).to_contain_text("Stopped")
    expect(said).to_be_empty()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.get_by_role("button", name="Now", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("progressbar", name="Progress of step-2")).to_have_js_property("value", 7)
    assert "version" not in page.url


def test_the_keyboard_slides_and_a_screen_reader_hears_where_to(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job_id = stopped_job(site, namespace)
    page = open_page(server.page(namespace, f"/jobs/{job_id}"))
    expect(page.locator(".why")).to_be_visible()
    slider(page).focus()

    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(slider(page)).to_have_attribute("aria-valuetext", "9 of 11")
    expect(slider(page)).to_be_focused()
    expect(slider(page)).to_have_accessible_description(re.compile("as it was at version 9.*StepSucceeded"))

    page.keyboard.press("Home")
    expect(page.get_by_role("status").filter(has_text="as it was at version 1")).to_contain_text("it is time")
    expect(page.locator(".why")).to_contain_text("no worker has it")
    page.keyboard.press("End")
    expect(slider(page)).to_have_attribute("aria-valuetext", "11, now")
    expect(page.locator(".title .chip")).to_contain_text("Stopped")
    expect(slider(page)).to_be_focused()


def test_the_moment_stands_in_the_address_and_goes_along_to_the_other_parts(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job_id = stopped_job(site, namespace)
    page = open_page(server.page(namespace, f"/jobs/{job_id}?version=6"))
    chip = page.locator(".title .chip")
    expect(chip).to_contain_text("Running")

    page.get_by_role("link", name="History", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(6)
    page.get_by_role("link", name="Steps", exact=True).click()
    expect(step(page, "step-3")).to_contain_text("Pending")
    page.get_by_role("link", name="Timeline", exact=True).click()
    expect(page.get_by_text("The timeline shows the whole history")).to_be_visible()
    assert page.url.endswith("/timeline?version=6")
    page.reload()
    expect(page.locator(".past-said")).to_contain_text("version 6")
    expect(chip).to_contain_text("Running")


def test_what_happens_meanwhile_moves_now_and_not_what_was(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job_id = stopped_job(site, namespace)
    page = open_page(server.page(namespace, f"/jobs/{job_id}?version=8"))
    expect(page.locator(".past-said")).to_contain_text("version 8")
    live(page)

    site.change(namespace, job_id, c.ResumeJob(), "after lunch")

    expect(slider(page)).to_have_attribute("aria-valuetext", "8 of 12")
    expect(page.locator(".title .chip")).to_contain_text("Stopping")
    page.get_by_role("button", name="Now", exact=True).click()
    expect(page.locator(".title .chip")).to_contain_text("Pending")


def test_a_version_that_there_is_not_is_told_and_now_is_shown(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job_id = stopped_job(site, namespace)
    page = open_page(server.page(namespace, f"/jobs/{job_id}?version=99"))

    expect(page.locator("#said")).to_contain_text("has no version 99: its newest is 11")
    expect(page.locator(".title .chip")).to_contain_text("Stopped")
    assert "version" not in page.url
