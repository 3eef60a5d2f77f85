"""`milepost jobs get`: everything of one job."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.formats import Format
from milepost.interfaces.cli.jobs.filters import At, JobId, moment_given
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import LARGEST
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.service import StepsAsked

app = new_app()

STEPS_SHOWN: Final = 25  # on a screen, unless more are asked for
STEPS_GIVEN: Final = 1000  # to a program


@command(app, "get")
def get_job(
    session: Session,
    job: JobId,
    steps: Annotated[
        int | None, typer.Option("--steps", min=0, max=LARGEST, help="How many steps to show.", metavar="N")
    ] = None,
    steps_after: Annotated[
        int, typer.Option("--steps-after", min=-1, max=LARGEST, help="Only steps behind this one.", metavar="INDEX")
    ] = -1,
    step_status: Annotated[
        list[str] | None,
        typer.Option(
            "--step-status",
            help="Only steps of this status; may be repeated.",
            metavar="STATUS",
            autocompletion=completion.step_statuses,
        ),
    ] = None,
    at: At = None,
    version: Annotated[
        int | None,
        typer.Option("--version", min=1, max=LARGEST, help="As it was at this version of its history.", metavar="N"),
    ] = None,
) -> None:
    """Show a job: request, status, progress, steps, errors, history of its status; as it is, or as it was."""
    from milepost.interfaces.cli.job_columns import JOB_FACTS
    from milepost.interfaces.cli.jobs.view import job_view

    job_id = session.service.resolve(job)
    limit = steps if steps is not None else STEPS_SHOWN if session.format is Format.TABLE else STEPS_GIVEN
    statuses = [_step_status(name) for name in step_status or ()]
    asked = steps_asked(session, limit, steps_after, statuses)
    document = session.service.job(job_id, asked, at=moment_given("--at", at), version=version)
    session.out.one(document, JOB_FACTS, lambda each: each.id, lambda: job_view(document))
    if document.next_steps_after is not None:
        session.note(f"More steps follow: give --steps-after {document.next_steps_after}, or a higher --steps")


def steps_asked(session: Session, limit: int, after: int = -1, statuses: Sequence[str] = ()) -> StepsAsked:
    """A page of steps. For a screen, the steps that need a look come first."""
    return StepsAsked(limit, after, tuple(statuses), noteworthy=session.format is Format.TABLE)


def _step_status(name: str) -> str:
    from milepost.domain.state_machine import StepStatus

    for status in StepStatus:
        if status.value.lower() == name.lower():
            return status.value
    raise Told(INVALID, f"'{name}' is not a status of a step", f"Use one of {', '.join(StepStatus)}")
