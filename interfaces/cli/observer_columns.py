"""The columns that lists of observers, of failed partitions and of what has happened to them have."""

from typing import TYPE_CHECKING, Final

from milepost.interfaces.cli.output import Column, D
from milepost.interfaces.cli.text import STATUS_STYLE, local, local_short
from milepost.interfaces.observer_documents import (
    AttemptDocument,
    FailedPartitionDocument,
    ObserverDocument,
    ObserverEventDocument,
    ObserverResult,
)
from milepost.interfaces.quantities import counted, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

OBSERVER_COLUMNS: Final[tuple[Column[ObserverDocument], ...]] = (
    Column("Name", lambda each: each.name, gives_way=True),
    Column("Status", lambda each: each.status, lambda each: _status(each), lambda each: _status_style(each)),
    Column("Position", lambda each: each.position, lambda each: number(each.position), right=True),
    Column("Lag", lambda each: each.lag, lambda each: _amount(each.lag), right=True),
    Column("Rate", lambda each: each.rate, lambda each: _rate(each.rate), right=True),
    Column(
        "Failed",
        lambda each: each.failed_partitions,
        lambda each: number(each.failed_partitions),
        lambda each: "red" if each.failed_partitions else "",
        right=True,
    ),
    Column("Handled", lambda each: each.handled, lambda each: number(each.handled), right=True),
)
OBSERVER_FACTS: Final[tuple[Column[ObserverDocument], ...]] = (
    Column("Name", lambda each: each.name),
    Column("Description", lambda each: each.description),
    Column("Status", lambda each: each.status, lambda each: _status(each), lambda each: _status_style(each)),
    Column("Why", lambda each: each.why, style=lambda _: "red"),
    Column("Trouble", lambda each: each.trouble, style=lambda _: "red"),
    Column("Declared", lambda each: str(each.declared).lower(), lambda each: _declared(each)),
    Column("Position", lambda each: each.position, lambda each: number(each.position)),
    Column("Newest", lambda each: each.newest, lambda each: _amount(each.newest, "")),
    Column("Lag", lambda each: each.lag, lambda each: _amount(each.lag, "")),
    Column("Handled", lambda each: each.handled, lambda each: number(each.handled)),
    Column("Rate", lambda each: each.rate, lambda each: _rate(each.rate, "")),
    Column("Advanced", lambda each: each.advanced, lambda each: _long(each.advanced)),
    Column("Partitions", lambda each: each.partitions, lambda each: _amount(each.partitions, "")),
    Column("Failed", lambda each: each.failed_partitions, lambda each: _failed(each)),
    Column("Waiting", lambda each: each.waiting, lambda each: counted(each.waiting, "event")),
    Column("Worker", lambda each: each.worker),
    Column("Job", lambda each: each.job, lambda each: _job(each)),
    Column("Generation", lambda each: each.generation),
    Column("Tables", lambda each: ",".join(each.tables), lambda each: ", ".join(each.tables)),
    Column("Can", lambda each: ",".join(abilities(each)), lambda each: ", ".join(abilities(each))),
    Column("Version", lambda each: each.version),
)
OBSERVER_RESULTS: Final[tuple[Column[ObserverResult], ...]] = (
    Column("Observer", lambda each: each.observer),
    Column("Partition", lambda each: each.partition),
    Column("Changed", lambda each: str(each.changed).lower()),
    Column("Status", lambda each: each.status),
    Column("Position", lambda each: each.position),
    Column("Job", lambda each: each.job),
    Column("Message", lambda each: each.message),
)
OBSERVER_EVENTS: Final[tuple[Column[ObserverEventDocument], ...]] = (
    Column("Version", lambda each: each.version, right=True),
    Column("Time", lambda each: each.occurred, lambda each: local_short(each.occurred)),
    Column("Event", lambda each: each.event),
    Column("Actor", lambda each: each.actor, gives_way=True),
    Column("Source", lambda each: each.source),
    Column("Reason", lambda each: each.reason, gives_way=True),
    Column("Details", lambda each: details(each), gives_way=True),
)
FAILED_COLUMNS: Final[tuple[Column[FailedPartitionDocument], ...]] = (
    Column("Observer", lambda each: each.observer, gives_way=True),
    Column("Partition", lambda each: each.partition, gives_way=True),
    Column("Status", lambda each: each.status, style=lambda each: STATUS_STYLE[each.status]),
    Column("Position", lambda each: each.position, right=True),
    Column("Waiting", lambda each: each.waiting, right=True),
    Column("Attempts", lambda each: each.attempts, right=True),
    Column("Retry", lambda each: each.retry_at, lambda each: _retried_shortly(each), gives_way=True),
    Column("Error", lambda each: each.error, gives_way=True),
)
FAILED_FACTS: Final[tuple[Column[FailedPartitionDocument], ...]] = (
    Column("Observer", lambda each: each.observer),
    Column("Partition", lambda each: each.partition),
    Column("Status", lambda each: each.status, style=lambda each: STATUS_STYLE[each.status]),
    Column("Position", lambda each: each.position),
    Column("Waiting", lambda each: each.waiting, lambda each: counted(each.waiting, "event")),
    Column("Attempts", lambda each: each.attempts),
    Column("Since", lambda each: each.since, lambda each: _long(each.since)),
    Column("Retry", lambda each: each.retry_at, lambda each: _retried(each)),
    Column("Held up", lambda each: each.held_up),
    Column("Job", lambda each: each.job),
    Column("Error", lambda each: each.error),
)
ATTEMPT_COLUMNS: Final[tuple[Column[AttemptDocument], ...]] = (
    Column("Time", lambda each: each.occurred, lambda each: local_short(each.occurred)),
    Column("Attempt", lambda each: each.attempt, right=True),
    Column("Position", lambda each: each.position, right=True),
    Column("Actor", lambda each: each.actor, gives_way=True),
    Column("Error", lambda each: f"{each.error.type.rpartition('.')[2]}: {each.error.message}", gives_way=True),
)


def abilities(observer: ObserverDocument) -> list[str]:
    """What it can be asked for by its name: the commands, and what `replay` takes."""
    return [
        word
        for word, can in (
            ("replay", observer.can_replay),
            ("replay --beside", observer.can_replay_beside),
            ("replay --partition", observer.can_replay_partition),
            ("rebuild-index", observer.can_rebuild),
        )
        if can
    ]


def facts(document: D, columns: "Sequence[Column[D]]") -> "RenderableType":
    """A line for each fact that there is."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table.grid(padding=(0, 2))
    for column in columns:
        if told := column.people_text(document):
            drawn.add_row(Text(column.title, "bold"), Text(told, column.style(document) if column.style else ""))
    return drawn


def details(event: ObserverEventDocument) -> str:
    """What an event says, in a few words."""
    data, words = event.data, list[str]()
    if event.partition is not None:
        words.append(f"partition {event.partition}")
    if "position" in data:
        words.append(f"at {data['position']}")
    if "attempt" in data:
        words.append(f"attempt {data['attempt']}")
    if "held" in data and "to" in data:
        words.append(f"{data['held']} up to {data['to']}")
    if "events" in data:
        words.append(f"{data['events']} events")
    if "completed" in data:
        words.append("completed" if data["completed"] else "given up")
    if "job" in data:
        words.append(f"job {data['job']}")
    if "why" in data:
        words.append(str(data["why"]))
    match data.get("error"):
        case {"type": str(kind), "message": str(message)}:
            words.append(f"{kind.rpartition('.')[2]}: {message}")
        case _:  # none, or of a newer Milepost
            pass
    return "; ".join(words)


def _cannot_go_on(observer: ObserverDocument) -> bool:
    """Somebody runs it, and in vain: it would be called active."""
    return observer.status == "Active" and observer.trouble is not None


def _status(observer: ObserverDocument) -> str:
    return f"{observer.status} (trouble)" if _cannot_go_on(observer) else observer.status


def _status_style(observer: ObserverDocument) -> str:
    return "red" if _cannot_go_on(observer) else STATUS_STYLE[observer.status]


def _amount(value: int | None, absent: str = "-") -> str:
    return absent if value is None else number(value)


def _rate(rate: float | None, absent: str = "-") -> str:
    return absent if rate is None else f"{number(round(rate, 1) if rate < 10 else round(rate))}/s"


def _long(at: str | None) -> str:
    return local(at) if at else ""


def _declared(observer: ObserverDocument) -> str:
    return "" if observer.declared else "no: this program does not know its code"


def _failed(observer: ObserverDocument) -> str:
    if not observer.failed_partitions:
        return "0"
    given_up = f", {number(observer.quarantined_partitions)} quarantined" if observer.quarantined_partitions else ""
    return f"{counted(observer.failed_partitions, 'partition')}{given_up}"


def _job(observer: ObserverDocument) -> str:
    if observer.job is None:
        return ""
    does = {"catch-up": "catches it up", "replay": "replays it", "beside": "rebuilds it beside"}
    reached = f"{number(observer.job_position or 0)} of {number(observer.job_until or 0)}"
    return f"{observer.job} {does.get(observer.doing or '', 'works on it')}: it is at {reached}"


def _retried_shortly(partition: FailedPartitionDocument) -> str:
    return local_short(partition.retry_at) if partition.retry_at else partition.held_up or "-"


def _retried(partition: FailedPartitionDocument) -> str:
    if partition.retry_at is not None:
        return _long(partition.retry_at)
    return "not by itself: see 'failed-partitions retry' and 'skip'" if partition.status == "Quarantined" else ""
