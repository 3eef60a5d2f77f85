"""Any sequence of commands, reports, crashes and lost leases, in any order: what must always hold, holds."""

import math
from itertools import pairwise
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.envelope import RecordedEvent
from milepost.domain.errors import ClaimSuperseded, JobError
from milepost.domain.job import Job, evolve, replay
from milepost.domain.state_machine import AT_REST, JobStatus, StepStatus
from tests.domain.givens import BOOM, JOB_ID, recorded
from tests.length import FULL

S = JobStatus
TERMINAL: Final[dict[JobStatus | None, set[type[e.JobEvent]]]] = {
    S.COMPLETED_SUCCESSFULLY: {e.JobRemoved},
    S.COMPLETED_WITH_FAILURES: {e.JobResumed, e.JobRemoved},
    S.FAILED: {e.JobResumed, e.JobRemoved},
    S.CANCELLED: {e.JobRemoved},
    S.REMOVED: set(),
}

steps = st.integers(0, 4)
seldom = st.sampled_from((False, False, False, False, False, True))
checkpoints = st.builds(e.Progress, done=st.integers(0, 9).map(float), checkpoint=st.integers(0, 99))
reaching = checkpoints | st.builds(e.Progress, done=st.integers(0, 9).map(float))
progress = st.none() | reaching
policies = st.builds(
    e.Policy,
    attempts=st.integers(1, 3),
    max_failures=st.none() | st.sampled_from([0, 1, 0.5]),
    on_failure=st.sampled_from(["continue", "continue", "halt"]),
)


def every_report(claim: int, step: int, attempt: int, reached: e.Progress | None) -> tuple[c.StepReport, ...]:
    return (
        c.ReportSuccess(claim=claim, step=step, attempt=attempt, seconds=1.0, progress=reached),
        c.ReportFailure(claim=claim, step=step, attempt=attempt, seconds=1.0, error=BOOM, progress=reached),
        c.ReportProgress(claim=claim, step=step, attempt=attempt, progress=reached or e.Progress()),
        c.ReportStop(claim=claim, step=step, attempt=attempt, seconds=1.0, progress=reached),
        c.InterruptStep(claim=claim, step=step, attempt=attempt, cause="killed", progress=reached),
    )


def anything(claim: int, step: int, attempt: int) -> tuple[c.JobCommand, ...]:
    return (
        c.StartJob(namespace="Default", job_type="self-test", request={}),
        c.StopJob(worker_alive=True),
        c.ResumeJob(),
        c.PlanSteps(claim=claim, first=step, steps=(e.PlannedStep(name=f"s{step}"),)),
        c.PrepareJob(claim=claim),
        c.StartStep(claim=claim, step=step),
        *every_report(claim, step, attempt, None),
        c.Advance(claim=claim),
        c.CompleteJob(claim=claim),
    )


class JobMachine(RuleBasedStateMachine):
    """Drives one job as its operators, its workers and their crashes could."""

    def __init__(self) -> None:
        super().__init__()
        self.job = Job(JOB_ID)
        self.history: list[RecordedEvent] = []
        self.reports: list[c.StepReport] = []  # all that were ever sent: they may arrive again, or late
        self.checkpoints: dict[int, Any] = {}  # the newest that was acknowledged, by step
        self.succeeded: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.over: set[tuple[int, int]] = set()  # (step, attempt) whose outcome was recorded

    # -- what happens

    @initialize(policy=policies)
    def start(self, policy: e.Policy) -> None:
        self.obey(c.StartJob(namespace="Default", job_type="self-test", request={}, policy=policy))

    @rule(worker_alive=st.booleans())
    @precondition(lambda self: self.job.worker and self.may(e.JobStopRequested, e.JobStopped))
    def stop(self, worker_alive: bool) -> None:
        self.ask(c.StopJob(worker_alive=worker_alive))

    @rule()
    @precondition(lambda self: self.may(e.JobResumed))
    def resume(self) -> None:
        self.ask(c.ResumeJob())

    @rule(worker_alive=st.booleans(), really=seldom)
    @precondition(lambda self: self.may(e.JobCancelRequested, e.JobCancelled))
    def cancel(self, worker_alive: bool, really: bool) -> None:
        if really:
            self.ask(c.CancelJob(worker_alive=worker_alive))

    @rule(really=seldom)
    @precondition(lambda self: self.may(e.JobRemoved))
    def remove(self, really: bool) -> None:
        if really:
            self.obey(c.RemoveJob())

    @rule(reached=st.dictionaries(steps, reaching, max_size=2), has_cleanup=st.booleans(), really=seldom)
    @precondition(lambda self: self.may(e.JobClaimed))
    def claim(self, reached: dict[int, e.Progress], has_cleanup: bool, really: bool) -> None:
        """By the first worker, or by the next one after a crash or a lost lease."""
        if really or self.job.worker is None:
            self.obey(c.ClaimJob(f"w{self.job.claim + 1}", reached, has_cleanup))

    @rule(count=st.integers(0, 3))
    @precondition(lambda self: self.may(e.StepsPlanned))
    def plan(self, count: int) -> None:
        planned = tuple(e.PlannedStep(name=f"s{n}") for n in range(self.job.total, min(self.job.total + count, 5)))
        self.obey(c.PlanSteps(claim=self.job.claim, first=self.job.total, steps=planned))

    @rule()
    @precondition(lambda self: self.may(e.JobPrepared))
    def prepare(self) -> None:
        self.obey(c.PrepareJob(claim=self.job.claim))

    @rule()
    @precondition(lambda self: self.job.status in (S.PENDING, S.PREPARING))
    def get_going(self) -> None:
        """All that it takes until steps may start, so that stories get to where steps run."""
        if self.job.status is S.PENDING:
            self.obey(c.ClaimJob(worker=f"w{self.job.claim + 1}"))
        if not self.job.planned and self.job.total < 3:
            self.plan(3)
        self.obey(c.PrepareJob(claim=self.job.claim))

    @rule(step=steps)
    @precondition(lambda self: self.may(e.StepStarted) and self.job.total > 0)
    def start_step(self, step: int) -> None:
        self.obey(c.StartStep(claim=self.job.claim, step=step % self.job.total), repeat=True)

    @rule(data=st.data(), reached=progress)
    @precondition(lambda self: self.job.in_flight)
    def report(self, data: st.DataObject, reached: e.Progress | None) -> None:
        report = data.draw(st.sampled_from(self.reports_of(data.draw(st.sampled_from(self.running())), reached)))
        self.reports.append(report)
        if not data.draw(seldom):  # else it is on its way, and arrives late
            self.obey(report)

    @rule(data=st.data())
    @precondition(lambda self: self.reports)
    def report_again(self, data: st.DataObject) -> None:
        """A report arrives twice, or late, or from a worker that lost its claim."""
        report = data.draw(st.sampled_from(self.reports))
        superseded = report.claim != self.job.claim or self.job.worker is None
        over = (report.step, report.attempt) in self.over
        before = len(self.history)

        refused = self.obey(report)

        assert isinstance(refused, ClaimSuperseded) == superseded
        if over or superseded:
            assert len(self.history) == before

    @rule(data=st.data())
    @precondition(lambda self: self.may(e.StepStarted))
    def work(self, data: st.DataObject) -> None:
        """All steps that may run do, one after the other, as a worker would have them."""
        for step in sorted(self.job.steps):
            self.obey(c.StartStep(claim=self.job.claim, step=step))
            if self.job.steps[step].status is StepStatus.RUNNING and not data.draw(seldom):
                self.obey(data.draw(st.sampled_from(self.reports_of(step, None)[:3])))

    @rule(reached=progress)
    @precondition(lambda self: self.job.in_flight)
    def come_to_rest(self, reached: e.Progress | None) -> None:
        """The running steps are asked to stop, and do, the first one last."""
        if self.job.status is S.RUNNING:
            self.ask(c.StopJob(worker_alive=True))
        for step in reversed(self.running()):
            self.obey(self.reports_of(step, reached)[3])
        self.obey(c.Advance(claim=self.job.claim))

    @rule()
    @precondition(lambda self: self.job.worker)
    def advance(self) -> None:
        self.obey(c.Advance(claim=self.job.claim))

    @rule()
    @precondition(lambda self: self.job.worker and self.job.all_ended)
    def complete(self) -> None:
        self.obey(c.CompleteJob(claim=self.job.claim))

    @rule(really=seldom)
    @precondition(lambda self: self.may(e.JobFailed))
    def fail(self, really: bool) -> None:
        if really:
            self.obey(c.FailJob(claim=self.job.claim, error=BOOM))

    @rule(really=seldom)
    @precondition(lambda self: self.job.worker)
    def release(self, really: bool) -> None:
        if really:
            self.obey(c.ReleaseJob(claim=self.job.claim))

    @rule(data=st.data(), really=seldom)
    def say_anything(self, data: st.DataObject, really: bool) -> None:
        """Whatever there is to say, whether it makes sense now or not."""
        if really:
            claim, step, attempt = (data.draw(st.integers(0, most)) for most in (3, 6, 3))
            self.obey(data.draw(st.sampled_from(anything(claim, step, attempt))))

    def may(self, *events: type[e.JobEvent]) -> bool:
        return any(self.job.transition(event) for event in events)

    def running(self) -> list[int]:
        return sorted(n for n, step in self.job.steps.items() if step.status is StepStatus.RUNNING)

    def reports_of(self, step: int, reached: e.Progress | None) -> tuple[c.StepReport, ...]:
        return every_report(self.job.claim, step, self.job.steps[step].attempt, reached)

    # -- how it is obeyed

    def ask(self, command: c.OperatorCommand) -> None:
        """An operator's wish: once it is so, to ask for it again adds nothing."""
        self.obey(command, repeat=True)

    def obey(self, command: c.JobCommand, repeat: bool = False) -> JobError | None:
        before = self.job
        try:
            events = decide(self.job, command)
        except JobError as refusal:
            assert self.job == before == replay(JOB_ID, self.history)
            return refusal
        for event in events:
            self.see(event)
        if repeat:
            assert decide(self.job, command) == []
        return None

    def see(self, event: e.JobEvent) -> None:
        """Fold it, and hold it against all that happened before."""
        self.must_be_allowed(event)
        if isinstance(event, e.StepEvent):
            self.see_step(event)
        self.history.append(recorded(self.job, event))
        self.job = evolve(self.job, self.history[-1])

    def see_step(self, event: e.StepEvent) -> None:
        if isinstance(event, e.StepStarted):
            assert event.step not in self.succeeded
            assert event.attempt > self.attempts.get(event.step, 0)
            self.attempts[event.step] = event.attempt
            return
        if not isinstance(event, e.StepProgressed):
            assert (event.step, event.attempt) not in self.over
            self.over.add((event.step, event.attempt))
        if isinstance(event, e.StepSucceeded):
            self.succeeded.add(event.step)
        if event.progress is not None and event.progress.checkpoint is not None:
            self.checkpoints[event.step] = event.progress.checkpoint

    def must_be_allowed(self, event: e.JobEvent) -> None:
        status = self.job.status
        assert status not in TERMINAL or type(event) in TERMINAL[status]
        if isinstance(event, e.JobStopped | e.JobCancelled | e.JobCompleted | e.JobFailed | e.JobReleased):
            assert self.job.in_flight == 0

    # -- what must always hold

    @invariant()
    def the_history_replays_to_the_job_that_was_lived(self) -> None:
        assert replay(JOB_ID, self.history) == self.job

    @invariant()
    def versions_have_no_gaps(self) -> None:
        assert all(after.version == before.version + 1 for before, after in pairwise(self.history))
        assert self.job.version == len(self.history)

    @invariant()
    def counters_equal_the_steps(self) -> None:
        statuses = [step.status for step in self.job.steps.values()]
        assert {status: self.job.count(status) for status in StepStatus} == {
            status: statuses.count(status) for status in StepStatus
        }
        assert sorted(self.job.steps) == list(range(self.job.total))

    @invariant()
    def items_are_the_sum_of_what_is_done(self) -> None:
        assert math.isclose(self.job.items, sum(step.done for step in self.job.steps.values()))

    @invariant()
    def no_acknowledged_checkpoint_is_lost(self) -> None:
        for step, checkpoint in self.checkpoints.items():
            reached = self.job.steps[step].progress
            assert reached is not None
            assert reached.checkpoint == checkpoint

    @invariant()
    def what_succeeded_stays_so(self) -> None:
        assert all(self.job.steps[step].status is StepStatus.SUCCEEDED for step in self.succeeded)

    @invariant()
    def a_job_that_rests_has_no_worker_and_no_running_step(self) -> None:
        if self.job.status in AT_REST or self.job.status is S.PENDING:
            assert self.job.worker is None
            assert self.job.in_flight == 0

    @invariant()
    def a_completed_job_is_what_its_steps_say(self) -> None:
        if self.job.status is S.COMPLETED_SUCCESSFULLY:
            assert self.job.count(StepStatus.SUCCEEDED) == self.job.total
        if self.job.status is S.COMPLETED_WITH_FAILURES:
            assert self.job.count(StepStatus.FAILED) > 0
            assert self.job.unfinished == 0


TestJobMachine = JobMachine.TestCase
TestJobMachine.settings = settings(max_examples=150 if FULL else 60, stateful_step_count=60)
