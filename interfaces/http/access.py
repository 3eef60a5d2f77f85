"""Who asks, and what they may: every route asks here before it does anything."""

from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
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
NO_SPACES: Final = r"^[\x21-\x7e]+$"
ID_BEGUN: Final = r"^[0-9a-fA-F-]{0,36}$"
NO_NUL: Final = r"^[^\x00]*$"  # which PostgreSQL cannot keep
EventStore = Annotated[str, Path(pattern=NAME, description="The name of an event store that is served.")]
Namespace = Annotated[str, Path(pattern=NAME, description="A namespace.")]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `token`: None where the server is open, to this machine alone."""

    actor: str
    token: Token | None

    @property
    def role(self) -> Role:
        return Role.ADMIN if self.token is None else self.token.role

    @property
    def namespaces(self) -> tuple[str, ...] | None:
        """Those that it may see; None: all."""
        return None if self.token is None else self.token.namespaces

    def may(self, role: Role) -> bool:
        return self.role >= role

    def may_see(self, namespace: str) -> bool:
        return self.token is None or self.token.may_see(namespace)


@dataclass(frozen=True, slots=True)
class Access:
    """What a route works with: the service of a namespace that the caller may see."""

    app: Application
    caller: Caller
    service: LocalService


def is_loopback(address: str) -> bool:
    """Whether this address is of this machine alone."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def token_of(authorization: str | None) -> str:
    """The secret that the header shows; empty where it shows none."""
    scheme, _, secret = (authorization or "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


async def caller_of(request: Request, event_store: EventStore) -> Caller:
    """Who asks for something of that event store. Raises Told where none of that name is served."""
    _ = request.app.state.served.application(event_store)
    caller: Caller = request.state.caller
    return caller


async def whoever(request: Request) -> Caller:
    """Who asks for something of no event store."""
    caller: Caller = request.state.caller
    return caller


async def overseer(request: Request) -> Caller:
    """An admin of all namespaces. Raises Told."""
    caller: Caller = request.state.caller
    _refuse_less_than(Role.ADMIN, caller)
    if caller.namespaces is not None:
        raise Told(
            NOT_ALLOWED, "This tells of all namespaces, and the token is for some", "Use one that is for all namespaces"
        )
    return caller


def _access(role: Role, request: Request, event_store: EventStore, namespace: Namespace) -> Access:
    served: Served = request.app.state.served
    app = served.application(event_store)
    caller: Caller = request.state.caller
    if not caller.may_see(namespace):
        # Not "not allowed": that would tell whether there is such a namespace.
        raise Told(NOT_FOUND, f"There is no namespace '{namespace}' here", "Use one that your token is for")
    _refuse_less_than(role, caller)
    return Access(app, caller, LocalService(app, namespace, partial(origin_of, caller), caller.may_see))


def _refuse_less_than(role: Role, caller: Caller) -> None:
    if not caller.may(role):
        needed = role.name.lower()
        raise Told(
            NOT_ALLOWED, f"This needs the role {needed}", f"Ask for a token: 'milepost tokens create --role {needed}'"
        )


def origin_of(caller: Caller, reason: str = "") -> Origin:
    return Origin(actor=caller.actor, source="http", reason=reason)


async def viewer(request: Request, event_store: EventStore, namespace: Namespace) -> Access:
    return _access(Role.VIEWER, request, event_store, namespace)


async def admin(request: Request, event_store: EventStore, namespace: Namespace) -> Access:
    return _access(Role.ADMIN, request, event_store, namespace)


async def operator(request: Request, event_store: EventStore, namespace: Namespace) -> Access:
    return _access(Role.OPERATOR, request, event_store, namespace)
