"""The application that is served: its routes, its errors, and what each answer carries."""

from functools import partial
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from milepost import __version__
from milepost.infrastructure.event_store.known_tokens import KnownTokens
from milepost.infrastructure.event_store.tokens import Tokens
from milepost.interfaces.bootstrap import Application, user_at_host
from milepost.interfaces.error_mapping import NOT_FOUND, Told
from milepost.interfaces.http import (
    bulk_routes,
    diff_routes,
    entry_routes,
    job_routes,
    monitor_routes,
    observer_routes,
    observer_stream_routes,
    page_routes,
    problems,
    prune_routes,
    store_routes,
    stream_routes,
    timeline_routes,
    why_routes,
)
from milepost.interfaces.http.access import Caller, is_loopback, token_of
from milepost.interfaces.http.guard import Guard
from milepost.interfaces.http.known_attempts import KnownAttempts
from milepost.interfaces.http.limits import Buckets, Limits
from milepost.interfaces.http.metrics import Metrics
from milepost.interfaces.http.monitor_routes import Readiness
from milepost.interfaces.http.open_streams import OpenStreams
from milepost.interfaces.http.openapi import publish
from milepost.interfaces.local_service import LocalService

NO_LIMITS_GIVEN: Final = Limits()
ROUTERS: Final = (
    stream_routes.router,  # before the routes of one job, which would take its name for an id
    bulk_routes.router,  # likewise
    prune_routes.router,  # likewise
    job_routes.router,
    timeline_routes.router,
    diff_routes.router,
    why_routes.router,
    observer_stream_routes.router,  # before the routes of one observer, likewise
    observer_routes.router,
    store_routes.router,
    entry_routes.router,
    monitor_routes.router,
    page_routes.router,
)


class Served:
    """What a server serves: one event store, and who may ask. `open_to_all_here`: without tokens, on loopback alone."""

    def __init__(self, app: Application, *, open_to_all_here: bool, limits: Limits = NO_LIMITS_GIVEN) -> None:
        self.app = app
        self.name = app.settings.event_store.value
        self.open_to_all_here = open_to_all_here
        self.requests = Buckets(limits.requests_per_second)
        self.failures = Buckets(limits.failures_per_second)
        self.readiness = Readiness()
        self.attempts = KnownAttempts(app)
        self._tokens = Tokens(app.database, app.store.surroundings)
        self._known_tokens = KnownTokens(self._tokens, app.store.surroundings.now)
        self._streams: OpenStreams | None = None
        self._leaving = False
        self.metrics = Metrics(app, lambda: len(self._streams or ()))

    def application(self, event_store: str) -> Application:
        """Raises Told."""
        if event_store != self.name:
            raise Told(NOT_FOUND, f"The event store '{event_store}' is not served here", f"There is '{self.name}'")
        return self.app

    async def caller(self, authorization: str | None, client: str) -> Caller | None:
        """Who asks from that address; None for nobody that may. Raises DatabaseUnavailable, CannotOpenDatabase."""
        if authorization is None:
            return Caller(f"{user_at_host()} (http)", None) if self.open_to_all_here and is_loopback(client) else None
        secret = token_of(authorization)
        token = await self._known_tokens.of(secret) if secret else None
        return None if token is None else Caller(token.name, token)

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
            self._streams = OpenStreams(app.database, self.holding, partial(LocalService, app))
            if self._leaving:
                self._streams.end()
        return self._streams

    def end_streams(self) -> None:
        """All of them, now, and those to come. In the server's loop."""
        self._leaving = True
        if self._streams is not None:
            self._streams.end()

    def close(self) -> None:
        """Once nobody is served any more."""
        if self._streams is not None:
            self._streams.close()
        self._known_tokens.close()


def build(served: Served) -> FastAPI:
    """The application."""
    app = FastAPI(
        title="Milepost",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,  # to where the Host header says
        generate_unique_id_function=_operation_id,
    )
    app.state.served, app.state.routes = served, routes()
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(RequestValidationError, problems.misused)
    app.add_exception_handler(HTTPException, problems.of_http)
    app.add_middleware(Guard, served=served)
    publish(app)
    return app


def routes() -> tuple[APIRoute, ...]:
    """All that is asked, each with its whole path."""
    return tuple(route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute))


def _operation_id(route: APIRoute) -> str:
    return route.name
