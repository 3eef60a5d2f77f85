"""What surrounds every answer: bounds on what is sent, errors of ours as problems, headers that keep browsers careful.

Plain ASGI: a stream passes through here message by message, and a task for each would cost more than the message.
"""

import logging
import secrets
from typing import Final

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from milepost.interfaces.http import problems

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


class Guard:
    """Bounds the body, refuses what another site's page sends, and tells errors of ours as problems."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, request_id, begun = Request(scope), secrets.token_hex(8), False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in SAFE.items():
                    headers.setdefault(name, value)
                headers["X-Request-ID"] = request_id
            await send(message)

        if (refused := _refused(request)) is not None:
            await refused(scope, receive, guarded)
            return
        try:
            await self._app(scope, receive, guarded)
        except Exception as error:
            response = await problems.ours(request, error)
            if response.status_code == 500:
                log.exception("request %s: %s %s", request_id, request.method, request.url.path)
            if begun:  # nothing can be told any more: the connection breaks
                raise
            await response(scope, receive, guarded)


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
