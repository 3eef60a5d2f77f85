"""Who asks, and what they may: every route asks here before it does anything."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Path, Request

from milepost.domain.envelope import Origin
from milepost.infrastructure.event_store.tokens import Role, Token
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.error_mapping import NOT_ALLOWED, NOT_FOUND, Told
from milepost.interfaces.local_service import LocalService

if TYPE_CHECKING:
    from milepost.interfaces.http.app import Served

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
EventStore = Annotated[str, Path(pattern=NAME, description="The name of an event store that is served.")]
Namespace = Annotated[str, Path(pattern=NAME, description="A namespace.")]


class NotAuthenticated(Exception):
    """No token, or one that does not hold."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `token`: None where the server is open, to this machine alone."""

    actor: str
    token: Token | None

    def may(self, role: Role) -> bool:
        return self.token is None or self.token.role >= role

    def may_see(self, namespace: str) -> bool:
        return self.token is None or self.token.may_see(namespace)


@dataclass(frozen=True, slots=True)
class Access:
    """What a route works with: the service of a namespace that the caller may see."""

    app: Application
    caller: Caller
    service: LocalService


def caller_of(request: Request, event_store: EventStore) -> Caller:
    """Raises NotAuthenticated; Told where there is no such event store here, or none that the caller may know of."""
    served: Served = request.app.state.served
    return served.caller(event_store, request.headers.get("authorization"), request.client)


def _access(role: Role, request: Request, event_store: EventStore, namespace: Namespace) -> Access:
    caller = caller_of(request, event_store)
    if not caller.may_see(namespace):
        # Not "not allowed": that would tell whether there is such a namespace.
        raise Told(NOT_FOUND, f"There is no namespace '{namespace}' here", "Use one that your token is for")
    if not caller.may(role):
        needed = role.name.lower()
        raise Told(
            NOT_ALLOWED, f"This needs the role {needed}", f"Ask for a token: 'milepost tokens create --role {needed}'"
        )
    app = request.app.state.served.application(event_store)
    return Access(app, caller, LocalService(app, namespace, partial(_origin, caller)))


def _origin(caller: Caller, reason: str = "") -> Origin:
    return Origin(actor=caller.actor, source="http", reason=reason)


def viewer(request: Request, event_store: EventStore, namespace: Namespace) -> Access:
    return _access(Role.VIEWER, request, event_store, namespace)


def operator(request: Request, event_store: EventStore, namespace: Namespace) -> Access:
    return _access(Role.OPERATOR, request, event_store, namespace)
