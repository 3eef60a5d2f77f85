"""Which jobs a command is to act on: ids named one by one, or all that a filter means."""

from collections.abc import Sequence
from dataclasses import dataclass

from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.cli.job_columns import job_columns
from milepost.interfaces.cli.output import console, table
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import INVALID, Told

SHOWN_BEFORE_ASKING = 20


@dataclass(frozen=True, slots=True)
class Selection:
    """Whole ids, and whether each was named."""

    ids: tuple[str, ...]
    named: bool


def select(
    session: Session, command: str, ids: Sequence[str] | None, meant: JobFilter, *, everything: bool
) -> Selection:
    """The jobs meant. A filter means only those that the command would change, unless it names a status itself.

    Raises Told when neither or both are given, and what the queries raise for an id.
    """
    filtered = everything or meant != JobFilter()
    if ids and filtered:
        raise Told(INVALID, "Give ids or a filter, not both", "Leave out one of them")
    if ids:
        whole = [session.service.resolve(given) for given in ids]
        return Selection(tuple(dict.fromkeys(whole)), named=True)
    if not filtered:
        message = f"Which jobs? There is no id and no filter to {command} by"
        raise Told(INVALID, message, "Give ids, or --status, --type, --tag, --since, --until or --all")
    return Selection(tuple(session.service.matching(_able(command, meant))), named=False)


def show(session: Session, chosen: Selection) -> None:
    """What a command is about to touch, on standard error: standard output is for what it did."""
    jobs = [session.service.job(job_id) for job_id in chosen.ids[:SHOWN_BEFORE_ASKING]]
    console(stderr=True).print(table(jobs, job_columns({})))
    if len(chosen.ids) > len(jobs):
        session.note(f"and {len(chosen.ids) - len(jobs)} more")


def _able(command: str, meant: JobFilter) -> JobFilter:
    from dataclasses import replace

    from milepost.domain.state_machine import JobStatus, possible

    if meant.statuses:
        return meant
    return replace(meant, statuses=tuple(status.value for status in JobStatus if command in possible(status)))
