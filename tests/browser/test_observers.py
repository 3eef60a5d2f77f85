"""What operators see and do of observers on the page: a real store, a real worker and observers that really fail."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from milepost.infrastructure.event_store.tokens import Role
from tests.browser.conftest import PATIENCE_MILLISECONDS, OpenPage, live
from tests.browser.ledgers import GATED, POISON
from tests.browser.odd import MARKUP
from tests.browser.site import Server
from tests.browser.watched_site import NAMESPACE, WatchedSite

MANY = 52  # failed partitions: more than a page


@pytest.fixture
def watched(browser: Browser, tmp_path: Path) -> Iterator[WatchedSite]:
    with closing(WatchedSite(tmp_path)) as found:
        found.worker()
        yield found


@pytest.fixture
def there(watched: WatchedSite) -> Server:
    return watched.server()


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def status(page: Page) -> Locator:
    return page.locator(".title .chip")


def fact(page: Page, term: str) -> Locator:
    return page.locator(".fact").filter(has=page.get_by_text(term, exact=True)).locator("dd")


def answer(page: Page, command: str, reason: str) -> None:
    """Opens the dialog of a command, and does it."""
    button(page, command).click()
    page.get_by_role("dialog").get_by_label("Reason").fill(reason)
    button(page, f"{command} it").click()


@pytest.mark.parametrize(("way", "shown", "generation"), [("In place", "Replaying", "1"), ("Beside", "Active", "2")])
def test_a_replay_moves_and_ends_before_ones_eyes(
    watched: WatchedSite, there: Server, open_page: OpenPage, way: str, shown: str, generation: str
) -> None:
    for _ in range(3):
        watched.account(*range(1, 15))
    watched.account(*range(1, GATED + 1))
    page = open_page(there.page(NAMESPACE, "/observers/balances"))
    expect(fact(page, "Handled")).to_contain_text("62 events")
    watched.gate.touch()

    button(page, "Replay").click()
    page.get_by_label(way).check()
    page.get_by_label("Reason").fill("to see it move")
    button(page, "Replay it").click()
    expect(page.locator(".toast")).to_contain_text("Its job")
    expect(status(page)).to_contain_text(shown)
    bar = page.get_by_role("progressbar", name="Progress of the job on balances")
    moved = "(bar) => bar.value > 0 && bar.value < bar.max"
    page.wait_for_function(moved, arg=bar.element_handle(), timeout=PATIENCE_MILLISECONDS)
    expect(page.locator("#its-job + p")).to_contain_text("replay-observer")
    page.get_by_role("link", name="Observers", exact=True).click()
    expect(page.get_by_role("row", name=re.compile("^balances"))).to_contain_text(shown)
    expect(page.get_by_role("progressbar", name="Progress of the job on balances")).to_be_visible()

    watched.gate.unlink()
    expect(page.get_by_role("row", name=re.compile("^balances"))).to_contain_text("up to date")
    page.get_by_role("link", name="balances", exact=True).click()
    expect(status(page)).to_contain_text("Active")
    expect(fact(page, "Generation")).to_have_text(generation)
    expect(page.locator(".changes")).to_contain_text("Released")
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("row").filter(has_text="ObserverTaken")).to_be_visible()


def test_an_index_is_rebuilt_by_a_job_that_leads_back_to_it(
    watched: WatchedSite, there: Server, open_page: OpenPage
) -> None:
    watched.account(1, 2, 3)
    page = open_page(there.page(NAMESPACE, "/observers/balances"))
    expect(fact(page, "Handled")).to_contain_text("3 events")
    button(page, "Rebuild index").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("words were missing")
    button(page, "Rebuild it").click()
    page.locator(".toast").get_by_role("link").click()
    expect(status(page)).to_contain_text("Completed")
    expect(page.get_by_role("region", name="Status changes")).to_contain_text("words were missing")

    fact(page, "Observer").get_by_role("link", name="balances").click()
    expect(fact(page, "Generation")).to_have_text("2")
    expect(fact(page, "Handled")).to_contain_text("3 events")


def test_by_the_keyboard_it_is_paused_with_a_reason_and_unpaused_and_nothing_is_lost(
    watched: WatchedSite, there: Server, open_page: OpenPage
) -> None:
    watched.account(1, 2, 3)
    page = open_page(there.page(NAMESPACE, "/observers/balances"))
    live(page)
    expect(fact(page, "Handled")).to_contain_text("3 events")

    button(page, "Pause").press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
    page.keyboard.type("deploying")
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("Paused")
    expect(page.locator("#why")).to_contain_text("handles no live events until it is unpaused")
    expect(page.locator(".changes li").first).to_contain_text(re.compile("Paused.*deploying"))
    expect(button(page, "Unpause")).to_be_visible()

    watched.account(4)
    expect(fact(page, "Lag")).to_have_text("2 events")
    expect(page.get_by_role("progressbar", name="Position of balances")).to_be_visible()
    answer(page, "Unpause", "deployed")
    expect(status(page)).to_contain_text("Active")
    expect(fact(page, "Handled")).to_contain_text("4 events")
    page.get_by_role("link", name="History").click()
    for event, reason in (("ObserverPaused", "deploying"), ("ObserverUnpaused", "deployed")):
        row = page.get_by_role("row").filter(has_text=event)
        expect(row).to_contain_text(reason)
        expect(row).to_contain_text("(http)")


def test_a_failing_partition_is_opened_to_its_traceback_and_skipped_with_a_reason_alone(
    watched: WatchedSite, there: Server, open_page: OpenPage
) -> None:
    well, ill = watched.account(1, 2), watched.account(3, POISON, 4)
    page = open_page(there.page(NAMESPACE, "/observers"))
    page.get_by_role("link", name="1 failed partitions of balances").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).not_to_contain_text(well)
    expect(page.locator("tbody tr")).to_contain_text(re.compile(f"Quarantined.*Poisoned: nobody deposits {POISON}"))
    page.get_by_role("link", name=ill).click()

    expect(page.locator("#why")).to_contain_text("has failed 2 times and is not tried again until somebody acts")
    expect(page.locator("#why")).to_contain_text("2 events wait")
    expect(page.locator(".attempts summary")).to_have_text(
        [re.compile("Attempt 2: Poisoned"), re.compile("Attempt 1: Poisoned")]
    )
    page.locator(".attempts summary").first.click()
    expect(page.locator(".attempts pre").first).to_contain_text(re.compile("Traceback.*raise Poisoned", re.DOTALL))

    button(page, "Skip").click()
    button(page, "Skip it").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Reason").fill("   ")
    button(page, "Skip it").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Reason").fill("a mistake of the till")
    button(page, "Skip it").click()
    expect(page.locator("main")).to_contain_text("This partition goes on with the others")
    page.get_by_role("link", name="history of its observer").click()
    expect(page.get_by_role("row").filter(has_text="PartitionSkipped")).to_contain_text("a mistake of the till")
    expect(page.get_by_role("row").filter(has_text="PartitionRecovered")).to_contain_text(ill)


def test_what_is_to_be_skipped_is_the_event_that_was_seen_and_no_later_one(
    watched: WatchedSite, there: Server, open_page: OpenPage
) -> None:
    ill = watched.account(POISON, POISON)
    page = open_page(there.page(NAMESPACE, f"/observers/balances/failed/{ill}"))
    expect(status(page)).to_contain_text("Quarantined")
    expect(fact(page, "Event")).to_have_text("2")
    button(page, "Skip").click()
    page.get_by_label("Reason").fill("the one of two")
    path = f"{there.url}/api/event-stores/default/namespaces/{NAMESPACE}/failed-partitions/balances/{ill}/skip"
    assert page.request.post(path, data={"reason": "somebody was faster"}).ok
    expect(fact(page, "Event")).to_have_text("3")
    button(page, "Skip it").click()

    expect(page.locator(".toast.bad")).to_be_visible()
    expect(status(page)).to_contain_text("Quarantined")
    expect(fact(page, "Event")).to_have_text("3")
    page.goto(there.page(NAMESPACE, "/observers/balances/history"))
    expect(page.get_by_role("row").filter(has_text="PartitionSkipped")).to_have_count(1)


def test_a_partition_may_have_any_name_and_it_stays_text(
    watched: WatchedSite, there: Server, open_page: OpenPage
) -> None:
    name = f"careless/{MARKUP}?a=b#c %2F"
    watched.account(owner=name)
    page = open_page(there.page(NAMESPACE, "/observers/wary/failed"))
    page.get_by_role("link", name=name).click()
    expect(page.locator("h1")).to_have_text(name)
    expect(page.locator(".attempts summary")).to_have_text(f"Attempt 1: Poisoned: {name}")
    answer(page, "Skip", "a name as good as another")
    expect(page.locator("main")).to_contain_text("This partition goes on with the others")
    assert page.title() != "broken into"


def test_a_partition_that_is_mended_and_tried_again_goes_on_with_the_others(
    watched: WatchedSite, there: Server, open_page: OpenPage
) -> None:
    ill = watched.account(POISON, 1)
    page = open_page(there.page(NAMESPACE, f"/observers/balances/failed/{ill}"))
    expect(status(page)).to_contain_text("Quarantined")
    watched.mended.touch()
    answer(page, "Retry", "mended")

    expect(page.locator("main")).to_contain_text("This partition goes on with the others")
    page.get_by_role("link", name="balances", exact=True).click()
    expect(fact(page, "Handled")).to_contain_text("2 events")
    expect(fact(page, "Failed")).to_contain_text("none")


def test_failed_partitions_come_in_pages_and_are_found_by_how_they_begin(
    watched: WatchedSite, there: Server, open_page: OpenPage
) -> None:
    for number in range(MANY):
        watched.account(owner=f"careless {number:02}")
    watched.account(owner="careful")
    page = open_page(there.page(NAMESPACE, "/observers/wary/failed"))
    expect(page.locator(".search")).to_contain_text(f"{MANY} partitions failed, {MANY} of them quarantined")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("link", name="First").click()
    expect(page.locator("tbody tr")).to_have_count(50)

    for beginning, found in (("careless 1", 10), ("careless 07", 1), ("", 50), ("b", 0), ("careless 51", 1)):
        page.get_by_label("Partition begins with").fill(beginning)
        page.get_by_label("Partition begins with").press("Enter")
        expect(page.locator("tbody tr")).to_have_count(found)
    page.get_by_role("link", name="careless 51").click()
    expect(page.locator("h1")).to_have_text("careless 51")


def test_what_is_not_as_it_should_be_is_said_first(watched: WatchedSite, there: Server, open_page: OpenPage) -> None:
    watched.account(POISON)
    page = open_page(there.page(NAMESPACE, "/observers"))
    expect(page.locator(".strip")).to_contain_text("balances")
    page.get_by_role("link", name="Diagnosis", exact=True).first.click()
    expect(page.locator("h2").first).to_have_text("Not as it should be")
    expect(page.locator(".findings").first).to_contain_text("balances")
    page.locator(".findings").first.get_by_role("link", name="balances").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.go_back()
    expect(page.get_by_role("region", name="As it should be", exact=True)).to_contain_text("event store")


def test_a_viewer_sees_everything_and_no_buttons(watched: WatchedSite, open_page: OpenPage) -> None:
    ill = watched.account(POISON)
    watched.token("root", Role.ADMIN)
    guarded = watched.server("--require-tokens")
    for role, some in ((Role.VIEWER, False), (Role.OPERATOR, True)):
        page = open_page(guarded.page(NAMESPACE, "/observers/balances"))
        page.get_by_label("Token").fill(watched.token(f"a-{role.name.lower()}", role))
        button(page, "Sign in").click()
        expect(page.locator("#why")).to_contain_text("1 failed partition does not go on")
        expect(page.locator("main button")).to_have_text(
            ["Replay", "Catch up", "Rebuild index", "Pause"] if some else []
        )
        page.get_by_role("link", name="1 failed partition", exact=True).click()
        page.get_by_role("link", name=ill).click()
        expect(page.locator("#why")).to_contain_text("is not tried again until somebody acts")
        expect(page.locator("main button")).to_have_text(["Retry", "Skip", "Replay partition"] if some else [])
