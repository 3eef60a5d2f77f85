"""`milepost types`: the job types that are known here, and what each takes."""

import json
from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.domain.queues import DEFAULT_QUEUE
from milepost.interfaces.asked_texts import refuse_bad_types
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, group, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.documents import Json
from milepost.interfaces.quantities import clean
from milepost.interfaces.result_documents import JobTypeDocument

if TYPE_CHECKING:
    from rich.console import RenderableType

app = new_app(help="The job types that are known here.")
group(app)


def _fields(document: JobTypeDocument) -> dict[str, dict[str, Json]]:
    fields: dict[str, dict[str, Json]] = document.request.get("properties", {})
    return fields


COLUMNS: Final[tuple[Column[JobTypeDocument], ...]] = (
    Column("Name", lambda each: each.name),
    Column("Request", lambda each: ", ".join(_fields(each)) or "-", gives_way=True),
    Column("Description", lambda each: each.description, gives_way=True),
)


@command(app, "list")
def list_types(session: Session) -> None:
    """List the job types: shipped, of installed packages, and those that milepost.toml names."""
    found = session.service.job_types()
    _warn(session)
    session.out.many(found, COLUMNS, lambda each: each.name)


@command(app, "show")
def show_type(
    session: Session,
    name: Annotated[str, typer.Argument(help="A job type.", metavar="TYPE", autocompletion=completion.job_types)],
) -> None:
    """Show a job type: what its request takes, how its steps are retried and limited."""
    refuse_bad_types((name,))
    _warn(session)
    document = session.service.job_type(name)
    session.out.one(document, FACTS, lambda each: each.name, lambda: _view(document))


FACTS: Final[tuple[Column[JobTypeDocument], ...]] = (
    Column("Name", lambda each: each.name),
    Column("Description", lambda each: each.description),
    Column("Source", lambda each: each.source),
    Column("Policy", lambda each: json.dumps(each.policy)),
    Column("Limits", lambda each: json.dumps(each.limits)),
    Column("Queue", lambda each: each.queue),
    Column("Priority", lambda each: each.priority),
    Column("Request", lambda each: json.dumps(each.request)),
)


def _warn(session: Session) -> None:
    for problem in session.service.type_problems():
        session.note(f"Warning: {problem}")


def _view(document: JobTypeDocument) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    policy = document.policy
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold", no_wrap=True)
    head.add_column()
    head.add_row("Job type", document.name)
    head.add_row("What", clean(document.description) or "-")
    head.add_row("Class", document.source)
    head.add_row("Attempts", f"{policy['attempts']} for each step")
    head.add_row("Timeout", f"{policy['timeoutSeconds']:g} s" if policy["timeoutSeconds"] else "none")
    head.add_row("Failed steps", "halt the job" if policy["onFailure"] == "halt" else "do not keep back the others")
    if any(document.limits.values()):
        head.add_row("Limits", json.dumps(document.limits))
    if document.queue != DEFAULT_QUEUE or document.priority:
        head.add_row("Queue", f"{document.queue}, priority {document.priority}")
    fields = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("Field", "Type", "Default", "Description"):
        fields.add_column(title)
    required = document.request.get("required", [])
    for name, field in _fields(document).items():
        default = "required" if name in required else json.dumps(field.get("default"))
        fields.add_row(Text(name), _type_of(field), default, Text(clean(field.get("description", ""))))
    example = f"milepost jobs start {document.name}" + "".join(f" --set {name}=…" for name in required)
    return Group(head, "", fields, "", Text(f"Start one: {example}", style="dim"))


def _type_of(field: dict[str, Json]) -> str:
    if "anyOf" in field:
        return " or ".join(_type_of(each) for each in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type_of(field.get('items', {}))}"
    return str(field.get("type") or field.get("$ref", "any").rpartition("/")[2])
