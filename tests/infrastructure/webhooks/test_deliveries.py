"""Who is told of what, in which order, how often; and what becomes of a receiver that fails."""

import json
import logging
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from standardwebhooks import Webhook as Verifier

from milepost.domain.commands import CompleteJob, ReportFailure, StartStep
from milepost.domain.events import ErrorDetail
from milepost.domain.job import Job
from milepost.infrastructure.event_store.database import Database, DatabaseUnavailable
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, webhooks
from milepost.infrastructure.event_store.webhooks import WebhookNotFound, Wish
from milepost.infrastructure.webhooks.pace import Pace
from milepost.infrastructure.webhooks.signing import headers, new_secret
from tests.infrastructure.webhooks.conftest import Stage, turns
from tests.infrastructure.webhooks.receiver import receiving

QUICK = Pace(answer_seconds=0.2)
A_DAY = 86_400.0


def test_an_event_that_was_asked_for_is_told_once_and_signed(stage: Stage) -> None:
    with receiving() as receiver:
        webhook = stage.webhook(receiver.url, "completed")
        job = stage.scene.completed()

        turns(stage.deliverer(), lambda: stage.now().delivered == 1)

        (received,) = receiver.requests
        assert received.id == stage.ids(webhook, (job, job.version))[0]
        assert json.loads(received.body) == {"job": str(job.id), "version": job.version, "occasion": "completed"}
        assert received.headers["Content-Type"] == "application/json"
        stamped = int(received.headers["webhook-timestamp"])
        assert stamped == int(stage.clock.now().timestamp())
        signed = headers(webhook.secret, received.id, stamped, received.body)
        assert received.headers["webhook-signature"] == signed["webhook-signature"]
        with pytest.raises(Exception, match="too old"):  # by the scene's clock, which is not the standard library's
            Verifier(webhook.secret).verify(received.body, received.headers)


def test_events_come_in_the_order_in_which_they_were_committed(stage: Stage) -> None:
    with receiving() as receiver:
        stage.webhook(receiver.url, "started", "stopped", "resumed", "completed", "cancelled")
        first, second = stage.stopped(), stage.cancelled()
        third = stage.scene.completed()

        turns(stage.deliverer(), lambda: stage.now().delivered == 7)

        told = [json.loads(each.body) for each in receiver.requests]
        assert [each["occasion"] for each in told if each["job"] == str(first.id)] == ["started", "stopped", "resumed"]
        assert [each["job"] for each in told] == [str(first.id)] * 3 + [str(second.id)] * 2 + [str(third.id)] * 2


def test_a_webhook_is_told_of_its_namespace_and_types_alone(stage: Stage) -> None:
    with receiving() as receiver:
        stage.webhook(receiver.url, "started", namespace="Mine", types=("import",))
        stage.scene.start()
        stage.scene.start("export", namespace="Mine")
        mine = stage.scene.start(namespace="Mine")

        turns(stage.deliverer(), lambda: stage.now().delivered == 1)

        assert [json.loads(each.body)["job"] for each in receiver.requests] == [str(mine.id)]


def test_a_job_that_completed_with_failures_is_not_told_as_completed(stage: Stage) -> None:
    with receiving() as receiver:
        stage.webhook(receiver.url, "completed", name="good")
        stage.webhook(receiver.url, "completed-with-failures", name="bad")
        job = stage.scene.running(steps=1)
        error = ErrorDetail(type="ValueError", message="no")
        stage.scene.do(job, StartStep(job.claim, 0), ReportFailure(job.claim, 0, 1, 0.1, error), CompleteJob(job.claim))

        turns(stage.deliverer(), lambda: stage.now("bad").delivered == 1)

        assert [json.loads(each.body)["occasion"] for each in receiver.requests] == ["completed-with-failures"]
        assert stage.now("good").delivered == 0


def test_a_new_webhook_is_told_of_what_happens_from_then_on_or_of_all_where_it_wishes(stage: Stage) -> None:
    with receiving() as receiver:
        stage.scene.start()
        stage.webhook(receiver.url, "started", name="from-now")
        stage.webhook(receiver.url, "started", name="from-start", from_start=True)
        stage.scene.start()

        turns(stage.deliverer(), lambda: stage.now("from-start").delivered == 2)
        turns(stage.deliverer(), lambda: stage.now("from-now").delivered == 1)


@pytest.mark.parametrize("behaviour", [500, 302, 404, "close", "hang"])
def test_what_is_no_2xx_is_a_failure_and_the_event_is_tried_again_when_its_time_has_come(
    stage: Stage, behaviour: int | str, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving(behaviour) as receiver:
        webhook = stage.webhook(receiver.url, "started")
        job = stage.scene.start()
        deliverer = stage.deliverer(QUICK if behaviour == "hang" else None)

        turns(deliverer, lambda: stage.now().failures == 1)
        receiver.release()
        for _ in range(10):  # its time has not come
            deliverer.turn()
        failed = stage.now()
        assert (failed.delivered, failed.place, failed.held) == (0, webhook.place, False)
        assert failed.last_failure
        assert failed.next_try_at is not None
        assert 2.5 <= failed.next_try_at - stage.clock.now().timestamp() <= 5.0

        def told() -> bool:
            stage.clock.wait(5.0)  # again where the first try was broken off before it arrived: this one meets its fate
            return stage.now().delivered == 1

        turns(stage.deliverer(), told)

        assert [each.id for each in receiver.accepted] == stage.ids(webhook, (job, 1))
        assert (stage.now().failures, stage.now().next_try_at) == (0, None)
        assert "hook" in caplog.text


def test_a_redirect_is_not_followed_and_said(stage: Stage) -> None:
    with receiving() as elsewhere, receiving(307, headers={"Location": elsewhere.url}) as receiver:
        stage.webhook(receiver.url, "started")
        stage.scene.start()

        turns(stage.deliverer(), lambda: stage.now().failures == 1)

        assert stage.now().last_failure == "answered 307, a redirect, which is not followed"
        assert elsewhere.requests == []


def test_what_a_receiver_says_of_its_trouble_is_kept(stage: Stage) -> None:
    with receiving(503) as receiver:
        stage.webhook(receiver.url, "started")
        stage.scene.start()

        turns(stage.deliverer(), lambda: stage.now().failures == 1)

        assert stage.now().last_failure == "answered 503: said"


def test_nobody_listening_is_a_failure_like_any_other(stage: Stage) -> None:
    with receiving() as receiver:
        url = receiver.url
    stage.webhook(url, "started")
    stage.scene.start()

    turns(stage.deliverer(), lambda: stage.now().failures == 1)

    assert "no answer" in (stage.now().last_failure or "")


def test_a_receiver_is_given_the_time_that_it_asks_for(stage: Stage) -> None:
    with receiving(503, headers={"Retry-After": "600"}) as receiver:
        stage.webhook(receiver.url, "started")
        stage.scene.start()

        turns(stage.deliverer(), lambda: stage.now().failures == 1)

        assert stage.now().next_try_at == stage.clock.now().timestamp() + 600


def test_later_events_wait_for_the_one_that_fails_and_are_not_told_before_it(stage: Stage) -> None:
    with receiving(500, 500) as receiver:
        webhook = stage.webhook(receiver.url, "started")
        first, second = stage.scene.start(), stage.scene.start()
        deliverer = stage.deliverer()
        for failures in (1, 2):
            turns(deliverer, lambda failures=failures: stage.now().failures == failures)  # type: ignore[misc]
            stage.clock.wait(10.0)

        turns(deliverer, lambda: stage.now().delivered == 2)

        one, two = stage.ids(webhook, (first, 1), (second, 1))
        assert [each.id for each in receiver.requests] == [one, one, one, two]


def test_a_receiver_that_fails_keeps_no_other_one_waiting(stage: Stage) -> None:
    with receiving("hang") as bad, receiving() as good:
        stage.webhook(bad.url, "started", name="bad")
        stage.webhook(good.url, "started", name="good")
        stage.scene.start()
        deliverer = stage.deliverer(Pace(leave_seconds=0.01))
        turns(deliverer, lambda: stage.now("good").delivered == 1)
        bad.wait_until(lambda: bad.hanging == 1)
        stage.scene.start()

        turns(deliverer, lambda: stage.now("good").delivered == 2)

        assert stage.now("bad").delivered == 0


def test_more_receivers_than_one_process_tells_at_once_wait_for_their_turn(stage: Stage) -> None:
    with receiving() as receiver:
        names = [f"hook-{number}" for number in range(5)]
        for name in names:
            stage.webhook(receiver.url, "started", name=name)
        stage.scene.start()
        deliverer = stage.deliverer(Pace(at_once=2))

        def all_told() -> bool:
            stage.clock.wait(0.1)
            return all(stage.now(name).delivered == 1 for name in names)

        turns(deliverer, all_told)

        assert len({each.id for each in receiver.requests}) == len(names) == len(receiver.requests)


def test_gone_pauses_a_webhook_until_it_is_resumed_and_nothing_is_lost(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving(410) as receiver:
        stage.webhook(receiver.url, "started")
        stage.scene.start()
        deliverer = stage.deliverer()
        turns(deliverer, lambda: stage.now().paused is not None)
        stage.scene.start()
        stage.clock.wait(A_DAY)
        for _ in range(10):
            deliverer.turn()
        assert len(receiver.requests) == 1
        assert "410 Gone" in (stage.now().paused or "")
        assert "hook is paused" in caplog.text

        stage.webhooks.resume("hook")
        turns(stage.deliverer(), lambda: stage.now().delivered == 2)


def test_a_receiver_that_fails_for_three_days_is_given_up_and_that_is_said(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving(*[500] * 100) as receiver:
        stage.webhook(receiver.url, "started")
        stage.scene.start()
        deliverer = stage.deliverer()
        while stage.now().paused is None:
            tried = stage.now().failures
            turns(deliverer, lambda tried=tried: stage.now().failures > tried)  # type: ignore[misc]
            stage.clock.wait(A_DAY / 4)

        assert stage.now().failures == 13
        assert stage.now().paused == "it could not be told for 3 days"
        assert "milepost webhooks resume hook" in caplog.text


def test_resume_can_leave_out_what_waits_or_the_one_that_fails(stage: Stage) -> None:
    with receiving(500, 500) as receiver:
        webhook = stage.webhook(receiver.url, "started")
        deliverer = stage.deliverer()
        stage.scene.start()
        turns(deliverer, lambda: stage.now().failures == 1)
        stage.webhooks.resume("hook", from_now=True)
        bad, good = stage.scene.start(), stage.scene.start()
        turns(deliverer, lambda: stage.now().failures == 1)

        stage.webhooks.skip(stage.now(), EventKey(bad.id, 1))
        turns(stage.deliverer(), lambda: stage.now().delivered == 1)

        assert [each.id for each in receiver.requests][1:] == stage.ids(webhook, (bad, 1), (good, 1))


def test_a_paused_webhook_is_told_nothing_and_all_once_it_is_resumed(stage: Stage) -> None:
    with receiving() as receiver:
        stage.webhook(receiver.url, "started")
        assert stage.webhooks.pause("hook", "by ann").paused == "by ann"
        assert stage.webhooks.pause("hook", "by bob").paused == "by ann"
        stage.scene.start()
        deliverer = stage.deliverer()
        for _ in range(10):
            deliverer.turn()
        assert receiver.requests == []

        stage.webhooks.resume("hook")

        turns(stage.deliverer(), lambda: stage.now().delivered == 1)


def test_a_webhook_that_is_paused_or_removed_while_it_is_told_is_told_nothing_more(stage: Stage) -> None:
    def pause() -> int:
        stage.webhooks.pause("paused", "by ann")
        return 204

    def remove() -> int:
        stage.webhooks.remove("removed")
        return 204

    with receiving(pause) as one, receiving(remove) as other:
        stage.webhook(one.url, "started", name="paused")
        stage.webhook(other.url, "started", name="removed")
        for _ in range(2):
            stage.scene.start()
        deliverer = stage.deliverer()

        turns(deliverer, lambda: len(one.requests) + len(other.requests) == 2)
        deliverer.leave()

        assert (stage.now("paused").delivered, stage.now("paused").held) == (1, False)
        with pytest.raises(WebhookNotFound):
            stage.now("removed")


def test_one_process_at_a_time_tells_a_webhook(stage: Stage) -> None:
    with receiving("hang") as receiver:
        stage.webhook(receiver.url, "started")
        stage.scene.start()
        one, other = stage.deliverer(), stage.deliverer()
        one.turn()
        receiver.wait_until(lambda: receiver.hanging == 1)
        for _ in range(10):
            other.turn()
        assert stage.now().held
        receiver.release()

        receiver.wait_until(lambda: len(receiver.requests) == 1)


def test_another_process_takes_over_when_the_lease_of_the_first_has_run_out(stage: Stage) -> None:
    with receiving("hang") as receiver:
        webhook = stage.webhook(receiver.url, "started")
        job = stage.scene.start()
        dead, other = stage.deliverer(), stage.deliverer()
        dead.turn()
        receiver.wait_until(lambda: receiver.hanging == 1)
        other.turn()

        stage.clock.wait(Pace().hold_seconds)
        turns(other, lambda: stage.now().delivered == 1)
        receiver.release()
        dead.leave()  # it was not dead, and hears its answer now

        assert stage.now().delivered == 1
        assert {each.id for each in receiver.requests} == set(stage.ids(webhook, (job, 1)))


def test_a_process_that_ends_lets_go_of_its_webhooks_at_once(stage: Stage) -> None:
    with receiving("hang") as receiver:
        stage.webhook(receiver.url, "started")
        stage.scene.start()
        leaving, other = stage.deliverer(Pace(leave_seconds=0.01)), stage.deliverer()
        leaving.turn()
        receiver.wait_until(lambda: receiver.hanging == 1)

        leaving.leave()

        assert not stage.now().held
        turns(other, lambda: stage.now().delivered == 1)


def test_a_position_survives_those_who_deliver(stage: Stage) -> None:
    with receiving() as receiver:
        stage.webhook(receiver.url, "started")
        for number in range(1, 4):
            stage.scene.start()
            turns(stage.deliverer(), lambda number=number: stage.now().delivered == number)  # type: ignore[misc]

        assert len(receiver.requests) == 3


def test_a_clock_that_was_set_back_keeps_no_webhook_waiting(stage: Stage) -> None:
    with receiving(500) as receiver:
        stage.webhook(receiver.url, "started")
        stage.scene.start()
        turns(stage.deliverer(), lambda: stage.now().failures == 1)

        stage.clock.wait(-10 * A_DAY)

        turns(stage.deliverer(), lambda: stage.now().delivered == 1)


def test_an_event_of_a_newer_milepost_is_not_passed_over(stage: Stage) -> None:
    with receiving() as receiver:
        stage.webhook(receiver.url, "started")
        job = stage.scene.start()
        change_class_version(stage, job, "99")
        deliverer = stage.deliverer()
        turns(deliverer, lambda: stage.now().failures == 1)
        assert "cannot be read" in (stage.now().last_failure or "")
        assert receiver.requests == []

        change_class_version(stage, job, "1")  # as if a newer one read it
        stage.clock.wait(5.0)
        turns(deliverer, lambda: stage.now().delivered == 1)


def change_class_version(stage: Stage, job: Job, version: str) -> None:
    """Of the first event of the job, as it is stored."""
    with stage.scene.store.database.write() as connection:
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        found = connection.exec_driver_sql(
            f"SELECT state FROM {EVENTS_TABLE} WHERE originator_id={mark}", (job.id.hex,)
        ).scalar_one()
        document = {**json.loads(bytes(found)), "class_version": int(version)}
        connection.exec_driver_sql(
            f"UPDATE {EVENTS_TABLE} SET state={mark} WHERE originator_id={mark}",
            (json.dumps(document).encode(), job.id.hex),
        )


def test_what_a_webhook_need_not_be_told_of_is_looked_through_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milepost.infrastructure.webhooks.deliveries.PASSED_OVER", 10)
    monkeypatch.setattr("milepost.infrastructure.event_store.announcements.PAGE", 3)
    with receiving() as receiver:
        stage.webhook(receiver.url, "started", types=("export",))
        last = [stage.scene.start() for _ in range(10)][-1]
        turns(stage.deliverer(), lambda: stage.now().place == EventKey(last.id, 1))
        stage.scene.start("export")

        turns(stage.deliverer(), lambda: stage.now().delivered == 1)


def test_where_there_is_no_webhook_next_to_nothing_is_asked(stage: Stage) -> None:
    deliverer = stage.deliverer()
    with asked_of(stage.databases[-1]) as statements:
        deliverer.turn()
        assert len(statements) == 1  # is there one?
        for _ in range(100):
            deliverer.turn()
        stage.scene.start()
        for _ in range(100):
            deliverer.turn()
        assert len(statements) == 1

        stage.clock.wait(Pace().quiet_seconds)
        turns(deliverer, lambda: len(statements) == 2)  # PostgreSQL tells of a commit a little after it
        for _ in range(100):
            deliverer.turn()
        assert len(statements) == 2
        assert all(EVENTS_TABLE not in each for each in statements)


def test_where_nobody_writes_nothing_is_asked(stage: Stage) -> None:
    stage.webhook("http://127.0.0.1:9/", "started")
    deliverer = stage.deliverer()
    turns(deliverer, lambda: True)
    deliverer.turn()
    deliverer.turn()
    with asked_of(stage.databases[-1]) as statements:
        for _ in range(100):
            deliverer.turn()

    assert statements == []


@contextmanager
def asked_of(database: Database) -> Generator[list[str]]:
    """The statements on tables of ours."""
    statements: list[str] = []

    def heard(_connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        if "milepost_" in statement:
            statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", heard)
    yield statements
    event.remove(database.engine, "before_cursor_execute", heard)


def test_a_database_that_does_not_answer_is_waited_for(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, "milepost.webhooks")
    with receiving() as receiver:
        stage.webhook(receiver.url, "started")
        stage.scene.start()
        deliverer = stage.deliverer()
        turn, troubles = deliverer.turn, iter([DatabaseUnavailable("u", "gone", ""), RuntimeError("a defect")])

        def troubled() -> None:
            if (trouble := next(troubles, None)) is not None:
                raise trouble
            turn()

        monkeypatch.setattr(deliverer, "turn", troubled)
        with deliverer:
            receiver.wait_until(lambda: len(receiver.requests) == 1)

    assert "webhooks wait: " in caplog.text
    assert "a defect" in caplog.text


def test_settling_waits_for_what_can_be_told_and_for_no_receiver_that_fails(stage: Stage) -> None:
    with receiving() as good, receiving(*[500] * 9) as bad:
        stage.webhook(good.url, "started", name="good")
        stage.webhook(bad.url, "started", name="bad")
        with stage.deliverer() as deliverer:
            for _ in range(3):
                stage.scene.start()
            assert deliverer.settle(60)

        assert stage.now("good").delivered == 3
        assert stage.now("bad").failures == 1


def test_a_secret_does_not_show_when_a_webhook_is_printed(stage: Stage) -> None:
    secret = new_secret()
    wish = Wish("hook", "https://example.org/", secret, ("started",))

    assert secret not in repr(wish) + repr(stage.webhooks.add(wish, "ann@desk"))


def test_a_defect_of_one_webhook_is_kept_with_it_and_holds_up_no_other(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving() as receiver:
        stage.webhook(receiver.url, "started", name="a-bad")
        stage.webhook(receiver.url, "started", name="good")
        with stage.scene.store.database.write() as connection:
            connection.execute(webhooks.update().where(webhooks.c.name == "a-bad").values(secret="no secret"))
        stage.scene.start()
        deliverer = stage.deliverer()
        turns(deliverer, lambda: stage.now("good").delivered == 1 and stage.now("a-bad").failures == 1)
        stage.clock.wait(5.0)
        turns(deliverer, lambda: stage.now("a-bad").failures == 2)

    bad = stage.now("a-bad")
    assert (bad.delivered, bad.held) == (0, False)
    assert (bad.last_failure or "").startswith("a defect: SecretInvalid: ")
    assert caplog.text.count("a defect: ") == 1


def test_a_place_that_is_gone_pauses_a_webhook_and_says_what_to_do(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving() as receiver:
        gone = stage.scene.start()
        stage.webhook(receiver.url, "started")
        with stage.scene.store.database.write() as connection:
            mark = "?" if connection.dialect.name == "sqlite" else "%s"
            connection.exec_driver_sql(f"DELETE FROM {EVENTS_TABLE} WHERE originator_id={mark}", (gone.id.hex,))
        stage.scene.start()
        turns(stage.deliverer(), lambda: stage.now().paused is not None)
        assert "resume hook --from-now" in (stage.now().paused or "")
        assert "hook is paused" in caplog.text

        stage.webhooks.resume("hook", from_now=True)
        stage.scene.start()
        turns(stage.deliverer(), lambda: stage.now().delivered == 1)


@pytest.mark.parametrize("stage", ["file"], indirect=True)
def test_a_place_holds_where_rows_were_deleted_and_the_file_was_vacuumed(stage: Stage) -> None:
    with receiving() as receiver:
        other = stage.cancelled()
        stage.scene.start()
        webhook = stage.webhook(receiver.url, "started")
        waits = stage.scene.start()
        database = stage.scene.store.database
        with database.write() as connection:
            connection.exec_driver_sql(f"DELETE FROM {EVENTS_TABLE} WHERE originator_id=?", (other.id.hex,))
        with closing(sqlite3.connect(stage.url.removeprefix("sqlite:///"))) as file:
            file.execute("VACUUM")  # which numbers the rows anew

        turns(stage.deliverer(), lambda: stage.now().delivered == 1)

        assert [each.id for each in receiver.requests] == stage.ids(webhook, (waits, 1))
