"""`milepost jobs prune`: take the histories of jobs that ended long ago out of the event store, for good."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.infrastructure.durations import MINUTES
from milepost.interfaces import bootstrap
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.change import DryRun, Reason
from milepost.interfaces.cli.jobs.filters import Statuses, Types, job_filter
from milepost.interfaces.cli.output import Column, console, table
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import LARGEST, moment
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.prune_documents import PrunedDocument, PruneResult
from milepost.interfaces.pruning import PruneAsked, together
from milepost.interfaces.quantities import counted, number

if TYPE_CHECKING:
    from milepost.infrastructure.audit.archiving import Archived

app = new_app()

BEFORE_ALL: Final = datetime(1970, 1, 1, tzinfo=UTC)  # nothing had ended
COLUMNS: Final[tuple[Column[PruneResult], ...]] = (
    Column("DryRun", lambda each: "true" if each.dry_run else "false"),
    Column("Before", lambda each: each.before),
    Column("Jobs", lambda each: each.jobs, right=True),
    Column("Events", lambda each: each.events, right=True),
)
_FOUND: Final[tuple[Column[PrunedDocument], ...]] = (
    Column("Type", lambda each: each.type),
    Column("Status", lambda each: each.status),
    Column("Jobs", lambda each: number(each.jobs), right=True),
    Column("Events", lambda each: number(each.events), right=True),
)


@command(app, "prune")
def prune_jobs(
    session: Session,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", help="Only jobs that ended before then: 30d, 8w, 2026-01-01.", metavar="AGE"),
    ] = None,
    status: Statuses = None,
    type: Types = None,  # noqa: A002 - the option's name
    keep: Annotated[
        int, typer.Option("--keep", min=0, max=LARGEST, help="Of each type, keep so many of the newest.", metavar="N")
    ] = 0,
    all: Annotated[bool, typer.Option("--all", help="Also jobs that have just ended.")] = False,  # noqa: A002
    rule: Annotated[
        str | None,
        typer.Option("--rule", help="As this rule of milepost.toml says, in this namespace.", metavar="NAME"),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="Write what goes to files in this folder before, as exports.", metavar="FOLDER"),
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Take histories of jobs that have ended out of the event store. Cannot be undone; a tombstone of each stays."""
    if rule is None:
        if older_than is None and not keep and not all:
            raise Told(
                INVALID, "Which jobs? Nothing says how old they must be", "Give --older-than, --keep, --all or --rule"
            )
        if older_than is not None and all:
            raise Told(INVALID, "Give --older-than or --all, not both", "Leave out one of them")
        meant = job_filter(status, type, None, None, None)
        asked = PruneAsked(_before(older_than), meant.statuses, meant.types, keep, reason)
    else:
        if older_than is not None or keep or all or status or type or archive is not None:
            raise Told(INVALID, "A rule says itself which jobs go, and where they are archived", "Leave out the rest")
        asked, archive = _by_rule(session, rule, reason)
    if archive is not None and not dry_run:
        _refuse_bad_folder(session, archive)
    would = session.service.prune(asked)
    if dry_run:
        _say(session, would)
        return
    if not would.jobs:
        # What a prune that was broken off has left half-way is finished all the same; no other job is begun.
        session.service.prune(replace(asked, before=BEFORE_ALL, dry_run=False))
        _say(session, replace(would, dry_run=False))
        return
    if session.interactive and not session.given.yes:
        console(stderr=True).print(table(would.found, _FOUND))
    session.confirm(f"Prune {_told(would)} for good?")
    _say(session, together(_done(session, replace(asked, dry_run=False), archive)))


def _by_rule(session: Session, name: str, reason: str) -> tuple[PruneAsked, Path | None]:
    """What the rule means now, and the folder of its archive."""
    from milepost.infrastructure.retention.rules import rules_of

    rules = {each.name: each for each in rules_of(session.settings)}
    if name not in rules:
        known = f"there is {', '.join(rules)}" if rules else "there is none"
        raise Told(
            INVALID, f"'{name}' is no rule for this event store; {known}", "Name it in milepost.toml: [[retention]]"
        )
    rule = rules[name]
    if rule.namespace not in (None, session.namespace):
        raise Told(INVALID, f"Rule '{name}' is for namespace {rule.namespace}", f"Add --namespace {rule.namespace}")
    meant = rule.at(bootstrap.now())
    statuses = tuple(status.value for status in meant.statuses)
    return PruneAsked(meant.before, statuses, meant.types, meant.keep, reason or rule.told), rule.archive


def _refuse_bad_folder(session: Session, folder: Path) -> None:
    if session.settings.server is not None:
        raise Told(
            INVALID,
            f"--archive writes files where the event store is opened, and that is at {session.settings.server.value}",
            "Prune on that machine, without a server; or have its workers do it by a rule of its milepost.toml",
        )
    if not folder.is_dir():
        raise Told(INVALID, f"--archive: there is no folder {folder}", "Make it first, or give another one")


def _done(session: Session, asked: PruneAsked, folder: Path | None) -> Iterator[PruneResult]:
    """A part at a time, until nothing more is meant, or what is left cannot go now."""
    while True:
        done = session.service.prune(asked) if folder is None else _archived(session, asked, folder)
        yield done
        if not done.more or not done.jobs:
            return
        session.note(f"Pruned {_told(done)}; there is more")


def _archived(session: Session, asked: PruneAsked, folder: Path) -> PruneResult:
    """The same, with what goes in files before."""

    def told(kept: "Archived") -> None:
        session.note(
            f"Archived {counted(len(kept.versions), 'job')} with {counted(kept.events, 'event')} in {kept.file}."
            f" SHA-256 {kept.sha256}"
        )

    return session.local.prune(asked, session.app.archive(folder, told))


def _before(older_than: str | None) -> datetime:
    if older_than is None:
        return bootstrap.now()
    how = "Write 12h, 30d, 8w, 2026-01-01 or 2026-01-01T09:30"
    if MINUTES.fullmatch(older_than.strip()):
        raise Told(INVALID, f"--older-than: '{older_than}' would be minutes", how)
    try:
        return moment(older_than, bootstrap.now())
    except (ValueError, OverflowError):
        raise Told(INVALID, f"--older-than: '{older_than}' is no age and no time", how) from None


def _say(session: Session, result: PruneResult) -> None:
    session.out.said([result], COLUMNS, lambda each: str(each.jobs), _sentence)


def _sentence(result: PruneResult) -> str:
    if not result.jobs:
        return "There is no job to prune"
    found = "; ".join(f"{each.type} {each.status}: {number(each.jobs)}" for each in result.found)
    return f"{'Would prune' if result.dry_run else 'Pruned'} {_told(result)} ({found})"


def _told(result: PruneResult) -> str:
    return f"{counted(result.jobs, 'job')} with {counted(result.events, 'event')}"
