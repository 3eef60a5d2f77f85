"""What a shell offers when Tab is pressed; silent when anything is wrong, for nobody asked for a message."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import typer

from milepost.interfaces.cli.formats import Format

if TYPE_CHECKING:
    from milepost.interfaces.cli.session import Session
    from milepost.interfaces.service import Service

OFFERED: Final = 50  # more than fits on a screen helps nobody
MOST_LOOKED_AT: Final = 1_000
Offers = list[tuple[str, str]]


def job_ids(ctx: typer.Context, incomplete: str) -> Offers:
    """The newest jobs whose id begins so."""

    def beginning(service: "Service") -> Offers:
        return [(job.id, f"{job.type} {job.status}") for job in service.beginning(incomplete, limit=OFFERED)]

    return _ask(ctx, beginning)


def job_types(ctx: typer.Context, incomplete: str) -> Offers:
    def known(service: "Service") -> Offers:
        return [(each.name, "") for each in service.job_types() if each.name.startswith(incomplete)]

    return _ask(ctx, known)


def observers(ctx: typer.Context, incomplete: str) -> Offers:
    def named(service: "Service") -> Offers:
        return [(each.name, each.status) for each in service.observers() if each.name.startswith(incomplete)]

    return _ask(ctx, named)


def failed_partitions(ctx: typer.Context, incomplete: str) -> Offers:
    """Of the observer that is named before."""
    observer = _given(ctx, "observer")

    def failed(service: "Service") -> Offers:
        found = service.failed_partitions(observer, limit=MOST_LOOKED_AT)
        return [(each.partition, each.error) for each in found if each.partition.startswith(incomplete)][:OFFERED]

    return _ask(ctx, failed) if observer else []


def event_stores(ctx: typer.Context, incomplete: str) -> Offers:
    def named(service: "Service") -> Offers:
        return [(each.name, each.source) for each in service.event_stores() if each.name.startswith(incomplete)]

    return _ask(ctx, named)


def namespaces(ctx: typer.Context, incomplete: str) -> Offers:
    def named(service: "Service") -> Offers:
        return [(each.name, "") for each in service.namespaces() if each.name.startswith(incomplete)]

    return _ask(ctx, named)


def webhooks(ctx: typer.Context, incomplete: str) -> Offers:
    def named(session: "Session") -> Offers:
        from milepost.interfaces.webhook_service import WebhookService

        webhooks = WebhookService(session.app).all()
        return [(each.name, each.state) for each in webhooks if each.name.startswith(incomplete)]

    return _in_session(ctx, named)


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


def _ask(ctx: typer.Context, question: "Callable[[Service], Offers]") -> Offers:
    """Put the question to the event store, or to the server, that the command line so far chooses."""
    return _in_session(ctx, lambda session: question(session.service))


def _in_session(ctx: typer.Context, question: "Callable[[Session], Offers]") -> Offers:
    try:
        from milepost.interfaces.cli.session import Globals, Session

        session = Session(
            Globals(_given(ctx, "event_store"), _given(ctx, "namespace"), _given(ctx, "server"), quiet=True)
        )
        try:
            return question(session)
        finally:
            session.close()
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
