"""`milepost jobs diff`: what changed in a job between two moments, or how two runs compare."""

from datetime import datetime
from typing import Annotated, Final

import typer

from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.formats import Format
from milepost.interfaces.cli.jobs.filters import JobId, moment_given
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.service import Moment

app = new_app()

STEPS_SHOWN: Final = 25  # on a screen, unless more are asked for
STEPS_GIVEN: Final = 1000  # to a program
MOST: Final = 10_000


@command(app, "diff")
def diff_jobs(
    session: Session,
    job: JobId,
    other: Annotated[
        str | None,
        typer.Argument(
            help="Another run, to compare with.", metavar="[ID]", autocompletion=completion.job_ids, show_default=False
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", help="From this version of its history, or this time: 17, 2h, a date.", metavar="MOMENT"
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="To this one, likewise. (default: now)", metavar="MOMENT")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=0, max=MOST, help="How many steps to show at most.", metavar="N")
    ] = None,
    across_types: Annotated[
        bool, typer.Option("--across-types", help="Compare also two jobs of different types.")
    ] = False,
) -> None:
    """Show what changed in a job between two moments, and who did it; or how two runs compare, step by step."""
    if (begin is None) == (other is None) or (other is not None and end is not None):
        how = "Write 'jobs diff ID --from 12 --to 30', or 'jobs diff ID OTHER'"
        raise Told(INVALID, "A diff is of two moments of a job, or of two jobs", how)
    limit = steps if steps is not None else STEPS_SHOWN if session.format is Format.TABLE else STEPS_GIVEN
    if other is not None:
        _compare(session, job, other, limit, across_types)
    elif begin is not None:
        _diff(session, job, begin, end, limit)


def _diff(session: Session, job: str, begin: str, end: str | None, limit: int) -> None:
    from milepost.interfaces.cli.jobs.differences import CHANGE_COLUMNS, changes_of, diff_view

    moments = _moment("--from", begin), None if end is None else _moment("--to", end)
    found = session.service.diff(session.service.resolve(job), *moments, steps=limit)
    if session.format in (Format.PLAIN, Format.CSV) and not session.quiet:
        session.out.many(changes_of(found), CHANGE_COLUMNS, lambda each: each.what)
    else:
        session.out.one(found, (), lambda each: each.id, lambda: diff_view(found))
    _more(session, found.hidden_steps)


def _compare(session: Session, job: str, other: str, limit: int, across_types: bool) -> None:
    from milepost.interfaces.cli.jobs.differences import CHANGE_COLUMNS, comparison_view, contrasts_of

    ids = session.service.resolve(job), session.service.resolve(other)
    found = session.service.compare(*ids, steps=limit, across_types=across_types)
    if session.format in (Format.PLAIN, Format.CSV) and not session.quiet:
        session.out.many(contrasts_of(found), CHANGE_COLUMNS, lambda each: each.what)
    else:
        session.out.one(found, (), lambda each: each.other.id, lambda: comparison_view(found))
    _more(session, found.hidden_steps)


def _more(session: Session, hidden: int) -> None:
    if hidden:
        session.note(f"There are {hidden:,} more steps: give a higher --steps")


def _moment(option: str, text: str) -> Moment:
    """Digits alone are a version, all else is a time."""
    if text.strip().isdecimal() and len(text) < 10:
        return int(text)
    found: datetime | None = moment_given(option, text)
    assert found is not None
    return found
