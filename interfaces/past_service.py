"""Jobs as they were, from their histories: one, a list of them, and what changed between two moments."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from milepost.domain.job import Job, evolve
from milepost.infrastructure.event_store.job_not_found import JobPruned
from milepost.infrastructure.event_store.past import NotYet
from milepost.infrastructure.event_store.past_jobs import past_page, was_meant
from milepost.infrastructure.event_store.read_models import job_row, step_row
from milepost.interfaces.bootstrap import Application, JobFilter, Row
from milepost.interfaces.command_results import STEPS_SAID
from milepost.interfaces.comparing import compared
from milepost.interfaces.diff_documents import JobDiff, RunComparison
from milepost.interfaces.diffing import Deeds, difference
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.held_by import held_by
from milepost.interfaces.job_documents import JobDocument, StepDocument
from milepost.interfaces.past_steps import chosen_steps, running_steps
from milepost.interfaces.read_documents import as_of, job_document, step_document
from milepost.interfaces.service import JobList, Moment, StepsAsked

if TYPE_CHECKING:
    from milepost.domain.step import Step

CLOCKS_DIFFER: Final = timedelta(seconds=5)  # a caller's "now" may be ahead of ours


class PastService:
    """Of one namespace of an event store."""

    def __init__(self, app: Application, namespace: str) -> None:
        self._app, self._namespace = app, namespace

    def jobs(self, meant: JobFilter, at: datetime, *, limit: int, after: str | None, oldest_first: bool) -> JobList:
        """Those that there were then. Only what the page shows is folded, and of that only what has gone on since."""
        at = self._come(at)
        found: list[JobDocument] = []
        more = True
        while more and len(found) < limit:
            page = past_page(
                self._app.reading,
                self._namespace,
                meant,
                at,
                limit=limit - len(found),
                after=after,
                oldest_first=oldest_first,
            )
            changes = self._app.queries.status_changes([row["id"] for row in page.rows])
            listed = (self._listed(row, at, changes[row["id"]]) for row in page.rows)
            found += [job for job in listed if job is not None and was_meant(meant, job.status)]
            more, after = page.more, page.rows[-1]["id"] if page.rows else None
        return JobList(tuple(found), more)

    def _listed(self, row: Row, at: datetime, changes: Sequence[Row]) -> JobDocument | None:
        """None where it was pruned meanwhile."""
        store, job_id = self._app.store, UUID(row["id"])
        if not store.had_come_to(job_id, row["version"], at):
            try:
                job = store.as_of(job_id, at=at)
            except JobPruned:
                return None
            row = job_row(job)
        return job_document(row, at, changes=_until(row, changes), as_of=as_of(row["version"], at))

    def job(self, job_id: str, steps: StepsAsked, *, at: datetime | None, version: int | None) -> JobDocument:
        """One job as it was, with the steps that it had then."""
        if at is not None and version is not None:
            raise Told(INVALID, "A job is shown as of a time or of a version, not of both", "Leave out one of them")
        self._must_be_here(job_id)
        job, moment = self._at(job_id, version if at is None else at)
        return self._document(job, moment, steps)

    def _document(self, job: Job, at: datetime, asked: StepsAsked) -> JobDocument:
        row = job_row(job)
        changes = _until(row, self._app.queries.status_changes([row["id"]])[row["id"]])
        chosen, more = chosen_steps(job, asked)
        return job_document(
            row,
            at,
            changes=changes,
            held_by=held_by(
                row, changes, lambda: _documents(job, running_steps(job, STEPS_SAID)), lambda: job.has_cleanup
            ),
            steps=_documents(job, chosen) if asked.limit else None,
            next_steps_after=chosen[-1].index if more else None,
            as_of=as_of(job.version, at),
        )

    def diff(self, job_id: str, begin: Moment, end: Moment | None, *, steps: int) -> JobDiff:
        """What happened to a job between two moments, folded once."""
        self._must_be_here(job_id)
        before, began = self._at(job_id, begin)
        version, at = self._come_to(end)
        backwards = version < max(before.version, 1) if version is not None else at is not None and at < began
        if backwards and (before.version or at is None):
            raise Told(INVALID, "The second moment is before the first", "Give them the other way round")
        after, deeds = before, Deeds(before.status)
        for recorded in self._app.store.until(before, version=version, at=at):
            after = evolve(after, recorded)
            deeds.note(recorded, after.status)
        if after.version == 0:
            after = self._app.store.as_of(after.id, at=at)  # which says why there is nothing
        ended = at or (self._app.now() if version is None else self._when(after))
        return difference(before, began if before.version else None, after, ended, deeds, steps)

    def compare(self, job_id: str, other: str, *, steps: int, across_types: bool) -> RunComparison:
        """Two runs as they stand now."""
        queries = self._app.queries
        if job_id == other:
            raise Told(INVALID, "A job does not differ from itself", "Give two jobs, or two moments of one")
        rows = [queries.job(self._namespace, each) for each in (job_id, other)]
        if rows[0]["type"] != rows[1]["type"] and not across_types:
            what = f"They are of different types: {rows[0]['type']} and {rows[1]['type']}"
            raise Told(INVALID, what, "Give --across-types (acrossTypes) to compare them all the same")
        changes = queries.status_changes([job_id, other])
        one, two = ((row, changes[row["id"]], queries.steps(row["id"])) for row in rows)
        return compared(one, two, self._app.now(), steps)

    # -- moments

    def _at(self, job_id: str, moment: Moment | None) -> tuple[Job, datetime]:
        """The job then, and when that was."""
        version, at = self._come_to(moment)
        job = self._app.store.as_of(UUID(job_id), version=version, at=at)
        return job, at or self._when(job)

    def _come_to(self, moment: Moment | None) -> tuple[int | None, datetime | None]:
        """A version, or a time that has come. Raises NotYet."""
        return (None, self._come(moment)) if isinstance(moment, datetime) else (moment, None)

    def _when(self, job: Job) -> datetime:
        """When its newest event was recorded; now where there is none."""
        event = self._app.store.event(job.id, job.version)
        return self._app.now() if event is None else event.recorded_at

    def _come(self, at: datetime) -> datetime:
        """A time that has come. Raises NotYet."""
        now = self._app.now()
        if at > now + CLOCKS_DIFFER:
            raise NotYet(at, now)
        return min(at, now).astimezone(UTC)

    def _must_be_here(self, job_id: str) -> None:
        self._app.queries.job(self._namespace, job_id)


def _until(row: Row, changes: Sequence[Row]) -> list[Row]:
    return [change for change in changes if change["version"] <= row["version"]]


def _documents(job: Job, steps: "Sequence[Step]") -> list[StepDocument]:
    return [step_document(step_row(str(job.id), step), job.facts.job_type) for step in steps]
