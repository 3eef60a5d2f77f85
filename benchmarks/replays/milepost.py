"""A replay by Milepost: a `replay-observer` job by a worker in this process, everything as shipped.

usage: python -m benchmarks.replays.milepost DATABASE_URL EVENTS batches|events
Prints one JSON line: {"peer","db","events","seconds","events_per_s","step_events_per_s","rows"}. `seconds` are the
whole job's, from its start to its completion; the steps' are those from the first one's start.
"""

import gc
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from benchmarks.replays.bank import Account, Bank, balances, digest, environment, keep_first, tables
from milepost.domain.envelope import Origin
from milepost.domain.state_machine import AT_REST, JobStatus
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.schema import jobs, steps
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.observers.observer import Effects, Observed, Observer, observer
from milepost.infrastructure.running.executors import thread_executor
from milepost.infrastructure.running.perform import Environment
from milepost.infrastructure.running.worker import Worker
from milepost.interfaces.bootstrap import GARBAGE_THRESHOLD

SLOTS: Final = 4
ENVIRONMENT: Final[dict[str, str]] = {}  # of the database at hand


@lru_cache
def deposit(table: sa.Table) -> sa.Update:
    """The statement, built once."""
    added = {"amount": table.c.amount + sa.bindparam("more"), "deposits": table.c.deposits + 1}
    return table.update().where(table.c.account == sa.bindparam("of")).values(added)


@observer("balances-by-events")
class BalancesByEvents(Observer):
    """One statement an event, as in the library's projection."""

    application = Bank
    environment: ClassVar[Mapping[str, str]] = ENVIRONMENT
    tables = tables

    def handle(self, event: Any, effects: Effects) -> None:
        table = effects.table(balances)
        if isinstance(event, Account.Deposited):  # type: ignore[attr-defined]
            effects.connection.execute(deposit(table), {"of": str(event.originator_id), "more": event.amount})
        elif isinstance(event, Account.Opened):  # type: ignore[attr-defined]
            row = {"account": str(event.originator_id), "owner": event.owner, "amount": 0, "deposits": 0}
            effects.connection.execute(table.insert(), row)


@observer("balances-by-batches")
class BalancesByBatches(Observer):
    """What a batch means for each account, in one statement."""

    application = Bank
    environment = ENVIRONMENT
    tables = tables

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        rows: dict[str, dict[str, object]] = {}
        more: dict[str, list[int]] = {}
        for _, account, event in events:
            if isinstance(event, Account.Opened):  # type: ignore[attr-defined]
                rows[account] = {"account": account, "owner": event.owner, "amount": 0, "deposits": 0}
            else:
                more.setdefault(account, []).append(event.amount)
        table = effects.table(balances)
        if rows:
            effects.connection.execute(table.insert(), list(rows.values()))
        if more:
            insert = (sqlite.insert if effects.on_sqlite else postgresql.insert)(table)
            added = insert.on_conflict_do_update(
                index_elements=["account"],
                set_={
                    "amount": table.c.amount + insert.excluded.amount,
                    "deposits": table.c.deposits + insert.excluded.deposits,
                },
            )
            effects.connection.execute(
                added,
                [
                    {"account": account, "owner": "", "amount": sum(amounts), "deposits": len(amounts)}
                    for account, amounts in more.items()
                ],
            )


def run(url: str, events: int, kind: str) -> tuple[float, float]:
    """Seconds from the start of the job to its completion, and those of its steps."""
    ENVIRONMENT.update(environment(url))
    database, surroundings = open_database(where_the_events_are(url)), RealSurroundings()
    job_types = JobTypes.load()
    for declared in (BalancesByEvents, BalancesByBatches):
        job_types.observers.add(declared)
    store = JobStore(database, surroundings)
    executor = thread_executor(SLOTS, Environment(job_types, database))
    gc.set_threshold(GARBAGE_THRESHOLD)  # as in the worker that ships
    worker = Worker(store=store, job_types=job_types, executor=executor, surroundings=surroundings)
    request = {"observer": f"balances-by-{kind}"}
    command = job_types.start_command("replay-observer", request, namespace="Default")
    began = time.perf_counter()
    job, _ = store.start(command, Origin(actor="benchmark", source="benchmark"))
    worker.run(until=lambda: _at_rest(database, job.id))
    seconds = time.perf_counter() - began
    done = store.load(job.id)
    assert done.status is JobStatus.COMPLETED_SUCCESSFULLY, done.status
    inside = seconds_of_steps(database, job.id)
    executor.close()
    database.close()
    return seconds, inside


def where_the_events_are(url: str) -> str:
    """On PostgreSQL Milepost has a schema of its own where nothing is said."""
    return url if url.startswith("sqlite") else f"{url}{'&' if '?' in url else '?'}schema=public"


def seconds_of_steps(database: Database, job_id: UUID) -> float:
    """From the start of the first one to the end of the last one."""
    asked = sa.select(sa.func.min(steps.c.started_at), sa.func.max(steps.c.ended_at))
    with database.read() as connection:
        began, ended = connection.execute(asked.where(steps.c.job_id == str(job_id))).one()
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _at_rest(database: Database, job_id: UUID) -> bool:
    with database.read() as connection:
        return connection.scalar(sa.select(jobs.c.status).where(jobs.c.id == str(job_id))) in AT_REST


if __name__ == "__main__":
    url, events, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    keep_first(url, events)
    seconds, inside = run(url, events, kind)
    figures = {"peer": f"milepost, by {kind}", "db": url.split(":")[0], "events": events, "seconds": round(seconds, 3)}
    rates = {"events_per_s": round(events / seconds), "step_events_per_s": round(events / inside)}
    print(json.dumps({**figures, **rates, "rows": digest(url)}))
