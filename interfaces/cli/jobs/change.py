"""`milepost jobs stop|resume|cancel|remove`: say what is wanted; say only what then became true."""

from collections.abc import Callable
from inspect import signature
from typing import Annotated, Final

import typer

from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.changes import act
from milepost.interfaces.cli.jobs.filters import JobIds, Since, Statuses, Tags, Types, Until, job_filter
from milepost.interfaces.cli.session import Session
from milepost.interfaces.service import UNDER_WAY, Change, CommandName

app = new_app()

WAIT_SECONDS: Final = 30.0

All = Annotated[bool, typer.Option("--all", help="All jobs for which it is possible.")]
Reason = Annotated[str, typer.Option("--reason", help="Why: kept in the history.", metavar="TEXT")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
IfVersion = Annotated[
    int | None, typer.Option("--if-version", help="Only if the job is still at this version.", metavar="N")
]
CommandId = Annotated[
    str | None,
    typer.Option("--command-id", help="An id of this command: given again, it changes nothing.", metavar="ID"),
]
SkipCleanup = Annotated[
    bool,
    typer.Option("--skip-cleanup", help="End it even where no worker is there that could run its cleanup."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until it is so.")]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0, help="Seconds to wait at most; then exit code 7.", metavar="S")
]


def _change(name: CommandName, sentence: str) -> Callable[..., None]:
    def change(
        session: Session,
        jobs: JobIds = None,
        status: Statuses = None,
        type: Types = None,  # noqa: A002 - the option's name
        tag: Tags = None,
        since: Since = None,
        until: Until = None,
        all: All = False,  # noqa: A002 - the option's name
        reason: Reason = "",
        dry_run: DryRun = False,
        if_version: IfVersion = None,
        command_id: CommandId = None,
        no_wait: NoWait = False,
        timeout: Timeout = WAIT_SECONDS,
        skip_cleanup: SkipCleanup = False,
    ) -> None:
        meant = job_filter(status, type, tag, since, until)
        wait_seconds = None if no_wait or name not in UNDER_WAY else timeout
        wanted = Change(name, reason, dry_run, if_version, command_id, skip_cleanup)
        act(session, wanted, jobs, meant, everything=all, wait_seconds=wait_seconds)

    change.__doc__ = sentence
    absent = set[str]() if name == "cancel" else {"skip_cleanup"}
    absent |= set[str]() if name in UNDER_WAY else {"no_wait", "timeout"}
    taken = signature(change, eval_str=True)
    parameters = [each for each in taken.parameters.values() if each.name not in absent]
    change.__signature__ = taken.replace(parameters=parameters)  # type: ignore[attr-defined]  # what Typer reads
    return change


command(app, "stop")(_change("stop", "Stop jobs at their next checkpoint, and wait until they are at rest."))
command(app, "resume")(_change("resume", "Let jobs go on from their checkpoints; of a failed one, the failed steps."))
command(app, "cancel")(_change("cancel", "Give jobs up for good; their cleanup runs. Cannot be undone."))
command(app, "remove")(_change("remove", "Take jobs at rest out of the lists. Cannot be undone."))
