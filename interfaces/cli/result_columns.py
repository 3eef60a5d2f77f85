"""The columns that lists of results and of events have."""

from typing import Final

from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.text import local_short
from milepost.interfaces.quantities import of_total
from milepost.interfaces.result_documents import CommandResult, EventDocument

RESULT_COLUMNS: Final[tuple[Column[CommandResult], ...]] = (
    Column("Id", lambda result: result.id),
    Column("Changed", lambda result: "true" if result.changed else "false"),
    Column("Status", lambda result: result.status),
    Column("Version", lambda result: result.version),
    Column("Message", lambda result: result.message),
)

EVENT_COLUMNS: Final[tuple[Column[EventDocument], ...]] = (
    Column("Version", lambda event: event.version, right=True),
    Column("Time", lambda event: event.occurred, lambda event: local_short(event.occurred)),
    Column("Event", lambda event: event.event, style=lambda event: "bold" if event.event.startswith("Job") else ""),
    Column("Actor", lambda event: event.actor, gives_way=True),
    Column("Source", lambda event: event.source),
    Column("Reason", lambda event: event.reason, gives_way=True),
    Column("Details", lambda event: details(event), gives_way=True),
)


def details(event: EventDocument) -> str:
    """What an event says, in a few words."""
    data = event.data
    words: list[str] = []
    if "jobType" in data:
        words.append(f"{data['jobType']} in {data['namespace']}")
    if "steps" in data:
        words.append(f"steps {data['first']} to {data['first'] + len(data['steps']) - 1}")
    if "step" in data:
        again = f", attempt {data['attempt']}" if data["attempt"] > 1 else ""
        words.append(f"{event.step or data['step']}{again}")
    if reached := data.get("progress"):
        words.append(of_total(reached.get("done", 0), reached.get("total"), reached.get("unit", "")))
    if "totalSteps" in data:
        words.append(f"{data['totalSteps']} steps")
    if error := data.get("error") or data.get("cleanupError"):
        words.append(f"{error['type'].rpartition('.')[2]}: {error['message']}")
    if data.get("retryInSeconds") is not None:
        words.append(f"again in {data['retryInSeconds']:.1f} s")
    if "claim" in data:
        words.append(f"claim {data['claim']}")
    if "cause" in data:
        words.append(str(data["cause"]))
    return "; ".join(words)
