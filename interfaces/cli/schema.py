"""`milepost schema`: the published JSON schema of what is printed as JSON."""

import json
from typing import Annotated

import typer

from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import NOT_FOUND, Told

app = new_app()


@command(app, "schema")
def show_schema(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="A document; none: list their names.", metavar="NAME")] = None,
) -> None:
    """Print the JSON schema of a document, or the names of all."""
    from milepost.interfaces.schemas import DOCUMENTS, schema_of

    if name is None:
        if session.format.is_json and not session.quiet:
            session.out.json({each: schema_of(each) for each in DOCUMENTS})
        else:
            session.out.line("\n".join(DOCUMENTS))
        return
    if name not in DOCUMENTS:
        raise Told(NOT_FOUND, f"There is no document '{name}'", f"There are {', '.join(DOCUMENTS)}")
    session.out.line(json.dumps(schema_of(name), indent=2))
