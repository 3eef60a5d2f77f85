"""The routes that a monitor asks: whether the server lives, whether its event store answers, and figures."""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse

from milepost.interfaces.http import metrics
from milepost.interfaces.http.access import Caller, overseer
from milepost.interfaces.http.answers import ReadyDocument, answered, told

router = APIRouter(tags=["monitoring"])
FRESH_SECONDS: Final = 1.0


class Readiness:
    """Whether the event store answers, as it was a moment ago: who asks needs no token, and may not load it."""

    def __init__(self) -> None:
        self._looking: asyncio.Future[object] | None = None
        self._looked_at = 0.0

    async def look(self, ask: Callable[[], object]) -> None:
        """One look for all who ask at a time. Raises what `ask` has raised."""
        looking = self._looking
        if looking is None or (looking.done() and time.monotonic() - self._looked_at >= FRESH_SECONDS):
            self._looked_at = time.monotonic()
            self._looking = looking = asyncio.ensure_future(asyncio.to_thread(ask))
        await asyncio.shield(looking)


@router.get("/healthz", response_class=PlainTextResponse)
async def is_alive() -> str:
    """Whether the server runs."""
    return "ok"


@router.get("/readyz", responses=told(ReadyDocument))
async def is_ready(request: Request) -> Response:
    """Whether its event store answers."""
    served = request.app.state.served
    await served.readiness.look(lambda: served.app.queries.live_workers(served.app.now()))
    return answered(ReadyDocument(ready=True))


class MetricsResponse(Response):
    """Figures in the text format of Prometheus."""

    media_type = metrics.MEDIA_TYPE


@router.get("/metrics", response_class=MetricsResponse)
def show_metrics(request: Request, _: Annotated[Caller, Depends(overseer)]) -> Response:
    """Figures for Prometheus: requests, streams, workers, and the jobs of all namespaces."""
    return MetricsResponse(request.app.state.served.metrics.text())
