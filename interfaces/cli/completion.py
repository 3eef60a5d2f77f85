"""What a shell offers when Tab is pressed; silent when anything is wrong, for nobody asked for a message."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import typer

from milepost.interfaces.cli.formats import Format

if TYPE_CHECKING:
    from milepost.interfaces.bootstrap import Application

OFFERED: Final = 50  # more than fits on a screen helps nobody
Offers = list[tuple[str, str]]


def job_ids(ctx: typer.Context, incomplete: str) -> Offers:
    """The newest jobs whose id begins so."""

    def beginning(app: "Application") -> Offers:
        from milepost.interfaces.bootstrap import id_prefix

        found = app.queries.beginning(app.namespace, id_prefix(incomplete) if incomplete else "", OFFERED)
        return [(row["id"], f"{row['type']} {row['status']}") for row in found]

    return _ask(ctx, beginning)


def job_types(ctx: typer.Context, incomplete: str) -> Offers:
    return _ask(ctx, lambda app: [(name, "") for name in app.job_types.names() if name.startswith(incomplete)])


def event_stores(ctx: typer.Context, incomplete: str) -> Offers:
    def named(app: "Application") -> Offers:
        stores = app.settings.event_stores
        return [(name, stores[name].source) for name in sorted(stores) if name.startswith(incomplete)]

    return _ask(ctx, named)


def namespaces(ctx: typer.Context, incomplete: str) -> Offers:
    def named(app: "Application") -> Offers:
        names = [str(row["name"]) for row in app.queries.namespaces()]
        return [(name, "") for name in names if name.startswith(incomplete)]

    return _ask(ctx, named)


def webhooks(ctx: typer.Context, incomplete: str) -> Offers:
    def named(app: "Application") -> Offers:
        from milepost.interfaces.webhook_service import WebhookService

        return [(each.name, each.state) for each in WebhookService(app).all() if each.name.startswith(incomplete)]

    return _ask(ctx, named)


def occasions(incomplete: str) -> Offers:
    from milepost.interfaces.webhook_service import OCCASIONS

    return [(name, each.meaning) for name, each in OCCASIONS.items() if name.startswith(incomplete)]


def contexts(incomplete: str) -> Offers:
    from milepost.infrastructure.contexts import Contexts

    try:
        return [(name, "") for name in sorted(Contexts.read().named) if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - see the module's docstring
        return []


def formats(incomplete: str) -> Offers:
    return [(name.value, "") for name in Format if name.value.startswith(incomplete)]


def job_statuses(incomplete: str) -> Offers:
    from milepost.domain.state_machine import JobStatus

    return [(status.value, "") for status in JobStatus if status.value.startswith(incomplete)]


def step_statuses(incomplete: str) -> Offers:
    from milepost.domain.state_machine import StepStatus

    return [(status.value, "") for status in StepStatus if status.value.startswith(incomplete)]


def _ask(ctx: typer.Context, question: "Callable[[Application], Offers]") -> Offers:
    """Put the question to the event store that the command line so far chooses."""
    try:
        from milepost.infrastructure.settings import resolve
        from milepost.interfaces.bootstrap import Application

        app = Application(resolve(event_store=_given(ctx, "event_store"), namespace=_given(ctx, "namespace")))
        try:
            return question(app)
        finally:
            app.close()
    except Exception:  # noqa: BLE001 - see the module's docstring
        return []


def _given(ctx: typer.Context, name: str) -> str | None:
    """The option where it stands nearest to the command."""
    at: typer.Context | None = ctx
    while at is not None:
        if at.params.get(name):
            return str(at.params[name])
        at = at.parent  # type: ignore[assignment]
    return None
