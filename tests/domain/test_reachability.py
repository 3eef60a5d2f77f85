"""All that can ever become of a job of two steps, walked through: every status is reached, none is a dead end."""

from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

import pytest

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.errors import JobError
from milepost.domain.job import Job
from milepost.domain.state_machine import AT_REST, COMPLETED, TRANSITIONS, JobStatus, StepStatus, Transition
from tests.domain.givens import BOOM, JOB_ID, later, report_failure, report_progress, report_stop, report_success

S = JobStatus
POLICIES: Final = (e.Policy(attempts=2), e.Policy(on_failure="halt"))
SITUATIONS_MAX: Final = 5_000  # there are 2,021; a rule that lets something grow without end is a defect
PLAN: Final = (e.PlannedStep(name="a"), e.PlannedStep(name="b"))


class Situation(NamedTuple):
    """All of a job that decides what can become of it; how often things happened does not."""

    policy: e.Policy | None
    status: JobStatus | None
    has_worker: bool
    planned: bool
    prepared: bool
    has_cleanup: bool
    steps: tuple[tuple[StepStatus, int], ...]


class Walked(NamedTuple):
    jobs: dict[Situation, Job]
    ways: dict[Situation, set[Situation]]  # where each leads, by any command
    ways_of_workers: dict[Situation, set[Situation]]  # where each leads when no operator does anything
    events: set[type[e.JobEvent]]
    rows: set[Transition]


def situation(job: Job) -> Situation:
    steps = tuple((job.steps[n].status, job.steps[n].tries) for n in range(job.total))
    policy = job.started.policy if job.started else None
    return Situation(
        policy, job.status, job.worker is not None, job.planned, job.prepared, job.has_cleanup, steps
    )  # the fields in their order


def from_operators(job: Job) -> Iterator[c.JobCommand]:
    if job.status is None:
        for policy in POLICIES:
            yield c.StartJob(namespace="Default", job_type="self-test", request={}, policy=policy)
        return
    yield c.ResumeJob()
    yield c.RemoveJob()
    for alive in (False, True):
        yield c.StopJob(worker_alive=alive)
        yield c.CancelJob(worker_alive=alive)


def from_workers(job: Job) -> Iterator[c.JobCommand]:
    claim = job.claim
    yield c.ClaimJob(worker="w")
    yield c.ClaimJob(worker="w", has_cleanup=True)
    yield c.PlanSteps(claim=claim, first=job.total, steps=PLAN[job.total :])
    yield c.PrepareJob(claim=claim)
    yield c.Advance(claim=claim)
    yield c.CompleteJob(claim=claim)
    yield c.FailJob(claim=claim, error=BOOM)
    yield c.ReleaseJob(claim=claim)
    for n in range(job.total):
        attempt = job.steps[n].attempt
        yield c.StartStep(claim=claim, step=n)
        yield report_progress(n, e.Progress(done=1), attempt, claim)
        yield report_success(n, attempt, claim)
        yield report_failure(n, attempt, claim)
        yield report_stop(n, attempt, claim)
        yield c.InterruptStep(claim=claim, step=n, attempt=attempt, cause="killed")


@cache
def walked() -> Walked:
    """Breadth first from the job that does not exist yet, by every command there is."""
    beginning = Job(JOB_ID)
    walk = Walked({situation(beginning): beginning}, {}, {}, set(), set())
    front = [beginning]
    while front:
        job = front.pop(0)
        here = situation(job)
        walk.ways[here] = set(successors(walk, front, job, from_operators(job)))
        walk.ways_of_workers[here] = set(successors(walk, front, job, from_workers(job)))
        walk.ways[here] |= walk.ways_of_workers[here]
    return walk


def successors(walk: Walked, front: list[Job], job: Job, commands: Iterator[c.JobCommand]) -> Iterator[Situation]:
    for command in commands:
        try:
            events = decide(job, command)
        except JobError:
            continue
        after = job
        for event in events:
            walk.events.add(type(event))
            row = after.transition(type(event))
            assert row is not None
            walk.rows.add(row)
            after = later(after, event)
        there = situation(after)
        if there not in walk.jobs:
            walk.jobs[there] = after
            assert len(walk.jobs) <= SITUATIONS_MAX
            front.append(after)
        yield there


def from_where_one_gets_to(goals: set[Situation], ways: dict[Situation, set[Situation]]) -> set[Situation]:
    """The situations from which some way leads to a goal."""
    found = set(goals)
    while more := {here for here, leads in ways.items() if here not in found and leads & found}:
        found |= more
    return found


def test_every_status_of_a_job_is_reached() -> None:
    assert {here.status for here in walked().jobs} == {None, *JobStatus}


def test_every_status_of_a_step_is_reached() -> None:
    assert {status for here in walked().jobs for status, _ in here.steps} == set(StepStatus)


def test_every_event_happens() -> None:
    assert walked().events == set(TRANSITIONS)


def test_every_row_of_the_table_is_taken() -> None:
    assert {row for rows in TRANSITIONS.values() for row in rows} == walked().rows


def test_from_everywhere_a_job_can_come_to_an_end_and_be_removed() -> None:
    removed = {here for here in walked().jobs if here.status is S.REMOVED}

    assert from_where_one_gets_to(removed, walked().ways) == set(walked().jobs)


def test_a_live_job_comes_to_rest_by_its_workers_alone() -> None:
    live = {here for here in walked().jobs if here.status not in (None, *AT_REST)}
    at_rest = set(walked().jobs) - live

    assert live <= from_where_one_gets_to(at_rest, walked().ways_of_workers)


def test_a_job_that_was_not_given_up_can_still_complete() -> None:
    completed = {here for here in walked().jobs if here.status in COMPLETED}
    given_up = {S.CANCELLING, S.CANCELLED, S.REMOVED}
    not_given_up = {here for here in walked().jobs if here.status not in given_up}

    assert not_given_up <= from_where_one_gets_to(completed, walked().ways)


@pytest.mark.parametrize("status", [S.PENDING, S.PREPARING, *sorted(AT_REST)])
def test_no_step_runs_where_the_job_does_not(status: JobStatus) -> None:
    assert all(job.in_flight == 0 for here, job in walked().jobs.items() if here.status is status)


def test_a_worker_has_the_job_only_while_it_lives() -> None:
    for here in walked().jobs:
        if here.status in AT_REST or here.status in (None, S.PENDING):
            assert not here.has_worker
            assert not here.prepared


def test_steps_run_only_in_a_job_that_was_prepared() -> None:
    for here, job in walked().jobs.items():
        if job.in_flight:
            assert here.prepared


def test_what_a_command_leads_to_does_not_depend_on_what_is_not_in_the_situation() -> None:
    for here, job in walked().jobs.items():
        assert situation(job) == here
        assert {status: job.count(status) for status in StepStatus} == {
            status: sum(1 for step in job.steps.values() if step.status is status) for status in StepStatus
        }
