"""Why a job is as it is, on the page: the sentence, what would move it on, and the events behind it."""

import re
from pathlib import Path

from playwright.sync_api import expect

from milepost.domain import commands as c
from tests.browser.conftest import OpenPage, violations
from tests.browser.site import Server, Site


def test_why_a_job_waits_is_said_with_what_would_move_it_on(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace, reason="the night")

    page = open_page(server.page(namespace, f"/jobs/{job}"))
    why = page.get_by_role("region", name="Why")
    expect(why.locator("#why")).to_contain_text("ann@desk started it")
    expect(why.locator("#why")).to_contain_text('("the night"), and it waits')
    expect(why.locator("#why")).to_contain_text("no worker that is running takes the queue 'parked'")
    expect(why.locator("#next")).to_contain_text("Next: a worker that takes the queue 'parked' takes it")
    expect(why.locator("#pace")).to_have_count(0)


def test_the_explanation_follows_a_job_that_runs_and_is_stopped_and_tells_the_events_to_who_asks(
    site: Site, server: Server, namespace: str, open_page: OpenPage, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    job = site.start(namespace, "held", queue="default", request={"steps": 2, "items": 4, "gate": str(gate)})
    page = open_page(server.page(namespace, f"/jobs/{job}"))
    why = page.get_by_role("region", name="Why")
    # After ten seconds without a word from it, it has stalled: this test may be as slow.
    expect(why.locator("#why")).to_contain_text(re.compile("It (runs|has stalled) on "))
    expect(why.locator("#pace")).to_have_count(1)
    expect(why.locator("#chain")).to_be_hidden()

    site.change(namespace, job, c.StopJob(worker_alive=True), "deploying")
    expect(why.locator("#why")).to_contain_text("ann@desk stopped it")
    expect(why.locator("#why")).to_contain_text("0 of 2 steps had ended")
    expect(why.locator("#next")).to_contain_text(f"'milepost jobs resume {job}' has it go on: 2 of 2 steps are left")
    why.get_by_text("The events that explain it").click()
    expect(why.locator("#chain li")).to_have_count(2)
    expect(why.locator("#chain li").first).to_contain_text("ann@desk asked it to stop: deploying")
    expect(why.locator("#chain li").last).to_contain_text("said that its steps are at rest: it is stopped")
    assert violations(page) == []


def test_what_somebody_wrote_as_a_reason_is_shown_as_text(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace, reason="<b id=bold>now</b>")

    page = open_page(server.page(namespace, f"/jobs/{job}"))
    expect(page.locator("#why")).to_contain_text("<b id=bold>now</b>")
    expect(page.locator("#bold")).to_have_count(0)
