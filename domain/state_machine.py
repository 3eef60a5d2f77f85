"""The state machines of a job and of a step as data: for each event, where it may happen and leads to."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from milepost.domain import events as e


class JobStatus(StrEnum):
    PENDING = "Pending"  # accepted; no worker has it
    PREPARING = "Preparing"  # a worker plans its steps, or gets ready to go on
    RUNNING = "Running"  # steps run
    STOPPING = "Stopping"  # stop asked; running steps are reaching their checkpoints
    STOPPED = "Stopped"  # at rest, resumable
    CANCELLING = "Cancelling"  # given up; running steps end, the cleanup hook runs
    CANCELLED = "Cancelled"
    COMPLETED_SUCCESSFULLY = "CompletedSuccessfully"
    COMPLETED_WITH_FAILURES = "CompletedWithFailures"  # all ended, at least one failed
    FAILED = "Failed"  # the job itself could not go on
    REMOVED = "Removed"  # gone from the lists


class StepStatus(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    WAITING = "Waiting"  # between attempts
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"
    CANCELLED = "Cancelled"


class When(StrEnum):
    """What else must hold of the job for a transition to be the one taken."""

    ALWAYS = ""
    UNPLANNED = "its plan is not whole yet"
    PREPARED = "its steps were prepared"
    UNPREPARED = "its steps were not yet prepared"
    NONE_FAILED = "no step failed"
    SOME_FAILED = "a step failed"


class Transition(NamedTuple):
    source: JobStatus | None  # None: before the job exists
    target: JobStatus
    when: When = When.ALWAYS


class StepTransition(NamedTuple):
    sources: tuple[StepStatus, ...]
    target: StepStatus


S = JobStatus
_STEPS_REPORT = (
    Transition(S.RUNNING, S.RUNNING),
    Transition(S.STOPPING, S.STOPPING),
    Transition(S.CANCELLING, S.CANCELLING),
)

TRANSITIONS: Final[Mapping[type[e.JobEvent], tuple[Transition, ...]]] = {
    e.JobStarted: (Transition(None, S.PENDING),),
    # From Pending a first claim; from the others a takeover of a dead worker's job.
    e.JobClaimed: (
        Transition(S.PENDING, S.PREPARING),
        Transition(S.PREPARING, S.PREPARING),
        Transition(S.RUNNING, S.PREPARING),
        Transition(S.STOPPING, S.STOPPING),
        Transition(S.CANCELLING, S.CANCELLING),
    ),
    # A plan is made once: a job that goes on keeps the steps it has.
    e.StepsPlanned: (Transition(S.PREPARING, S.PREPARING, When.UNPLANNED),),
    # Each claim ends its preparation with this, also after a resume or a takeover.
    e.JobPrepared: (Transition(S.PREPARING, S.RUNNING),),
    e.StepStarted: (Transition(S.RUNNING, S.RUNNING),),
    e.StepProgressed: _STEPS_REPORT,
    e.StepSucceeded: _STEPS_REPORT,
    e.StepFailed: _STEPS_REPORT,
    e.StepStopped: _STEPS_REPORT,
    # Also recorded by whoever takes over or ends a dead worker's job.
    e.StepInterrupted: _STEPS_REPORT,
    e.JobStopRequested: (
        Transition(S.PENDING, S.STOPPING),
        Transition(S.PREPARING, S.STOPPING),
        Transition(S.RUNNING, S.STOPPING),
    ),
    e.JobStopped: (Transition(S.STOPPING, S.STOPPED),),
    e.JobResumed: (
        Transition(S.STOPPING, S.RUNNING, When.PREPARED),  # the stop is withdrawn
        Transition(S.STOPPING, S.PREPARING, When.UNPREPARED),
        Transition(S.STOPPED, S.PENDING),
        Transition(S.COMPLETED_WITH_FAILURES, S.PENDING),  # its failed steps run again
        Transition(S.FAILED, S.PENDING),
    ),
    # The worker gave the job back in good order; the next one goes on.
    e.JobReleased: (
        Transition(S.PREPARING, S.PENDING),
        Transition(S.RUNNING, S.PENDING),
        Transition(S.CANCELLING, S.CANCELLING),
    ),
    e.JobCancelRequested: (
        Transition(S.PENDING, S.CANCELLING),
        Transition(S.PREPARING, S.CANCELLING),
        Transition(S.RUNNING, S.CANCELLING),
        Transition(S.STOPPING, S.CANCELLING),
        Transition(S.STOPPED, S.CANCELLING),
    ),
    # A cleanup hook that raises does not bring the job back: its error is in the event.
    e.JobCancelled: (Transition(S.CANCELLING, S.CANCELLED),),
    e.JobCompleted: (
        Transition(S.RUNNING, S.COMPLETED_SUCCESSFULLY, When.NONE_FAILED),
        Transition(S.RUNNING, S.COMPLETED_WITH_FAILURES, When.SOME_FAILED),
        # The last step ended before the stop could reach it.
        Transition(S.STOPPING, S.COMPLETED_SUCCESSFULLY, When.NONE_FAILED),
        Transition(S.STOPPING, S.COMPLETED_WITH_FAILURES, When.SOME_FAILED),
    ),
    e.JobFailed: (
        Transition(S.PREPARING, S.FAILED),
        Transition(S.RUNNING, S.FAILED),
        Transition(S.STOPPING, S.FAILED),
    ),
    e.JobRemoved: (
        Transition(S.STOPPED, S.REMOVED),
        Transition(S.CANCELLED, S.REMOVED),
        Transition(S.COMPLETED_SUCCESSFULLY, S.REMOVED),
        Transition(S.COMPLETED_WITH_FAILURES, S.REMOVED),
        Transition(S.FAILED, S.REMOVED),
    ),
}

_T = StepStatus

# What an event does to the step it names; the last two, to all steps that stand at a source.
STEP_TRANSITIONS: Final[Mapping[type[e.JobEvent], tuple[StepTransition, ...]]] = {
    e.StepStarted: (StepTransition((_T.PENDING, _T.WAITING), _T.RUNNING),),
    e.StepProgressed: (StepTransition((_T.RUNNING,), _T.RUNNING),),
    e.StepSucceeded: (StepTransition((_T.RUNNING,), _T.SUCCEEDED),),
    # Waiting where another attempt is left to it.
    e.StepFailed: (StepTransition((_T.RUNNING,), _T.WAITING), StepTransition((_T.RUNNING,), _T.FAILED)),
    e.StepStopped: (StepTransition((_T.RUNNING,), _T.STOPPED),),
    # Its checkpoint is kept; the next attempt goes on from there.
    e.StepInterrupted: (StepTransition((_T.RUNNING,), _T.PENDING),),
    # Only what must: which of these, depends on what the job is resumed from (RUN_AGAIN).
    e.JobResumed: (StepTransition((_T.WAITING, _T.STOPPED, _T.FAILED), _T.PENDING),),
    e.JobCancelled: (StepTransition((_T.PENDING, _T.WAITING, _T.STOPPED), _T.CANCELLED),),
}

# The steps that a resume sends back to the start line, by the status it is resumed from.
RUN_AGAIN: Final[Mapping[JobStatus, tuple[StepStatus, ...]]] = {
    S.STOPPING: (_T.STOPPED,),  # withdrawn: as if it had never been asked, so waiting steps go on waiting
    S.STOPPED: (_T.WAITING, _T.STOPPED),  # failed steps stay failed until the others have ended
    S.COMPLETED_WITH_FAILURES: (_T.FAILED,),
    S.FAILED: (_T.WAITING, _T.STOPPED, _T.FAILED),
}

WITH_WORKER: Final = frozenset({S.PREPARING, S.RUNNING, S.STOPPING, S.CANCELLING})
COMPLETED: Final = frozenset({S.COMPLETED_SUCCESSFULLY, S.COMPLETED_WITH_FAILURES})
AT_REST: Final = COMPLETED | {S.STOPPED, S.CANCELLED, S.FAILED, S.REMOVED}
LIVE: Final = frozenset(S) - AT_REST

_COMMANDS: Final[Mapping[str, type[e.JobEvent]]] = {
    "stop": e.JobStopRequested,
    "resume": e.JobResumed,
    "cancel": e.JobCancelRequested,
    "remove": e.JobRemoved,
}


def possible(status: JobStatus) -> tuple[str, ...]:
    """The operator's commands that would change a job of this status."""
    return tuple(name for name, event in _COMMANDS.items() if any(row.source is status for row in TRANSITIONS[event]))
