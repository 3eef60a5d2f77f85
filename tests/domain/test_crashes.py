"""A step under which worker after worker dies must come to an end, and one that gets further must not."""

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.job import Job
from milepost.domain.state_machine import StepStatus
from tests.domain.givens import after, later, running_with, started

POLICY = e.Policy(max_crashes=3)


def taken_over(job: Job, reached: e.Progress | None = None) -> Job:
    """The step started, its worker died, and the next one has the job and is ready to go on."""
    job = after(job, c.StartStep(claim=job.claim, step=0))
    job = after(job, c.ClaimJob(worker=f"w{job.claim + 1}", reached={0: reached} if reached else {}))
    return after(job, c.PrepareJob(claim=job.claim))


def test_a_step_survives_as_many_deaths_of_its_worker_as_its_policy_says() -> None:
    job = running_with(POLICY)

    for _ in range(3):
        job = taken_over(job)

    assert (job.steps[0].status, job.steps[0].crashes, job.steps[0].attempt) == (StepStatus.PENDING, 3, 3)


def test_with_one_death_more_the_step_has_failed_and_says_why() -> None:
    job = running_with(POLICY)

    for _ in range(4):
        job = taken_over(job)

    (_, error) = job.steps[0].errors[-1]
    assert job.steps[0].status is StepStatus.FAILED
    assert error.type == "LeaseLost"
    assert error.message == "its worker lost its lease 4 times while it ran, with no new checkpoint in between"


def test_a_step_that_gets_further_each_time_may_lose_any_number_of_workers() -> None:
    job = running_with(POLICY)

    for done in range(1, 20):
        job = taken_over(job, reached=e.Progress(done=done, checkpoint=done))

    assert (job.steps[0].status, job.steps[0].crashes) == (StepStatus.PENDING, 0)


def test_a_new_checkpoint_that_was_reported_counts_as_getting_further() -> None:
    job = running_with(POLICY)

    for done in range(1, 11):
        job = reporting(job, e.Progress(done=done, checkpoint=done))

    assert job.steps[0].status is StepStatus.PENDING


def test_progress_without_a_checkpoint_does_not_outlive_its_attempt_and_so_is_not_getting_further() -> None:
    job = running_with(POLICY)

    for done in (3, 1, 2, 4):
        job = reporting(job, e.Progress(done=done))

    assert job.steps[0].status is StepStatus.FAILED


def reporting(job: Job, progress: e.Progress) -> Job:
    """The step started and reported, its worker was lost, and the next one is ready to go on."""
    job = after(job, c.StartStep(claim=job.claim, step=0))
    job = after(job, c.ReportProgress(job.claim, 0, job.steps[0].attempt, progress))
    job = after(job, c.ClaimJob(worker=f"w{job.claim + 1}"))
    return after(job, c.PrepareJob(claim=job.claim))


def test_a_hand_back_is_not_a_death() -> None:
    job = later(running_with(POLICY), started(0))

    released = after(job, c.ReleaseJob(claim=1))

    assert (released.steps[0].status, released.steps[0].crashes) == (StepStatus.PENDING, 0)


def test_a_resume_gives_a_deadly_step_another_chance() -> None:
    job = running_with(POLICY, steps=1)
    for _ in range(4):
        job = taken_over(job)
    job = after(job, c.CompleteJob(claim=job.claim))

    resumed = after(job, c.ResumeJob())

    assert (resumed.steps[0].status, resumed.steps[0].crashes) == (StepStatus.PENDING, 0)
