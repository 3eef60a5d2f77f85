"""The shortest chain of events that explains a job's status: who asked for it, and what came of that."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.state_machine import JobStatus
from milepost.domain.value import value
from milepost.domain.why.seen import Failure, Seen

S = JobStatus
MOST_TAKEOVERS: Final = 3  # the newest; of more only the number is told
MOST_FAILURES: Final = 3
TOO_MANY: Final = "TooManyFailures"
_SETS_GOING: Final = (e.JobStarted, e.JobResumed)
_LETS_GO: Final = (e.JobReleased, e.JobStopped, e.JobCompleted, e.JobFailed, e.JobCancelled)
_LEFT_IN: Final[Mapping[type[e.JobEvent], JobStatus]] = {
    e.JobStopped: S.STOPPED,
    e.JobCancelled: S.CANCELLED,
    e.JobFailed: S.FAILED,
}


@value
class Link:
    """An event of the chain, or a failed attempt of a step.

    `lost_by`: the worker that had lost its lease on the job then. `interrupted`: the steps that it was at, or some.
    """

    recorded: RecordedEvent | None = None
    failure: Failure | None = None
    lost_by: str = ""
    interrupted: tuple[RecordedEvent, ...] = ()


@value
class Chain:
    """`takeovers` and `failures` are those that were left out, for there are too many."""

    links: tuple[Link, ...]
    takeovers: int = 0
    failures: int = 0


def chain(seen: Seen) -> Chain:
    """What explains the status, oldest first."""
    match seen.status:
        case S.PENDING | S.PREPARING | S.RUNNING:
            return _under_way(seen)
        case S.STOPPING | S.STOPPED:
            return _asked_for(seen, e.JobStopRequested)
        case S.CANCELLING | S.CANCELLED:
            return _asked_for(seen, e.JobCancelRequested)
        case S.COMPLETED_SUCCESSFULLY:
            return Chain((*_root(seen), *_last(seen)))
        case S.COMPLETED_WITH_FAILURES:
            return _failed_steps(seen)
        case S.FAILED:
            return _failed(seen)
        case S.REMOVED:
            before = chain(_before_removal(seen))
            return replace(before, links=(*before.links, *_last(seen)))


def job_error(seen: Seen) -> e.ErrorDetail | None:
    """What failed the job itself, in the newest event that says so."""
    errors = [each.event.error for each in seen.story if isinstance(each.event, e.JobFailed)]
    return errors[-1] if errors else None


def lost_by(story: tuple[RecordedEvent, ...], at: int) -> str:
    """The worker that had the job when this event happened without it; nobody where it had let go of it."""
    for each in reversed(story[:at]):
        if isinstance(each.event, e.JobClaimed):
            return each.event.worker
        if isinstance(each.event, _LETS_GO):
            return ""
    return ""


def _under_way(seen: Seen) -> Chain:
    """Who set it going, who gave it back, and who has taken it over or from the queue since."""
    story = seen.story
    begin, released = _newest(story, *_SETS_GOING), _newest(story, e.JobReleased)
    claims = [at for at in range(begin + 1, len(story)) if isinstance(story[at].event, e.JobClaimed)]
    holds = seen.status is not S.PENDING
    links = _root(seen)
    if released > max([begin, *(claims[:-1] if holds else claims)]):  # nobody has had it since but who has it now
        links = (*links, Link(story[released]))
    takeovers = [link for at in claims if (link := _claim(story, at)).lost_by and at > released]
    links = (*links, *takeovers[-MOST_TAKEOVERS:])
    if holds and claims and not _claim(story, claims[-1]).lost_by:
        links = (*links, Link(story[claims[-1]]))
    if seen.status is S.RUNNING and not seen.running:
        links = (*links, *_retries(seen))
    return Chain(links, takeovers=max(0, len(takeovers) - MOST_TAKEOVERS))


def _retries(seen: Seen) -> tuple[Link, ...]:
    return tuple(Link(failure=each) for each in seen.failures if each.retry_at)[:MOST_FAILURES]


def _root(seen: Seen) -> tuple[Link, ...]:
    """The word that set it going; a stop that was withdrawn comes before that."""
    begin = _newest(seen.story, *_SETS_GOING)
    if begin < 0:
        return ()
    withdrawn = begin - 1 if isinstance(seen.story[begin].event, e.JobResumed) else -1
    if withdrawn >= 0 and isinstance(seen.story[withdrawn].event, e.JobStopRequested):
        return Link(seen.story[withdrawn]), Link(seen.story[begin])
    return (Link(seen.story[begin]),)


def _asked_for(seen: Seen, request: type[e.JobEvent]) -> Chain:
    """Who asked, which workers were lost on the way, and the end where it has come."""
    begin, story = _newest(seen.story, request), seen.story
    after = range(begin + 1, len(story))
    claims = [_claim(story, at) for at in after if isinstance(story[at].event, e.JobClaimed)]
    ends = [at for at in after if isinstance(story[at].event, e.JobStopped | e.JobCancelled)]
    links = (*((Link(story[begin]),) if begin >= 0 else ()), *claims[-MOST_TAKEOVERS:])
    if ends:
        links = (*links, _end(story, begin, ends[-1]))
    return Chain(links, takeovers=max(0, len(claims) - MOST_TAKEOVERS))


def _end(story: tuple[RecordedEvent, ...], begin: int, at: int) -> Link:
    """Where its worker says it, all is in order; where somebody else does, that worker was gone."""
    holder = lost_by(story, at)
    lost = holder if holder != story[at].origin.actor else ""
    return Link(story[at], lost_by=lost, interrupted=_interrupted(story, begin, at))


def _failed_steps(seen: Seen) -> Chain:
    links = tuple(Link(failure=each) for each in seen.failures if each.retry_at is None)[-MOST_FAILURES:]
    return Chain((*links, *_last(seen)), failures=max(0, seen.failed - len(links)))


def _failed(seen: Seen) -> Chain:
    """Too many failed steps, or the job itself: then its own error is all there is to say."""
    error = job_error(seen)
    return _failed_steps(seen) if error is not None and error.type == TOO_MANY else Chain(_last(seen))


def _before_removal(seen: Seen) -> Seen:
    story = seen.story[:-1]
    rested = next((type(each.event) for each in reversed(story) if isinstance(each.event, _LETS_GO)), e.JobStopped)
    completed = S.COMPLETED_WITH_FAILURES if seen.failed else S.COMPLETED_SUCCESSFULLY
    return replace(seen, status=_LEFT_IN.get(rested, completed), story=story)


def _last(seen: Seen) -> tuple[Link, ...]:
    whole = [each for each in seen.story if not isinstance(each.event, e.StepEvent)]
    return (Link(whole[-1]),) if whole else ()


def _claim(story: tuple[RecordedEvent, ...], at: int) -> Link:
    before = max((n for n in range(at) if not isinstance(story[n].event, e.StepEvent)), default=-1)
    return Link(story[at], lost_by=lost_by(story, at), interrupted=_interrupted(story, before, at))


def _interrupted(story: tuple[RecordedEvent, ...], begin: int, end: int) -> tuple[RecordedEvent, ...]:
    return tuple(each for each in story[begin + 1 : end] if isinstance(each.event, e.StepInterrupted | e.StepFailed))


def _newest(story: tuple[RecordedEvent, ...], *kinds: type[e.JobEvent]) -> int:
    return next((at for at in reversed(range(len(story))) if isinstance(story[at].event, kinds)), -1)
