"""Stories that golden files are written from: what is asked of a job, by whom, in an order that makes every event."""

from typing import Final

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.envelope import Origin

Told = tuple[Origin, c.JobCommand]

ADA: Final = Origin("ada@engine", "cli", 'before the "deploy"', "c-1")
EVA: Final = Origin("eva", "http")
ONE: Final = Origin("host:1:ab", "worker", correlation_id="c-1")
TWO: Final = Origin("host:2:cd", "worker", correlation_id="c-2")
BOOM: Final = e.ErrorDetail(
    type="builtins.ValueError", message="boom: é\u2028🛫", traceback="Traceback …", causes=("KeyError: 'x'",), cut=True
)
FAR: Final = e.Progress(done=3.5, total=10, unit="rows", message="March", checkpoint={"row": 3, "seen": [None, "é"]})
FURTHER: Final = e.Progress(done=7, total=10, unit="rows", checkpoint=[7, {"of": 1e-9}])
STRICT: Final = e.Policy(
    attempts=2,
    backoff_seconds=2.0,
    backoff_factor=3.0,
    backoff_max_seconds=60.0,
    jitter=0.25,
    timeout_seconds=30.0,
    max_failures=0.9,
    on_failure="halt",
    max_crashes=2,
    max_parallel_steps=4,
)
PLAN: Final = (e.PlannedStep(name="step-1", arguments={"month": 1}), e.PlannedStep(name="step-2"))
BARE: Final = (EVA, c.StartJob("Default", "self-test", {"steps": 2}, policy=e.Policy(attempts=2)))
RUNS: Final[tuple[Told, ...]] = (
    (ONE, c.ClaimJob("host:1:ab")),
    (ONE, c.PlanSteps(1, 0, PLAN)),
    (ONE, c.PrepareJob(1)),
    (ONE, c.StartStep(1, 0)),
    (ONE, c.StartStep(1, 1)),
)

STORIES: Final[dict[str, tuple[Told, ...]]] = {
    # One step is tried twice in vain, a resume brings it to its end, and the job is removed.
    "failed-then-resumed": (
        (
            ADA,
            c.StartJob(
                "Tenant",
                "import",
                {"months": [1, 2], "nested": {"a": None, "b": 0.1}},
                details="two months",
                key="k",
                limit_key="lk",
                tags=("night", "eu"),
                policy=STRICT,
                queue="night",
                priority=5,
            ),
        ),
        *RUNS,
        (ONE, c.ReportProgress(1, 0, 1, FAR)),
        (ONE, c.ReportSuccess(1, 0, 1, 1.5, FURTHER)),
        (ONE, c.ReportFailure(1, 1, 1, 0.25, BOOM, 0.5, FAR)),
        (ONE, c.StartStep(1, 1)),
        (ONE, c.ReportFailure(1, 1, 2, 0.5, BOOM)),
        (ONE, c.Advance(1)),
        (ADA, c.ResumeJob()),
        (TWO, c.ClaimJob("host:2:cd")),
        (TWO, c.PrepareJob(2)),
        (TWO, c.StartStep(2, 1)),
        (TWO, c.ReportSuccess(2, 1, 3, 1e-9)),
        (TWO, c.CompleteJob(2)),
        (EVA, c.RemoveJob()),
    ),
    # A worker is lost under both steps; the one that takes over is stopped, resumed, and given up with a cleanup.
    "lost-stopped-cancelled": (
        BARE,
        *RUNS,
        (TWO, c.ClaimJob("host:2:cd", {0: FAR}, has_cleanup=True)),
        (TWO, c.PrepareJob(2)),
        (TWO, c.StartStep(2, 0)),
        (TWO, c.StartStep(2, 1)),
        (ADA, c.StopJob(worker_alive=True)),
        (TWO, c.ReportStop(2, 0, 2, 4.5, FURTHER)),
        (TWO, c.ReportStop(2, 1, 2, 4.5)),
        (TWO, c.Advance(2)),
        (ADA, c.ResumeJob()),
        (ONE, c.ClaimJob("host:1:ab", has_cleanup=True)),
        (ONE, c.PrepareJob(3)),
        (ONE, c.StartStep(3, 0)),
        (ADA, c.CancelJob(worker_alive=True)),
        (ONE, c.ReportStop(3, 0, 3, 0.5)),
        (ONE, c.Advance(3, cleanup_error=BOOM)),
    ),
    # Given back in good order, its stop withdrawn, one step interrupted, and some steps failed for good.
    "released-and-completed": (
        BARE,
        (ONE, c.ClaimJob("host:1:ab")),
        (ONE, c.ReleaseJob(1)),
        (TWO, c.ClaimJob("host:2:cd")),
        (TWO, c.PlanSteps(2, 0, PLAN[:1])),
        (TWO, c.PlanSteps(2, 1, PLAN[1:])),
        (TWO, c.PrepareJob(2)),
        (TWO, c.StartStep(2, 0)),
        (TWO, c.InterruptStep(2, 0, 1, "its process was killed", FAR)),
        (TWO, c.StartStep(2, 0)),
        (EVA, c.StopJob(worker_alive=True)),
        (EVA, c.ResumeJob()),
        (TWO, c.ReportSuccess(2, 0, 2, 1.0)),
        (TWO, c.StartStep(2, 1)),
        (TWO, c.ReportFailure(2, 1, 1, 1.0, BOOM)),
        (TWO, c.StartStep(2, 1)),
        (TWO, c.ReportFailure(2, 1, 2, 1.0, BOOM)),
        (TWO, c.CompleteJob(2)),
    ),
    "failed-as-a-whole": (BARE, (ONE, c.ClaimJob("host:1:ab")), (ONE, c.FailJob(1, BOOM))),
    "cancelled-before-any-worker": (BARE, (ADA, c.CancelJob(worker_alive=False))),
}
