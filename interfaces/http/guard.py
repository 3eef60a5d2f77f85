"""What surrounds every answer: who asks, bounds on what is sent, errors as problems, headers that browsers heed.

Plain ASGI: a stream passes through here message by message, and a task for each would cost more than the message.
"""

import logging
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from milepost.interfaces.http import bodies, problems
from milepost.interfaces.http.access import is_loopback, token_of

if TYPE_CHECKING:
    from milepost.interfaces.http.app import Served

log = logging.getLogger("milepost.server")

SAFE: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",  # unless a route says otherwise: what a token shows is not for caches
}
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MOST_URL: Final = 8_192  # bytes
MOST_HEADERS: Final = 16_384  # bytes of all together
PASSED_ON: Final = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
)
_LOCAL_NAME: Final = "localhost"
_HTTP: Final = 80


class Guard:
    """Says who asks and what was refused before any route is asked."""

    def __init__(self, app: ASGIApp, served: "Served") -> None:
        self._app, self._served = app, served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer, plain = Answer(scope, send), _plain(scope)
        request = Request(plain, receive)
        with self._served.metrics.timed(plain, scope["method"], answer):
            await self._answered(request, answer)

    async def _answered(self, request: Request, answer: "Answer") -> None:
        try:
            refused = self._refused_unread(request)
            if refused is None:
                refused = await self._refused_caller(request)
            if refused is not None:
                await refused(request.scope, request.receive, answer.send)
                return
            await self._app(request.scope, await _read(request), answer.send)
        except bodies.ClientGone:
            return
        except bodies.BodyRefused as error:
            await problems.answer(error.status, "validation_error", str(error))(
                request.scope, request.receive, answer.send
            )
        except Exception as error:
            response = await problems.ours(request, error)
            if response.status_code == problems.DEFECT:
                log.exception("request %s: %s %s", answer.request_id, request.method, request.scope["path"])
            elif response.status_code == problems.UNAVAILABLE:
                log.warning("request %s: %s", answer.request_id, error)
            if answer.status is not None:  # nothing can be told any more: the connection breaks
                raise
            await response(request.scope, request.receive, answer.send)

    def _refused_unread(self, request: Request) -> Response | None:
        """For what stands in its head."""
        headers, scope = request.headers, request.scope
        raw_path: bytes = scope.get("raw_path") or b""
        if len(raw_path) + len(scope["query_string"]) > MOST_URL:
            return problems.answer(414, "validation_error", f"The URL has more than {MOST_URL:,} bytes")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADERS:
            return problems.answer(431, "validation_error", f"The headers have more than {MOST_HEADERS:,} bytes")
        if self._served.open_to_all_here and not _is_asked_as_local(request):
            # Else a page of another site, whose name it has made to mean this machine, could ask as if it were ours.
            return problems.answer(
                421,
                "not_allowed",
                "Without tokens this server answers to the names of this machine alone",
                "Ask at http://localhost with its port, or start it with --require-tokens",
            )
        if self._served.open_to_all_here and not PASSED_ON.isdisjoint(headers):
            return problems.answer(
                403,
                "not_allowed",
                "Without tokens this server answers to this machine alone, and this was passed on by a proxy",
                "Start it with --require-tokens behind a proxy",
            )
        # Who has a token has sent it by hand: no page of another site can have a browser do so.
        if self._served.open_to_all_here and is_for_callers(scope["path"]) and _is_foreign(request):
            return problems.answer(403, "not_allowed", "Requests from pages of other sites are refused")
        if request.method in READING:
            return None
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > bodies.MOST_BODY:
            error = bodies.too_long()
            return problems.answer(error.status, "validation_error", str(error))
        return None

    async def _refused_caller(self, request: Request) -> Response | None:
        """Says who asks, where that matters."""
        if not is_for_callers(request.scope["path"]):
            return None
        client = request.client.host if request.client else ""
        authorization = request.headers.get("authorization")
        caller = await self._served.caller(authorization, client)
        buckets = self._served.failures if caller is None else self._served.requests
        wait = buckets.wait(client if caller is None else caller.actor, time.monotonic())
        if wait:
            return problems.too_many(wait)
        if caller is None:
            return problems.not_authenticated(given=bool(token_of(authorization)))
        request.state.caller = caller
        return None


class Answer:
    """What is sent, with the headers that every answer has."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.request_id = secrets.token_hex(8)
        self.status: int | None = None
        self.begun_at: float | None = None
        self._without_body = scope["method"] == "HEAD"
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.begun_at = message["status"], time.perf_counter()
            headers = MutableHeaders(scope=message)
            for name, value in SAFE.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self.request_id
        elif self._without_body:
            message = {**message, "body": b""}
        await self._send(message)


def _is_foreign(request: Request) -> bool:
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        return True
    return request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


def is_for_callers(path: str) -> bool:
    """Whether it shows anything: not so the page's own files, and what a monitor asks."""
    return path == "/api" or path.startswith("/api/") or path == "/metrics"


def _plain(scope: Scope) -> Scope:
    """HEAD is GET without a body, but for streams, which have no end. The server keeps its own scope as it was."""
    head = scope["method"] == "HEAD" and not scope["path"].endswith("/stream")
    return {**scope, "method": "GET"} if head else dict(scope)


async def _read(request: Request) -> Receive:
    """What the application receives: of a body, the whole of it. Raises BodyRefused, ClientGone."""
    if request.method in READING:
        return request.receive
    body = await bodies.whole(request.receive)
    if body:
        # A page of another site can have a browser send a form here, but no JSON unasked.
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise bodies.BodyRefused(415, "The body must be application/json")
        await bodies.refuse_what_cannot_be_kept(body)
    told = False

    async def receive() -> Message:
        nonlocal told
        if told:
            return await request.receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _is_asked_as_local(request: Request) -> bool:
    server = request.scope.get("server")
    host = request.headers.get("host", "").lower()
    name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", str(_HTTP))
    if server is None or port != str(server[1]):
        return False
    return name == _LOCAL_NAME or is_loopback(name.removeprefix("[").removesuffix("]"))
