"""Why a job is as it is, as a document."""

from dataclasses import dataclass

from milepost.interfaces.documents import Document


@dataclass(frozen=True, slots=True)
class WhyLink(Document):
    """An event of the chain that explains a job."""

    text: str
    """Who did what, and why, in words."""
    event: str
    occurred: str
    version: int | None
    """Its place in the job's history; null where that could not be found."""
    actor: str
    source: str
    reason: str = ""
    step: str | None = None
    """The name of the step that it is about."""
    attempt: int | None = None
    error: str | None = None
    lease_lost_by: str | None = None
    """The worker that had the job before and had lost its lease."""


@dataclass(frozen=True, slots=True)
class WhyMove(Document):
    """What would move a job on."""

    text: str
    what: str
    """One of: worker, other-job, takeover, by-itself, retry, checkpoint, step, resume, stop, nothing."""
    at: str | None = None
    """When it comes about by itself, where that is known."""
    job: str | None = None
    """The other job whose end it waits for."""


@dataclass(frozen=True, slots=True)
class WhyPace(Document):
    """Whether a job that runs advances."""

    text: str
    verdict: str
    """One of: advances, slower, stalled, unknown."""
    unit: str
    """Of the rates, which are per second."""
    now: float | None
    own: float | None
    """Since its present worker began."""
    of_type: float | None
    """Of the newest jobs of its type that completed."""
    silent_seconds: float
    """Since it last got further."""
    usual_seconds: float | None
    """Between two reports of progress, as a median; where it has made too few, for a step of its type."""
    longest_seconds: float | None


@dataclass(frozen=True, slots=True)
class WhyDocument(Document):
    """Why a job is as it is: a sentence, the events that explain it, what would move it on."""

    id: str
    type: str
    status: str
    version: int
    at: str
    """The moment of which it tells."""
    because: str
    """One of: waits, waits-for-job, worker-lost, worker-silent, prepares, runs, retries, stalled, comes-to-rest,
    stopped, cancelled, completed, steps-failed, too-many-failed, failed, removed."""
    sentence: str
    chain: list[WhyLink]
    """The shortest one, oldest first."""
    left_out: str
    """Of what there is too much to be told."""
    moves: list[WhyMove]
    pace: WhyPace | None
    """null where it does not run."""
