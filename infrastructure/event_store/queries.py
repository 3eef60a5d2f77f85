"""What is known of jobs, read from the read models: lists by page, one job, its steps, why it waits."""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

import sqlalchemy as sa

from milepost.domain.why.waits import Waits, WaitsFor
from milepost.infrastructure.event_store import tombstones
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.job_filter import ALL_JOBS, JobFilter
from milepost.infrastructure.event_store.job_not_found import JobNotFound, JobPruned
from milepost.infrastructure.event_store.json_texts import json_texts
from milepost.infrastructure.event_store.lease_time import lease_holds, worker_lives
from milepost.infrastructure.event_store.opposition import rivals
from milepost.infrastructure.event_store.schema import jobs, leases, refusals, status_changes, steps, workers

Row = Mapping[str, Any]  # of a table, by column

SHORTEST_ID: Final = 13  # the time of a UUIDv7 to the millisecond: 019ab3c4-d5e6
MATCHES_SHOWN: Final = 10
ID_SLACK: Final = timedelta(minutes=1)  # an id is made a little before its job is recorded
REMOVED: Final = "Removed"
TAKEN_OVER: Final = "its worker does not answer; another takes it over when its lease has run out"
BUSY: Final = "every worker that knows its type is busy"
TO_BE_TAKEN: Final = "for a worker to take it"
PERHAPS_LIMITED: Final = f"{TO_BE_TAKEN}, or until fewer jobs of its type run, if they are limited"
LEFT_TO_WORKERS: Final = frozenset({BUSY, TO_BE_TAKEN, PERHAPS_LIMITED})  # nobody has to do anything about it
_HEX: Final = re.compile(r"[0-9a-f]{1,32}")


class InvalidJobId(Exception):
    """What was given is neither a job's id nor the beginning of one."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"'{text}' is not a job id, nor the beginning of one")


class AmbiguousJobId(Exception):
    """Several jobs have an id that begins so."""

    def __init__(self, prefix: str, matches: Sequence[str]) -> None:
        self.prefix, self.matches = prefix, tuple(matches)
        more = " and more" if len(matches) >= MATCHES_SHOWN else ""
        super().__init__(f"'{prefix}' is the beginning of several job ids: {', '.join(matches)}{more}")


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, and whether there are more behind the last."""

    rows: tuple[Row, ...]
    more: bool


class JobQueries:
    """The read side of one event store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- jobs

    def page(
        self,
        namespace: str,
        meant: JobFilter = ALL_JOBS,
        *,
        limit: int,
        after: str | None = None,
        oldest_first: bool = False,
    ) -> JobPage:
        """The jobs behind the one with the id `after`, newest first: ids are ordered by time."""
        chosen = sa.select(jobs).where(*_conditions(namespace, meant))
        if after is not None:
            chosen = chosen.where(jobs.c.id > after if oldest_first else jobs.c.id < after)
        chosen = chosen.order_by(jobs.c.id if oldest_first else jobs.c.id.desc()).limit(limit + 1)
        rows = self._rows(chosen)
        return JobPage(tuple(rows[:limit]), len(rows) > limit)

    def ids(self, namespace: str, meant: JobFilter, *, after: str | None = None, limit: int | None = None) -> list[str]:
        """The ids of all that is meant and comes behind `after`, oldest first."""
        chosen = sa.select(jobs.c.id).where(*_conditions(namespace, meant))
        if after is not None:
            chosen = chosen.where(jobs.c.id > after)
        return [row["id"] for row in self._rows(chosen.order_by(jobs.c.id).limit(limit))]

    def status_versions(
        self, namespace: str, meant: JobFilter, *, after: str | None = None, limit: int | None = None
    ) -> dict[str, int]:
        """The same ids, each with the version of its newest change of status, as both are at one moment."""
        newest = (
            sa.select(sa.func.max(status_changes.c.version))
            .where(status_changes.c.job_id == jobs.c.id)
            .scalar_subquery()
        )
        chosen = sa.select(jobs.c.id, newest.label("version")).where(*_conditions(namespace, meant))
        if after is not None:
            chosen = chosen.where(jobs.c.id > after)
        return {row["id"]: row["version"] or 0 for row in self._rows(chosen.order_by(jobs.c.id).limit(limit))}

    def counts(self, namespace: str, meant: JobFilter = ALL_JOBS) -> dict[str, int]:
        """How many jobs there are of each status."""
        counted = (
            sa.select(jobs.c.status, sa.func.count().label("jobs"))
            .where(*_conditions(namespace, meant))
            .group_by(jobs.c.status)
        )
        return {row["status"]: row["jobs"] for row in self._rows(counted)}

    def counts_by_namespace(self) -> list[tuple[str, str, int]]:
        """Namespace, status and how many of it there are, of all jobs that are not removed."""
        counted = (
            sa.select(jobs.c.namespace, jobs.c.status, sa.func.count().label("jobs"))
            .where(jobs.c.status != REMOVED)
            .group_by(jobs.c.namespace, jobs.c.status)
        )
        return [(row["namespace"], row["status"], row["jobs"]) for row in self._rows(counted)]

    def namespaces_of(self, job_ids: Collection[str]) -> dict[str, str]:
        """Where each of these jobs is; ids that nobody has are left out."""
        chosen = sa.select(jobs.c.id, jobs.c.namespace).where(jobs.c.id.in_(job_ids))
        return {row["id"]: row["namespace"] for row in self._rows(chosen)}

    def resolve(self, namespace: str, text: str) -> str:
        """The id that begins with `text`. Raises InvalidJobId, JobNotFound (JobPruned), AmbiguousJobId."""
        begins = (jobs.c.namespace == namespace, *_begins_with(id_prefix(text)))
        # A removed job is met by its prefix only where that means no other one.
        for which in (jobs.c.status != REMOVED, jobs.c.status == REMOVED):
            chosen = sa.select(jobs.c.id).where(*begins, which).order_by(jobs.c.id.desc()).limit(MATCHES_SHOWN)
            found = [str(row["id"]) for row in self._rows(chosen)]
            if len(found) > 1:
                raise AmbiguousJobId(text, found)
            if found:
                return found[0]
        with self._database.read() as connection:
            pruned = tombstones.beginning(connection, namespace, id_prefix(text), MATCHES_SHOWN)
        if len(pruned) > 1:
            raise AmbiguousJobId(text, [each.job_id for each in pruned])
        if pruned:
            raise JobPruned(pruned[0])
        raise JobNotFound(text, namespace)

    def beginning(self, namespace: str, prefix: str, limit: int) -> list[Row]:
        """The id, type and status of the newest jobs whose id begins so."""
        chosen = sa.select(jobs.c.id, jobs.c.type, jobs.c.status).where(
            jobs.c.namespace == namespace, jobs.c.status != REMOVED, *_begins_with(prefix)
        )
        return self._rows(chosen.order_by(jobs.c.id.desc()).limit(limit))

    def job(self, namespace: str, job_id: str) -> Row:
        """The job with this whole id. Raises JobNotFound; JobPruned, which is one, where there was such a job."""
        found = self._rows(sa.select(jobs).where(jobs.c.id == job_id, jobs.c.namespace == namespace))
        if not found:
            self._refuse_missing(namespace, job_id)
        return found[0]

    def _refuse_missing(self, namespace: str, job_id: str) -> NoReturn:
        with self._database.read() as connection:
            tombstone = tombstones.find(connection, job_id)
        if tombstone is not None and tombstone.namespace == namespace:
            raise JobPruned(tombstone)
        raise JobNotFound(job_id, namespace)

    def shortened(self, ids: Collection[str], namespace: str | None = None) -> dict[str, str]:
        """Each id as short as it can be and still mean only this job in its namespace, from SHORTEST_ID characters.

        Of this namespace alone where one is given.
        """
        neighbour = jobs.alias("neighbour")

        def beside(which: Any, condition: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
            return sa.select(which).where(neighbour.c.namespace == jobs.c.namespace, condition).scalar_subquery()

        chosen = sa.select(
            jobs.c.id,
            beside(sa.func.max(neighbour.c.id), neighbour.c.id < jobs.c.id).label("before"),
            beside(sa.func.min(neighbour.c.id), neighbour.c.id > jobs.c.id).label("behind"),
        ).where(jobs.c.id.in_(ids))
        if namespace is not None:
            chosen = chosen.where(jobs.c.namespace == namespace)
        return {row["id"]: _shortest(row["id"], row["before"], row["behind"]) for row in self._rows(chosen)}

    def status_changes(self, job_ids: Collection[str]) -> dict[str, list[Row]]:
        """The statuses each job went through, oldest first."""
        chosen = (
            sa.select(status_changes)
            .where(status_changes.c.job_id.in_(job_ids))
            .order_by(status_changes.c.job_id, status_changes.c.version)
        )
        found: dict[str, list[Row]] = {job_id: [] for job_id in job_ids}
        for row in self._rows(chosen):
            found[row["job_id"]].append(row)
        return found

    # -- steps

    def steps(
        self, job_id: str, *, after: int = -1, limit: int | None = None, statuses: Iterable[str] = ()
    ) -> list[Row]:
        """The job's steps with an index above `after`, in order."""
        chosen = sa.select(steps).where(steps.c.job_id == job_id, steps.c.step > after)
        if wanted := tuple(statuses):
            chosen = chosen.where(steps.c.status.in_(wanted))
        return self._rows(chosen.order_by(steps.c.step).limit(limit))

    def steps_at(self, job_id: str, indexes: Collection[int]) -> list[Row]:
        """The job's steps with these indexes, in order."""
        chosen = sa.select(steps).where(steps.c.job_id == job_id, steps.c.step.in_(indexes))
        return self._rows(chosen.order_by(steps.c.step))

    def step_names(self, job_id: str) -> dict[int, str]:
        """The names of the job's steps by their indexes."""
        chosen = sa.select(steps.c.step, steps.c.name).where(steps.c.job_id == job_id)
        return {row["step"]: row["name"] for row in self._rows(chosen)}

    def noteworthy_steps(self, job_id: str, limit: int) -> list[Row]:
        """At most so many steps: first those that failed or are under way, then the others; in order."""
        order = sa.case(
            (steps.c.status == "Failed", 0),
            (steps.c.status.in_(("Running", "Waiting", "Stopped")), 1),
            (sa.and_(steps.c.status == "Pending", steps.c.attempt > 0), 1),
            (steps.c.status == "Pending", 2),
            else_=3,
        )
        chosen = sa.select(steps).where(steps.c.job_id == job_id).order_by(order, steps.c.step).limit(limit)
        return sorted(self._rows(chosen), key=lambda row: row["step"])

    def begun_steps(self, job_id: str, limit: int) -> list[Row]:
        """Steps that have begun and not ended: where a job stands."""
        chosen = sa.select(steps).where(
            steps.c.job_id == job_id, steps.c.attempt > 0, steps.c.status.not_in(("Succeeded", "Failed", "Cancelled"))
        )
        return self._rows(chosen.order_by(steps.c.step).limit(limit))

    # -- who works, and who waits for what

    def live_workers(self, now: datetime) -> list[Row]:
        """The workers whose heartbeat is not overdue, and how many jobs each holds."""
        return [row for row in self.workers(now) if row["lives"]]

    def workers(self, now: datetime) -> list[Row]:
        """All that are remembered, by name: whether each `lives`, and how many `jobs` it holds."""
        held = (
            sa.select(sa.func.count())
            .where(leases.c.worker == workers.c.name, lease_holds(now.timestamp()))
            .scalar_subquery()
        )
        lives = worker_lives(now.timestamp())
        chosen = sa.select(workers, held.label("jobs"), lives.label("lives"))
        return self._rows(chosen.order_by(workers.c.name))

    def held_jobs(self, now: datetime) -> dict[str, list[str]]:
        """The ids of the jobs that each worker holds, in all namespaces, oldest first."""
        held = sa.select(leases.c.worker, leases.c.job_id).where(lease_holds(now.timestamp()))
        found: dict[str, list[str]] = {}
        for row in self._rows(held.order_by(leases.c.job_id)):
            found.setdefault(row["worker"], []).append(row["job_id"])
        return found

    def waiting(self, rows: Collection[Row], now: datetime) -> dict[str, str]:
        """Why each of the jobs that nobody works on waits; the others are not in it."""
        return {job_id: waits.text for job_id, waits in self.waits(rows, now).items()}

    def waits(self, rows: Collection[Row], now: datetime) -> dict[str, Waits]:
        """The same with what each waits for."""
        live = [row for row in rows if row["live"]]
        if not live:
            return {}
        ids = [row["id"] for row in live]
        held = {
            row["job_id"]
            for row in self._rows(
                sa.select(leases.c.job_id).where(leases.c.job_id.in_(ids), lease_holds(now.timestamp()))
            )
        }
        unheld = [row for row in live if row["id"] not in held]
        if not unheld:
            return {}
        # One that takes no types at all runs a job of its own, and is no help to others.
        there = [worker for worker in self.live_workers(now) if worker["types"] != "[]"]
        reasons = self._refusals(ids, {worker["name"] for worker in there})
        limited, taken = self._held(now)
        free = {worker["name"] for worker in there if taken.get(worker["name"], 0) < worker["slots"]}
        with self._database.read() as connection:
            others = rivals(connection, [row["id"] for row in unheld])
        return {
            row["id"]: _why_opposed(row, others[row["id"]])
            if row["id"] in others
            else _why(row, there, reasons.get(row["id"], []), free, limited)
            for row in unheld
        }

    def lapsed(self, ids: Collection[str], now: datetime) -> set[str]:
        """Those of these jobs whose lease has run out: nobody has let go of it, and nobody keeps it."""
        chosen = sa.select(leases.c.job_id).where(leases.c.job_id.in_(ids), ~lease_holds(now.timestamp()))
        return {row["job_id"] for row in self._rows(chosen)} if ids else set()

    def _held(self, now: datetime) -> tuple[set[tuple[str, str]], dict[str, int]]:
        """Namespace and type of all jobs that are held, and how many slots of each worker they take.

        A job of which no step runs takes one, for its plan and its hooks.
        """
        steps_running = sa.case((jobs.c.running > 1, jobs.c.running), else_=1)
        chosen = (
            sa.select(leases.c.worker, jobs.c.namespace, jobs.c.type, sa.func.sum(steps_running).label("slots"))
            .join(jobs, jobs.c.id == leases.c.job_id)
            .where(lease_holds(now.timestamp()))
            .group_by(leases.c.worker, jobs.c.namespace, jobs.c.type)
        )
        types, taken = set[tuple[str, str]](), dict[str, int]()
        for row in self._rows(chosen):
            types.add((row["namespace"], row["type"]))
            taken[row["worker"]] = taken.get(row["worker"], 0) + int(row["slots"])
        return types, taken

    def work_left(self, types: Collection[str], worker: str, queues: Collection[str] | None = None) -> bool:
        """Whether a job of these types and queues (None: all) is not at rest and was not refused by this worker."""
        refused = sa.select(refusals.c.job_id).where(refusals.c.worker == worker)
        chosen = sa.select(jobs.c.id).where(jobs.c.live, jobs.c.type.in_(types), jobs.c.id.not_in(refused))
        if queues is not None:
            chosen = chosen.where(jobs.c.queue.in_(queues))
        return bool(self._rows(chosen.limit(1)))

    def _refusals(self, ids: Collection[str], living: Collection[str]) -> dict[str, list[str]]:
        chosen = sa.select(refusals).where(refusals.c.job_id.in_(ids), refusals.c.worker.in_(living))
        found: dict[str, list[str]] = {}
        for row in self._rows(chosen.order_by(refusals.c.worker)):
            found.setdefault(row["job_id"], []).append(row["why"])
        return found

    # -- the event store

    def namespaces(self) -> list[Row]:
        """The namespaces that have jobs, with how many there are and how many of them are not at rest."""
        live = sa.func.count(sa.case((jobs.c.live, 1)))
        chosen = (
            sa.select(jobs.c.namespace.label("name"), sa.func.count().label("jobs"), live.label("live"))
            .where(jobs.c.status != REMOVED)
            .group_by(jobs.c.namespace)
            .order_by(jobs.c.namespace)
        )
        return self._rows(chosen)

    def _rows(self, chosen: sa.Executable) -> list[Row]:
        with self._database.read() as connection:
            result = connection.execute(chosen)
            names = tuple(result.keys())
            return [dict(zip(names, row, strict=True)) for row in result]


def id_prefix(text: str) -> str:
    """`text` as the beginning of an id is written, dashes set right. Raises InvalidJobId."""
    digits = text.strip().lower().replace("-", "")
    if not _HEX.fullmatch(digits):
        raise InvalidJobId(text)
    return "-".join(part for part in _grouped(digits) if part)


def _grouped(digits: str) -> tuple[str, ...]:
    return digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]


def chosen_ids(namespace: str, meant: JobFilter) -> sa.Select[Any]:
    """The ids of all that is meant, to be asked for page by page in a transaction of the caller's."""
    return sa.select(jobs.c.id).where(*_conditions(namespace, meant))


def _conditions(namespace: str, meant: JobFilter) -> list[sa.ColumnElement[bool]]:
    found = which_jobs(namespace, meant)
    found.append(jobs.c.status.in_(meant.statuses) if meant.statuses else jobs.c.status != REMOVED)
    return [*found, jobs.c.live] if meant.live else found


def which_jobs(namespace: str, meant: JobFilter) -> list[sa.ColumnElement[bool]]:
    """What is meant by what never changes about a job: all but its status."""
    found: list[sa.ColumnElement[bool]] = [jobs.c.namespace == namespace]
    if meant.prefix:
        found += _begins_with(id_prefix(meant.prefix))
    if meant.types:
        found.append(jobs.c.type.in_(meant.types))
    if meant.since:
        found += [jobs.c.created_at >= time_text(meant.since), jobs.c.id >= _id_at(meant.since, -ID_SLACK)]
    if meant.until:
        found += [jobs.c.created_at < time_text(meant.until), jobs.c.id < _id_at(meant.until, ID_SLACK)]
    for tag in meant.tags:
        tags = json_texts(jobs.c.tags)
        found.append(sa.exists(sa.select(sa.literal(1)).select_from(tags).where(tags.c.value == tag)))
    return found


def _id_at(moment: datetime, slack: timedelta) -> str:
    """Where ids of that time begin: a UUIDv7 carries its time, so that the index on ids serves for times too."""
    milliseconds = max(0, int((moment.timestamp() + slack.total_seconds()) * 1000))
    return id_prefix(f"{milliseconds:012x}")


def _begins_with(prefix: str) -> tuple[sa.ColumnElement[bool], ...]:
    """A range rather than LIKE, so that the index on (namespace, id) answers."""
    return jobs.c.id >= prefix, jobs.c.id < prefix + "g"  # "g" is behind every hexadecimal digit and the dash


def _shortest(job_id: str, *others: str | None) -> str:
    length = max((_common(job_id, other) + 1 for other in others if other), default=0)
    shown = job_id[: max(length, SHORTEST_ID)]
    return job_id[: len(shown) + 1] if shown.endswith("-") else shown


def _common(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one))


def _why_opposed(row: Row, other: str) -> Waits:
    if row["status"] == "Cancelling":
        text = f"its cleanup waits for the end of job {other}, which has the same key; {_skip_cleanup(row)}"
    else:
        text = f"job {other}, whose place it takes, has not ended yet"
    return Waits(WaitsFor.JOB, text, other)


def _skip_cleanup(row: Row) -> str:
    return f"'milepost jobs cancel {row['id']} --skip-cleanup' ends it without its cleanup"


def _why(
    row: Row, living: Sequence[Row], reasons: Sequence[str], free: Collection[str], limited: Collection[tuple[str, str]]
) -> Waits:
    why = _why_not_taken(row, living, reasons, free, limited)
    if row["status"] != "Cancelling" or why.what is WaitsFor.TAKEOVER:
        return why
    return Waits(why.what, f"{why.text}; {_skip_cleanup(row)}")


def _why_not_taken(
    row: Row, living: Sequence[Row], reasons: Sequence[str], free: Collection[str], limited: Collection[tuple[str, str]]
) -> Waits:
    if not living:
        return Waits(WaitsFor.ANY_WORKER, "no worker is running: start one with 'milepost worker'")
    if reasons:
        return Waits(WaitsFor.ACCEPTANCE, "; ".join(reasons))
    know = [worker for worker in living if row["type"] in json.loads(worker["types"])]
    if not know:
        return Waits(WaitsFor.TYPE, f"no worker that is running knows the job type '{row['type']}'")
    takers = [worker for worker in know if takes_queue(worker, row["queue"])]
    if not takers:
        also = "" if len(know) == len(living) else f" and knows the job type '{row['type']}'"
        return Waits(WaitsFor.QUEUE, f"no worker that is running takes the queue '{row['queue']}'{also}")
    if row["status"] != "Pending":
        return Waits(WaitsFor.TAKEOVER, TAKEN_OVER)
    if not any(worker["name"] in free for worker in takers):
        return Waits(WaitsFor.ROOM, BUSY)
    # Jobs of other namespaces count, too; but that there are any is not to be told here.
    if (row["namespace"], row["type"]) in limited:
        return Waits(WaitsFor.LIMIT, PERHAPS_LIMITED)
    return Waits(WaitsFor.WORKER, TO_BE_TAKEN)


def takes_queue(worker: Row, queue: str) -> bool:
    """Whether a worker takes jobs of this queue."""
    return worker["queues"] is None or queue in json.loads(worker["queues"])


def time_text(at: datetime) -> str:
    """As it stands in the rows, which are compared as texts: in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
