"""What operators do on the page, in a real browser against a real server, with the worker in another process."""

import json
import re
from pathlib import Path
from uuid import UUID

from playwright.sync_api import Locator, Page, Route, expect

from milepost.domain import commands as c
from milepost.infrastructure.event_store.tokens import Role
from tests.browser.conftest import OpenPage, job_of, live
from tests.browser.odd import MARKUP
from tests.browser.site import WIDE, Server, Site
from tests.scenarios.workshop import eventually


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def status(page: Page) -> Locator:
    return page.locator(".title .chip")


def test_a_job_started_from_the_generated_form_moves_and_ends_before_ones_eyes(
    site: Site, server: Server, namespace: str, open_page: OpenPage, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    page = open_page(server.page(namespace))
    page.get_by_role("link", name="Start a job").click()
    page.get_by_label("Job type").select_option("held")
    page.get_by_label("Gate").fill(str(gate))
    page.get_by_label("Tags").fill("nightly, of interest")
    page.get_by_label("Reason").fill("to see it move")
    page.get_by_role("button", name="Start", exact=True).click()

    expect(page.locator("h1")).to_contain_text("held")
    expect(status(page)).to_contain_text("Running")
    page.get_by_role("link", name="Steps", exact=True).click()
    bar = page.get_by_role("progressbar", name="Progress of step-0")
    expect(bar).to_have_js_property("value", 3)
    gate.unlink()
    expect(bar).to_have_js_property("value", 4)
    expect(status(page)).to_contain_text("Completed successfully")
    row = site.row(namespace, job_of(page))
    assert json.loads(row["tags"]) == ["nightly", "of interest"]
    assert json.loads(row["request"]) == {"steps": 2, "items": 4, "gate": str(gate)}


def test_fields_of_every_kind_arrive_as_the_schema_wants_them(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    page = open_page(server.page(namespace, "/start?type=paint"))
    page.get_by_label("Title").fill("night watch")
    page.get_by_label("Colour").select_option("blue")
    page.get_by_label("Layers").fill("4")
    page.get_by_label("Share").fill("0.25")
    page.get_by_label("Varnish").check()
    page.get_by_label("Sizes").fill("7\n8\n")
    page.get_by_label("Frame").fill('{"width": 12}')
    page.get_by_label("Notes").fill('{"by": ["Rembrandt"]}')
    page.get_by_role("button", name="Start", exact=True).click()

    expect(page.locator("h1")).to_contain_text("paint")
    started = next(site.store.history(UUID(job_of(page)))).event
    assert started.request == {  # type: ignore[union-attr]
        "title": "night watch",
        "colour": "blue",
        "layers": 4,
        "share": 0.25,
        "varnish": True,
        "sizes": [7, 8],
        "frame": {"width": 12},
        "notes": {"by": ["Rembrandt"]},
    }


def test_what_is_wrong_is_said_at_its_field_by_the_page_and_by_the_server(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    page = open_page(server.page(namespace, "/start?type=paint"))
    page.get_by_label("Layers").fill("many")
    page.get_by_label("Frame").fill("{")
    start = page.get_by_role("button", name="Start", exact=True)
    start.click()
    expect(page.get_by_label("Layers")).to_have_accessible_description(re.compile("not a number"))
    expect(page.get_by_label("Frame")).to_have_accessible_description(re.compile("not JSON"))
    expect(page.get_by_label("Layers")).to_be_focused()

    page.get_by_label("Title").fill("it")
    page.get_by_label("Layers").fill("12")
    page.get_by_label("Frame").fill("{}")
    start.click()
    expect(page.get_by_label("Layers")).to_have_accessible_description(re.compile("less than or equal to 9"))
    expect(page.get_by_label("Title")).to_have_accessible_description(re.compile("at least 3 characters"))
    assert site.queries.counts(namespace) == {}


def test_a_double_click_on_start_starts_one_job(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    page = open_page(server.page(namespace, "/start?type=self-test"))
    page.get_by_label("Queue").fill("parked")
    page.get_by_role("button", name="Start", exact=True).dblclick()

    expect(status(page)).to_contain_text("Pending")
    assert site.queries.counts(namespace) == {"Pending": 1}


def test_a_stop_reaches_a_worker_in_another_process_with_its_reason_and_a_resume_goes_on(
    site: Site, server: Server, namespace: str, open_page: OpenPage, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    job = site.start(namespace, "held", queue="default", request={"steps": 2, "items": 4, "gate": str(gate)})
    page = open_page(server.page(namespace, f"/jobs/{job}"))
    expect(status(page)).to_contain_text("Running")

    button(page, "Stop").click()
    page.get_by_label("Reason").fill("deploying")
    button(page, "Stop this job").click()
    expect(page.locator(".toast")).to_contain_text(re.compile("Stopp"))
    expect(status(page)).to_contain_text("Stopped")
    expect(page.locator(".last-change")).to_contain_text(re.compile("Asked for by .+ \\(http\\): .?deploying"))
    expect(page.get_by_role("region", name="Status changes")).to_contain_text("deploying")
    changes = site.queries.status_changes([job])[job]
    assert [each["reason"] for each in changes if each["status"] == "Stopping"] == ["deploying"]
    assert all("(http)" in each["actor"] for each in changes if each["status"] == "Stopping")

    gate.unlink()
    button(page, "Resume").click()
    button(page, "Resume this job").click()
    expect(status(page)).to_contain_text("Completed successfully")
    page.get_by_role("link", name="Timeline").click()
    expect(page.locator("svg.picture")).to_be_visible()
    expect(page.locator(".changes")).to_contain_text("stop asked for")


def test_a_cancel_is_for_good_and_a_remove_takes_the_job_out_of_the_list(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace)
    page = open_page(server.page(namespace, f"/jobs/{job}"))
    button(page, "Cancel").click()
    button(page, "Cancel this job").click()
    expect(status(page)).to_contain_text("Cancelled")
    expect(page.locator(".commands button")).to_have_text(["Remove"])

    button(page, "Remove").click()
    page.keyboard.press("Escape")
    expect(button(page, "Remove")).to_be_focused()
    assert site.row(namespace, job)["status"] == "Cancelled"
    button(page, "Remove").click()
    button(page, "Remove this job").click()
    expect(status(page)).to_contain_text("Removed")
    page.get_by_role("link", name="Jobs").click()
    expect(page.locator("main")).to_contain_text("There are no jobs in this namespace yet")


def test_all_that_match_the_filter_are_changed_and_the_others_are_not(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    for number in range(60):
        site.start(namespace, tags=("mine",) if number < 55 else ("other",))
    done = site.start(namespace, tags=("mine",))
    site.change(namespace, done, c.CancelJob(worker_alive=False))
    page = open_page(server.page(namespace, "?tag=mine"))
    expect(page.locator("tbody tr")).to_have_count(50)

    page.get_by_text("All 56 matching …").click()
    button(page, "Stop").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("55 jobs")
    expect(dialog).to_contain_text("1 other job")
    dialog.get_by_label("Reason").fill("maintenance")
    dialog.get_by_role("button", name="Stop 55 jobs").click()
    expect(dialog).to_contain_text("55 changed, 0 refused")
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name=re.compile("^Stopped"))).to_contain_text("55")
    assert site.queries.counts(namespace) == {"Stopped": 55, "Pending": 5, "Cancelled": 1}


def test_a_job_that_refuses_does_not_keep_the_other_selected_ones_from_being_changed(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    first, second = site.start(namespace), site.start(namespace)
    page = open_page(server.page(namespace))
    page.get_by_label("Select this page").check()
    expect(page.get_by_text("2 selected")).to_be_visible()
    button(page, "Stop").click()
    site.change(namespace, first, c.CancelJob(worker_alive=False))
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Stop 2 jobs").click()
    expect(dialog).to_contain_text("1 changed, 1 refused")
    expect(dialog).to_contain_text("1 job: Its status has changed since it was listed here. Nothing happened to it.")
    assert (site.row(namespace, first)["status"], site.row(namespace, second)["status"]) == ("Cancelled", "Stopped")


def test_of_two_operators_the_one_who_saw_an_older_version_is_told_so_and_nothing_happens(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace)
    one, other = (open_page(server.page(namespace, f"/jobs/{job}")) for _ in range(2))
    button(one, "Cancel").click()
    button(other, "Stop").click()
    other.get_by_label("Reason").fill("just a moment")
    button(other, "Stop this job").click()
    expect(status(other)).to_contain_text("Stopped")

    button(one, "Cancel this job").click()
    expect(one.locator(".toast.bad")).to_contain_text("Somebody changed it meanwhile")
    expect(one.locator(".toast.bad")).to_contain_text("just a moment")
    expect(one.locator(".toast.bad")).to_contain_text("Nothing happened")
    expect(status(one)).to_contain_text("Stopped")
    assert "JobCancelRequested" not in site.events(job)


def test_reports_of_the_steps_are_no_reason_to_refuse_a_command(
    site: Site, server: Server, namespace: str, open_page: OpenPage, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    request = {"steps": 2, "items": 100_000, "gate": str(gate)}
    job = site.start(namespace, "held", queue="default", request=request)
    page = open_page(server.page(namespace, f"/jobs/{job}"))
    expect(status(page)).to_contain_text("Running")
    button(page, "Stop").click()
    before = site.row(namespace, job)["version"]
    eventually(lambda: site.row(namespace, job)["version"] > before, "the job has a newer version than what is shown")
    button(page, "Stop this job").click()
    expect(status(page)).to_contain_text("Stopped")


def test_a_viewer_sees_everything_and_no_buttons(
    site: Site, guarded: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace)
    page = open_page(guarded.page(namespace))
    page.get_by_label("Token").fill(site.token(f"look-{namespace}", Role.VIEWER))
    button(page, "Sign in").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator(".caller")).to_contain_text(f"look-{namespace}")
    expect(page.get_by_role("link", name="Start a job")).to_have_count(0)
    expect(page.locator("input[type=checkbox]")).to_have_count(0)

    page.get_by_role("link", name=re.compile(job)).click()
    expect(status(page)).to_contain_text("Pending")
    expect(page.locator("main").get_by_role("button")).to_have_text(["Earlier", "Later", "Now"])  # of what is shown
    page.goto(guarded.page(namespace, "/start"))
    expect(page.locator("main")).to_contain_text("may look at jobs")
    expect(page.locator("form")).to_have_count(0)


def test_one_signs_in_with_a_token_that_leaves_no_trace_in_the_address_and_out_again(
    site: Site, guarded: Server, namespace: str, open_page: OpenPage
) -> None:
    site.start(namespace)
    secret = site.token(f"ann-{namespace}", Role.OPERATOR)
    page = open_page(guarded.page(namespace))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Token").fill("mp_no-such-token")
    button(page, "Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("does not hold")
    page.get_by_label("Token").fill(secret)
    button(page, "Sign in").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    live(page)
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    button(page, "Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(0)
    assert not any(secret in url for url in [*asked, page.url])
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0


def test_the_page_is_right_again_after_the_server_was_away(site: Site, namespace: str, open_page: OpenPage) -> None:
    server = site.server()
    job = site.start(namespace)
    page = open_page(server.page(namespace))
    live(page)
    server.stop()
    expect(page.locator(".live")).to_have_attribute("data-state", "reconnecting")
    site.change(namespace, job, c.StopJob(worker_alive=False), "while nobody looked")
    server.start()
    live(page)
    expect(page.locator("tbody .chip")).to_contain_text("Stopped")
    site.change(namespace, job, c.ResumeJob())
    expect(page.locator("tbody .chip")).to_contain_text("Pending")


def test_a_job_of_10000_steps_is_shown_in_pages_and_in_a_picture_of_bounded_size(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.wide_job(namespace)
    page = open_page(server.page(namespace, f"/jobs/{job}/steps"))
    expect(page.locator(".head-progress")).to_contain_text("9,000 of 10,000 steps, 18 failed")
    expect(page.locator("tbody tr:not(.error-row)")).to_have_count(100)
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("row", name=re.compile("step-101 "))).to_be_visible()
    page.get_by_role("button", name=re.compile("^Failed")).click()
    expect(page.locator("tbody tr:not(.error-row)")).to_have_count(18)

    page.get_by_role("link", name="Timeline").click()
    expect(page.locator("#timeline-summary")).to_contain_text(f"{WIDE:,} steps, 9,000 begun")
    expect(page.locator("svg .row")).to_have_count(180)
    page.get_by_text("The same as a table").click()
    page.get_by_role("link", name="0–49", exact=True).click()
    expect(page.locator("#timeline-summary")).to_contain_text("Steps 0 to 49 of 10,000")
    expect(page.locator("svg .row")).to_have_count(50)
    expect(page.locator("svg .run.bad")).not_to_have_count(0)


def test_an_error_opens_to_its_whole_traceback_and_stays_open_while_the_page_lives(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace, queue="default", request={"steps": 2, "fail_steps": [2]})
    site.comes_to(namespace, job, "CompletedWithFailures")
    page = open_page(server.page(namespace, f"/jobs/{job}"))
    error = page.locator("details.error")
    error.locator("summary").click()
    expect(error.locator("pre").first).to_contain_text("Traceback (most recent call last)")
    expect(error.locator("pre").first).to_contain_text("told to fail")
    live(page)
    site.change(namespace, job, c.RemoveJob(), "seen")
    expect(status(page)).to_contain_text("Removed")
    expect(error.locator("pre").first).to_be_visible()


def test_a_job_is_stopped_with_the_keyboard_alone(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace)
    page = open_page(server.page(namespace))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, job)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("self-test")
    expect(page.locator("h1")).to_be_focused()
    tab_to(page, "Stop")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("Stopped")
    assert site.queries.status_changes([job])[job][-1]["reason"] == "by hand"


def tab_to(page: Page, name: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if name in str(
            page.evaluate(
                "['A', 'BUTTON'].includes(document.activeElement.tagName) ? document.activeElement.textContent : ''"
            )
        ):
            return
    raise AssertionError(f"no Tab leads to {name}")


def test_whatever_a_job_says_is_shown_as_text(site: Site, server: Server, namespace: str, open_page: OpenPage) -> None:
    job = site.start(namespace, "markup", queue="default", details=MARKUP, tags=(MARKUP,), reason=MARKUP)
    site.comes_to(namespace, job, "CompletedWithFailures")
    page = open_page(server.page(namespace))
    expect(page.locator("tbody tr")).to_contain_text("onerror")
    for part in ("", "/steps", "/timeline", "/history"):
        page.goto(server.page(namespace, f"/jobs/{job}{part}"))
        expect(page.locator(".part")).to_contain_text("onerror")
        assert page.locator("main img, main script").count() == 0
    assert "broken into" not in page.title()


def test_history_goes_from_either_end_with_who_and_why(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace, reason="the beginning")
    for number in range(30):
        site.change(namespace, job, c.StopJob(worker_alive=False), f"stop {number}")
        site.change(namespace, job, c.ResumeJob(), f"resume {number}")
    page = open_page(server.page(namespace, f"/jobs/{job}/history"))
    expect(page.locator("tbody tr").first).to_contain_text("resume 29")
    page.get_by_role("link", name="Older").click()
    expect(page.locator("tbody tr").last).to_contain_text("the beginning")
    page.get_by_role("link", name="oldest first").click()
    expect(page.locator("tbody tr").first).to_contain_text("ann@desk")
    live(page)
    page.get_by_role("link", name="newest first").click()
    site.change(namespace, job, c.CancelJob(worker_alive=False), "enough")
    expect(page.locator("tbody tr").first).to_contain_text("JobCancelled")


def test_the_list_is_filtered_searched_and_paged(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    ids = [site.start(namespace, tags=("odd",) if number % 2 else ()) for number in range(120)]
    site.change(namespace, ids[7], c.StopJob(worker_alive=False))
    page = open_page(server.page(namespace))
    rows = page.locator("tbody tr")
    expect(rows.first).to_contain_text(ids[119][:13])
    button(page, "Older").click()
    expect(rows.first).to_contain_text(ids[69][:13])
    button(page, "Older").click()
    expect(rows).to_have_count(20)
    button(page, "Newer").click()
    expect(rows.first).to_contain_text(ids[69][:13])
    button(page, "Newest").click()
    expect(rows.first).to_contain_text(ids[119][:13])

    page.get_by_role("button", name=re.compile("^Stopped")).click()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("button", name=re.compile("^Stopped"))).to_be_focused()
    page.get_by_text("Filter and search").click()
    page.get_by_label("Tags").fill("odd")
    page.get_by_label("Id begins with").fill(ids[7])
    button(page, "Apply").click()
    expect(page.locator(".title")).to_contain_text("1 match")
    page.get_by_role("link", name="Clear").click()
    expect(page.locator(".title")).to_contain_text("120 jobs")


def test_the_focus_stays_where_it_is_when_a_row_above_it_goes(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    third, _, first = (site.start(namespace) for _ in range(3))
    site.change(namespace, first, c.CancelJob(worker_alive=False))
    page = open_page(server.page(namespace))
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    live(page)
    link = page.get_by_role("link", name=re.compile(third))
    link.focus()
    site.change(namespace, first, c.RemoveJob())
    expect(rows).to_have_count(2)
    expect(link).to_be_focused()


def test_what_happened_before_the_first_stream_was_open_is_shown(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace)
    page = open_page("about:blank")
    page.route("**/jobs/stream", lambda route: route.fulfill(status=503))
    page.goto(server.page(namespace))
    expect(page.locator("tbody .chip")).to_contain_text("Pending")
    expect(page.locator(".live")).to_have_attribute("data-state", "reconnecting")
    site.change(namespace, job, c.StopJob(worker_alive=False))
    page.unroute("**/jobs/stream")
    live(page)
    expect(page.locator("tbody .chip")).to_contain_text("Stopped")


def test_a_command_whose_answer_is_lost_is_sent_again_under_its_key_and_then_said_to_be_unknown(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace)
    page = open_page(server.page(namespace, f"/jobs/{job}"))
    keys: list[str | None] = []

    def lost(route: Route) -> None:
        keys.append(route.request.header_value("Idempotency-Key"))
        route.abort()

    page.route("**/stop", lost)
    button(page, "Stop").click()
    button(page, "Stop this job").click()
    expect(page.locator(".toast.bad")).to_contain_text("whether it was done is not known")
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_after_a_start_whose_answer_was_lost_no_second_job_is_started_unseen(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    page = open_page(server.page(namespace, "/start?type=self-test"))

    def done_and_lost(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/jobs", done_and_lost)
    page.get_by_label("Queue").fill("parked")
    button(page, "Start").click()
    expect(page.get_by_role("alert")).to_contain_text("not known")
    page.unroute("**/jobs")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("not known")
    page.get_by_label("Queue").fill("another")
    button(page, "Start").click()
    expect(page.get_by_role("alert")).to_contain_text("asked for before was started")
    assert site.queries.counts(namespace) == {"Pending": 1}


def test_jobs_that_were_selected_under_another_filter_are_not_changed(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    ids = [site.start(namespace, tags=("mine",) if number < 3 else ()) for number in range(53)]
    page = open_page(server.page(namespace))
    page.get_by_label("Select this page").check()
    button(page, "Older").click()
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.get_by_label("50 selected")).not_to_be_checked()
    button(page, "Stop").click()
    expect(page.get_by_role("dialog")).to_contain_text("50 of them are not on the page that is shown")
    page.keyboard.press("Escape")
    expect(page.get_by_text("50 selected")).to_be_visible()
    page.locator("tbody tr .tag").first.click()
    expect(page.locator(".title")).to_contain_text("3 match")
    page.get_by_label(f"Select self-test {ids[0]}").check()
    button(page, "Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop 1 job").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 changed, 0 refused")
    assert site.queries.counts(namespace) == {"Stopped": 1, "Pending": 52}


def test_a_filter_that_nothing_can_mean_lists_nothing_and_says_why(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace)
    page = open_page(server.page(namespace))
    expect(page.locator("tbody tr")).to_have_count(1)
    for asked, said in (
        ("?status=Pending&status=Done", "There is no status “Done”"),
        ("?id=xyz", "No id begins with “xyz”"),
        ("?since=yesterday", "since"),
    ):
        page.goto(server.page(namespace, asked))
        expect(page.get_by_role("alert")).to_contain_text(said)
        expect(page.locator("tbody tr")).to_have_count(0)
        expect(page.get_by_text("Loading")).to_have_count(0)
        page.get_by_role("link", name="Show all jobs").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.get_by_role("alert")).to_have_count(0)
    page.goto(server.page(namespace, f"/jobs/{job}/steps?status=Done"))
    expect(page.get_by_role("alert")).to_contain_text("There is no status “Done”")


def test_an_event_store_or_a_namespace_that_one_cannot_see_is_said_to_be_none(
    site: Site, server: Server, guarded: Server, namespace: str, open_page: OpenPage
) -> None:
    page = open_page(f"{server.url}/#/elsewhere/{namespace}")
    expect(page.get_by_role("heading", name="No such event store")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("There is no event store “elsewhere” here, or you may not see it")
    expect(page.locator(".live")).to_have_count(0)
    page.get_by_role("link", name="Jobs of default").click()
    expect(page.locator("main")).to_contain_text(re.compile("There are no jobs|Progress"))
    live(page)

    of_another = site.token(f"not-{namespace}", Role.VIEWER, "another")
    page = open_page(guarded.page(namespace))
    page.get_by_label("Token").fill(of_another)
    button(page, "Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text(f"There is no namespace “{namespace}” here")
    page.get_by_role("link", name="Jobs of another").click()
    live(page)


def test_a_message_stays_on_the_page_to_which_it_belongs(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace)
    page = open_page(server.page(namespace, f"/jobs/{job}"))
    button(page, "Stop").click()
    site.change(namespace, job, c.CancelJob(worker_alive=False))
    button(page, "Stop this job").click()
    expect(page.locator(".toast")).to_contain_text("Nothing happened")
    page.get_by_role("link", name="History").click()
    expect(page.locator(".toast")).to_have_count(1)
    page.get_by_role("link", name="Jobs").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator(".toast")).to_have_count(0)

    page.get_by_role("link", name="Start a job").click()
    page.get_by_label("Job type").select_option("self-test")
    page.get_by_label("Queue").fill("parked")
    button(page, "Start").click()
    expect(page.locator(".title h1")).to_contain_text("self-test")
    expect(page.locator(".toast.good")).to_have_count(1)
    page.get_by_role("link", name="Jobs").click()
    expect(page.locator(".toast")).to_have_count(0)


def test_the_focus_goes_to_the_next_row_when_its_own_goes_and_to_the_heading_when_none_is_left(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    third, second, first = (site.start(namespace) for _ in range(3))
    for job in (first, second, third):
        site.change(namespace, job, c.CancelJob(worker_alive=False))
    page = open_page(server.page(namespace))
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    live(page)
    page.get_by_label(f"Select self-test {second}").focus()
    site.change(namespace, second, c.RemoveJob())
    expect(rows).to_have_count(2)
    expect(page.get_by_label(f"Select self-test {third}")).to_be_focused()
    site.change(namespace, third, c.RemoveJob())
    expect(page.get_by_label(f"Select self-test {first}")).to_be_focused()
    site.change(namespace, first, c.RemoveJob())
    expect(rows).to_have_count(0)
    expect(page.locator("h1")).to_be_focused()


def test_a_heading_that_scripts_focus_has_no_ring_and_a_link_has_one(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace)
    page = open_page(server.page(namespace))
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    expect(page.locator("tbody tr")).to_have_count(1)
    tab_to(page, job)
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_focused()
    assert page.evaluate(outline) == "none"


def test_a_command_on_all_jobs_speaks_of_a_filter_only_where_there_is_one(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job, *_ = [site.start(namespace, tags=("mine",)) for _ in range(3)]
    page = open_page(server.page(namespace))
    for asked, all_of_them, said in (
        ("", "All 3 jobs …", "All 3 jobs of this namespace."),
        ("?tag=mine", "All 3 matching …", "3 jobs match the filter now."),
    ):
        page.goto(server.page(namespace, asked))
        page.get_by_text(all_of_them).click()
        button(page, "Stop").click()
        expect(page.get_by_role("dialog")).to_contain_text(said)
        page.keyboard.press("Escape")
    site.change(namespace, job, c.CancelJob(worker_alive=False))
    page.goto(server.page(namespace))
    page.get_by_text("All 3 jobs …").click()
    button(page, "Stop").click()
    expect(page.get_by_role("dialog")).to_contain_text("2 of all 3 jobs of this namespace.")
    expect(page.get_by_role("dialog")).to_contain_text("1 other job cannot be stopped as it is")
    expect(page.get_by_role("dialog")).not_to_contain_text("filter")


def test_a_picture_says_what_its_signs_mean_and_is_as_high_as_the_steps_that_have_begun(
    site: Site, server: Server, namespace: str, open_page: OpenPage, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    job = site.start(namespace, "held", queue="default", request={"steps": 100, "items": 1, "gate": str(gate)})
    site.comes_to(namespace, job, "Running")
    eventually(lambda: "StepStarted" in site.events(job), "a step has begun")
    site.change(namespace, job, c.StopJob(worker_alive=True))
    site.comes_to(namespace, job, "Stopped")
    page = open_page(server.page(namespace, f"/jobs/{job}/timeline"))
    expect(page.locator(".legend")).to_contain_text("■ stopped")
    expect(page.locator("svg.picture .mark-line .label", has_text=re.compile("^stopped$"))).to_have_count(1)
    assert page.locator("svg.picture").evaluate("each => each.getBoundingClientRect().height") < 120


def test_what_statuses_mean_and_when_exactly_is_there_without_a_mouse(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    job = site.start(namespace)
    page = open_page(server.page(namespace))
    expect(page.locator("tbody tr")).to_have_count(1)
    meaning = page.locator(".meanings dd").first
    expect(meaning).not_to_be_visible()
    page.get_by_text("What they mean").focus()
    page.keyboard.press("Enter")
    expect(meaning).to_be_visible()
    expect(meaning).to_have_text("accepted; no worker has it")
    expect(page.get_by_role("button", name=re.compile("^Pending"))).to_have_attribute(
        "aria-describedby", str(meaning.get_attribute("id"))
    )

    moment = page.locator("tbody time").first
    exact = str(moment.get_attribute("datetime"))
    assert moment.inner_text() != exact
    exactly = page.get_by_role("button", name="Exact times")
    exactly.focus()
    page.keyboard.press("Space")
    expect(moment).to_have_text(exact)
    page.get_by_role("link", name=re.compile(job)).click()
    expect(page.locator(".title .now")).to_contain_text("accepted; no worker has it")
    expect(page.locator(".last-change time")).to_have_text(exact)
    exactly.click()
    expect(page.locator(".last-change time")).not_to_have_text(exact)


def test_every_field_that_the_server_refuses_is_marked_and_the_first_has_the_focus(
    site: Site, server: Server, namespace: str, open_page: OpenPage
) -> None:
    page = open_page(server.page(namespace, "/start?type=self-test"))
    page.get_by_label("Tags").fill("good, " + "long" * 100)
    page.get_by_label("Queue").fill("no name")
    page.get_by_label("Priority").fill("1000000000000")
    button(page, "Start").click()
    for field, said in (("Tags", "at most"), ("Queue", "letters, digits"), ("Priority", "no number above")):
        expect(page.get_by_label(field)).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label(field)).to_have_accessible_description(re.compile(said))
    expect(page.get_by_label("Tags")).to_be_focused()
    assert site.queries.counts(namespace) == {}
