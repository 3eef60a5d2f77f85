"""The application that is served: its routes, its errors, and what each answer carries."""

import logging
import secrets
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from milepost.infrastructure.event_store.tokens import Tokens
from milepost.interfaces.bootstrap import Application, user_at_host
from milepost.interfaces.error_mapping import NOT_FOUND, Told
from milepost.interfaces.http import (
    bulk_routes,
    entry_routes,
    job_routes,
    page_routes,
    problems,
    store_routes,
    stream_routes,
    timeline_routes,
)
from milepost.interfaces.http.access import Caller, NotAuthenticated
from milepost.interfaces.http.feed import Feed

log = logging.getLogger("milepost.server")

MOST_BODY: Final = 1_000_000  # bytes
SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


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
        self._feed: Feed | None = None

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
        now = self.app.now()
        return any(token.holds(now) for token in self._tokens.all())

    def feed(self, app: Application) -> Feed:
        if self._feed is None:
            self._feed = Feed(app.database)
        return self._feed

    def close(self) -> None:
        if self._feed is not None:
            self._feed.close()


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
    app.include_router(bulk_routes.router)
    app.include_router(job_routes.router)
    app.include_router(timeline_routes.router)
    app.include_router(store_routes.router)
    app.include_router(entry_routes.router)
    app.include_router(page_routes.router)
    app.add_exception_handler(RequestValidationError, problems.misused)
    app.add_exception_handler(HTTPException, problems.of_http)
    app.add_exception_handler(NotAuthenticated, _not_authenticated)
    app.middleware("http")(_guarded)
    return app


async def _not_authenticated(_request: Request, _error: Exception) -> Response:
    response = problems.answer(
        401, "not_authenticated", "No token that holds was given", "Send 'Authorization: Bearer TOKEN'"
    )
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


async def _guarded(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    """Bounds the body, refuses what another site's page sends, and tells errors of ours as problems."""
    request_id = secrets.token_hex(8)
    response = _refused(request)
    if response is None:
        try:
            response = await go_on(request)
        except Exception as error:
            response = await problems.ours(request, error)
            if response.status_code == 500:
                log.exception("request %s: %s %s", request_id, request.method, request.url.path)
    for name, value in SAFE.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-ID"] = request_id
    return response


def _refused(request: Request) -> Response | None:
    length = request.headers.get("content-length", "0")
    if request.method not in READING:
        if not length.isdigit() or "transfer-encoding" in request.headers:
            return problems.answer(411, "validation_error", "The length of the body is not said")
        if int(length) > MOST_BODY:
            return problems.answer(413, "validation_error", f"The body has more than {MOST_BODY:,} bytes")
        # A page of another site can have a browser send a form here, but no JSON and no foreign origin unnoticed.
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if int(length) and kind != "application/json":
            return problems.answer(415, "validation_error", "The body must be application/json")
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            return problems.answer(403, "not_allowed", "Requests from pages of other sites are refused")
    return None
