"""`record` gives what was decided its envelopes, and the job that they lead to."""

from itertools import count
from uuid import UUID

import pytest

from milepost.domain import commands as c
from milepost.domain.errors import IllegalTransition
from milepost.domain.job import Job, replay
from milepost.domain.record import record
from milepost.domain.state_machine import JobStatus
from tests.domain.givens import BEGINNING, JOB_ID, ORIGIN, RUNNING, STOP_REQUESTED, STOPPED, given, started


def do(job: Job, command: c.JobCommand) -> tuple[Job, list[int], list[UUID]]:
    ids = count(1)
    after, events = record(job, command, origin=ORIGIN, at=BEGINNING, new_id=lambda: UUID(int=next(ids)))
    assert all(event.origin is ORIGIN and event.recorded_at is BEGINNING for event in events)
    return after, [event.version for event in events], [event.event_id for event in events]


def test_each_event_gets_the_next_version_and_an_id_of_its_own() -> None:
    after, versions, ids = do(given(*RUNNING, started(0)), c.StopJob(worker_alive=False))

    assert versions == [6, 7, 8]
    assert ids == [UUID(int=1), UUID(int=2), UUID(int=3)]
    assert (after.version, after.status) == (8, JobStatus.STOPPED)


def test_what_was_so_already_records_nothing() -> None:
    job = given(*RUNNING, STOP_REQUESTED, STOPPED)

    assert do(job, c.StopJob(worker_alive=True)) == (job, [], [])


def test_a_refusal_records_nothing() -> None:
    with pytest.raises(IllegalTransition):
        do(given(*RUNNING), c.RemoveJob())


def test_what_was_recorded_replays_to_the_same_job() -> None:
    start = c.StartJob(namespace="Default", job_type="self-test", request={})
    job, started_events = record(Job(JOB_ID), start, origin=ORIGIN, at=BEGINNING, new_id=lambda: JOB_ID)
    job, stopped_events = record(job, c.StopJob(worker_alive=False), origin=ORIGIN, at=BEGINNING, new_id=lambda: JOB_ID)

    assert replay(JOB_ID, [*started_events, *stopped_events]) == job
    assert started_events[0].originator_id == JOB_ID
    assert [event.originator_version for event in (*started_events, *stopped_events)] == [1, 2, 3]
