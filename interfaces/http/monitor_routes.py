"""The routes that a monitor asks: whether the server lives, whether its event store answers, and figures."""

import threading
import time
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse

from milepost.interfaces.bootstrap import CannotOpenDatabase, DatabaseUnavailable
from milepost.interfaces.http import metrics
from milepost.interfaces.http.access import Caller, overseer
from milepost.interfaces.http.answers import ReadyDocument, answered, told

router = APIRouter(tags=["monitoring"])
FRESH_SECONDS: Final = 1.0


class Readiness:
    """Whether the event store answers, as it was a moment ago: who asks needs no token, and may not load it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._looked_at: float | None = None
        self._error: Exception | None = None

    def look(self, ask: Callable[[], object]) -> None:
        """Raises what `ask` has raised."""
        with self._turn:
            now = time.monotonic()
            if self._looked_at is None or now - self._looked_at >= FRESH_SECONDS:
                try:
                    ask()
                    self._error = None
                except (DatabaseUnavailable, CannotOpenDatabase) as error:
                    self._error = error
                self._looked_at = time.monotonic()
            if self._error is not None:
                raise self._error


@router.get("/healthz", response_class=PlainTextResponse)
async def is_alive() -> str:
    """Whether the server runs."""
    return "ok"


@router.get("/readyz", responses=told(ReadyDocument))
def is_ready(request: Request) -> Response:
    """Whether its event store answers."""
    served = request.app.state.served
    served.readiness.look(lambda: served.app.queries.live_workers(served.app.now()))
    return answered(ReadyDocument(ready=True))


class MetricsResponse(Response):
    """Figures in the text format of Prometheus."""

    media_type = metrics.MEDIA_TYPE


@router.get("/metrics", response_class=MetricsResponse)
def show_metrics(request: Request, _: Annotated[Caller, Depends(overseer)]) -> Response:
    """Figures for Prometheus: requests, streams, workers, and the jobs of all namespaces."""
    return MetricsResponse(request.app.state.served.metrics.text())
