"""The options that say which jobs are meant."""

from datetime import datetime
from typing import Annotated

import typer

from milepost.interfaces import bootstrap
from milepost.interfaces.asked_texts import refuse_bad_tags, refuse_bad_types
from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.text import moment
from milepost.interfaces.error_mapping import INVALID, Told

JobId = Annotated[
    str,
    typer.Argument(help="A job's id, or the beginning of one.", metavar="ID", autocompletion=completion.job_ids),
]
JobIds = Annotated[
    list[str] | None,
    typer.Argument(help="Ids of jobs, or their beginnings.", metavar="ID", autocompletion=completion.job_ids),
]
Statuses = Annotated[
    list[str] | None,
    typer.Option(
        "--status", help="Only jobs of this status; may be repeated.", metavar="STATUS",
        autocompletion=completion.job_statuses,
    ),
]  # fmt: skip
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type", help="Only jobs of this type; may be repeated.", metavar="TYPE",
        autocompletion=completion.job_types,
    ),
]  # fmt: skip
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Only jobs that have this tag; repeated: all of them.", metavar="TAG"),
]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Created at or after: 2h, 7d, a date or a time.", metavar="WHEN"),
]
At = Annotated[
    str | None,
    typer.Option("--at", help="As it was then: 2h ago (2h), 7d, a date or a time.", metavar="WHEN"),
]
Until = Annotated[str | None, typer.Option("--until", help="Created before: likewise.", metavar="WHEN")]


def job_filter(
    statuses: list[str] | None, types: list[str] | None, tags: list[str] | None, since: str | None, until: str | None
) -> JobFilter:
    """The filter of these options. Raises Told for what is none, or too long."""
    refuse_bad_types(types or ())
    refuse_bad_tags(tags or ())
    return JobFilter(
        statuses=tuple(_status(name) for name in statuses or ()),
        types=tuple(types or ()),
        tags=tuple(tags or ()),
        since=moment_given("--since", since),
        until=moment_given("--until", until),
    )


def _status(name: str) -> str:
    from milepost.domain.state_machine import JobStatus

    for status in JobStatus:
        if status.value.lower() == name.lower():
            return status.value
    raise Told(INVALID, f"'{name}' is not a status of a job", f"Use one of {', '.join(JobStatus)}")


def moment_given(option: str, text: str | None) -> datetime | None:
    """The time that an option gives, if it does. Raises Told for what is none."""
    if text is None:
        return None
    try:
        return moment(text, bootstrap.now())
    except (ValueError, OverflowError):
        how = "Write 30m, 2h, 7d, 2026-11-24 or 2026-11-24T09:30"
        raise Told(INVALID, f"{option}: '{text}' is not a time", how) from None
