"""The application that is served: its routes, its errors, and what each answer carries."""

from ipaddress import ip_address
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from milepost.infrastructure.event_store.tokens import Tokens
from milepost.interfaces.bootstrap import Application, user_at_host
from milepost.interfaces.error_mapping import NOT_FOUND, Told
from milepost.interfaces.http import job_routes, problems, store_routes, stream_routes
from milepost.interfaces.http.access import Caller, NotAuthenticated
from milepost.interfaces.http.guard import Guard
from milepost.interfaces.http.open_streams import OpenStreams


class Address(NamedTuple):
    host: str
    port: int


class Served:
    """What a server serves: one event store, and who may ask. `open_to_all_here`: without tokens, on loopback alone."""

    def __init__(self, app: Application, *, open_to_all_here: bool) -> None:
        self.app = app
        self.name = app.settings.event_store.value
        self.open_to_all_here = open_to_all_here
        self._tokens = Tokens(app.database, app.store.surroundings)
        self._streams: OpenStreams | None = None

    def application(self, event_store: str) -> Application:
        """Raises Told."""
        if event_store != self.name:
            raise Told(NOT_FOUND, f"The event store '{event_store}' is not served here", f"There is '{self.name}'")
        return self.app

    def caller(self, event_store: str, authorization: str | None, client: Any) -> Caller:
        """Raises NotAuthenticated, or Told where there is no such event store."""
        scheme, _, secret = (authorization or "").partition(" ")
        if secret and scheme.lower() == "bearer":
            token = self._tokens.of(secret.strip())
            if token is None:
                raise NotAuthenticated
            self.application(event_store)
            return Caller(token.name, token)
        if authorization or not self.open_to_all_here or client is None or not _is_here(client.host):
            raise NotAuthenticated
        self.application(event_store)
        return Caller(f"{user_at_host()} (http)", None)

    def has_tokens(self) -> bool:
        """Whether anybody holds one that is good."""
        return bool(self.holding())

    def holding(self) -> frozenset[str]:
        """The names of the tokens that hold now."""
        now = self.app.now()
        return frozenset(token.name for token in self._tokens.all() if token.holds(now))

    def streams(self, app: Application) -> OpenStreams:
        """Asked for in the server's loop."""
        if self._streams is None:
            self._streams = OpenStreams(app.database, self.holding)
        return self._streams

    def end_streams(self) -> None:
        """All of them, now, and those to come. In the server's loop."""
        if self._streams is not None:
            self._streams.close()


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def build(served: Served) -> FastAPI:
    """The application."""
    app = FastAPI(title="Milepost", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.served = served
    app.include_router(stream_routes.router)  # before the routes of one job, which would take its name for an id
    app.include_router(job_routes.router)
    app.include_router(store_routes.router)
    app.add_exception_handler(RequestValidationError, problems.misused)
    app.add_exception_handler(HTTPException, problems.of_http)
    app.add_exception_handler(NotAuthenticated, _not_authenticated)
    app.add_middleware(Guard)
    return app


async def _not_authenticated(_request: Request, _error: Exception) -> Response:
    response = problems.answer(
        401, "not_authenticated", "No token that holds was given", "Send 'Authorization: Bearer TOKEN'"
    )
    response.headers["WWW-Authenticate"] = "Bearer"
    return response
