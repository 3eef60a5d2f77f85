"""What a worker says of its work, and how seldom it asks whether any is left."""

import logging
import re
import sys
import time
from collections.abc import Mapping
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from milepost.domain.commands import StopJob
from milepost.infrastructure.settings import resolve
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.cli.worker import Idle, WorkerLines
from tests.interfaces.furniture import Furniture

ON_ALL_STORES = True

JOB_ID = "019ab3c4-d5e6-7abc-8def-0123456789ab"


def line(message: str, *values: object, exc_info: bool = False) -> str:
    record = logging.LogRecord("milepost.worker", logging.INFO, __file__, 1, message, values, None)
    if exc_info:
        record.exc_info = sys.exc_info()
    return WorkerLines(lambda job_id: job_id[:13]).format(record)


def test_a_line_begins_with_the_local_time_and_has_ids_as_they_are_listed() -> None:
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d job 019ab3c4-d5e6 self-test: claimed \(Running\)",
        line("job %s %s: claimed (%s)", JOB_ID, "self-test", "Running"),
    )


def test_what_a_step_says_neither_breaks_a_line_nor_steers_a_terminal() -> None:
    told = line("job %s: %s", JOB_ID, "no\nsuch\x1b[31m aircraft\x9b")

    assert "\n" not in told
    assert not set(told) & {"\x1b", "\x9b"}


def test_a_defect_is_told_whole() -> None:
    try:
        raise ValueError("no such\x1b[31m aircraft")
    except ValueError:
        told = line("job %s: this worker cannot go on with it", JOB_ID, exc_info=True)

    assert "Traceback" in told
    assert "aircraft" in told
    assert "\x1b" not in told


@pytest.fixture
def app(jobs: Furniture) -> Application:
    return Application(resolve())


def test_an_idle_worker_asks_for_work_only_when_something_was_written(
    app: Application, jobs: Furniture, ids: Mapping[str, str]
) -> None:
    worker, executor = app.worker(slots=1, kind="threads")
    asked: list[str] = []

    def hear(_connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    idle = Idle(app, worker, frozenset({"unknown-type"}), None, app.live_observers(worker.name))
    event.listen(app.database.engine, "before_cursor_execute", hear)

    assert [idle() for _ in range(100)] == [False] * 100  # a job of the type is pending
    assert len(asked) < 10
    jobs.execute(UUID(ids["unknown_type"]), StopJob(worker_alive=False))
    deadline = time.monotonic() + 60
    while not (is_idle := idle()) and time.monotonic() < deadline:
        time.sleep(0.01)  # a server's word comes when it comes
    assert is_idle
    executor.close()
    app.close()
