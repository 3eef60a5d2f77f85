"""What Prometheus reads: how the server is asked, and what is in its event store."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from milepost.interfaces.bootstrap import Application

if TYPE_CHECKING:
    from milepost.interfaces.http.guard import Answer

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_NAMESPACES: Final = 100  # the largest; what the others have is under one name, which no namespace can have
OTHERS: Final = "(others)"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNROUTED: Final = "(none)"
SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Those of one served application, in a registry of its own."""

    def __init__(self, app: Application, open_streams: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "milepost_http_requests", "Answers, by route.", ("route", "method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "milepost_http_request_seconds",
            "Until an answer was begun, by route.",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        streams = Gauge("milepost_http_open_streams", "Streams that are open.", registry=self._registry)
        streams.set_function(open_streams)
        self._registry.register(_EventStore(app))

    @contextmanager
    def timed(self, scope: Scope, answer: "Answer") -> Generator[None]:
        """Counts the request; a stream's end is none of its latency."""
        began, method = time.perf_counter(), scope["method"]
        try:
            yield
        finally:
            route = getattr(scope.get("route"), "path_format", UNROUTED)
            until = answer.begun_at or time.perf_counter()
            status = str(answer.status or "aborted")
            self._requests.labels(route, method if method in METHODS else "other", status).inc()
            self._seconds.labels(route).observe(until - began)

    def text(self) -> bytes:
        """Raises DatabaseUnavailable."""
        return generate_latest(self._registry)


class _EventStore(Collector):
    """Asked anew each time."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def describe(self) -> Iterable[Metric]:
        return self._families()  # without asking the database

    def collect(self) -> Iterable[Metric]:
        jobs, workers = self._families()
        found = self._app.queries.counts_by_namespace()
        sizes: dict[str, int] = {}
        for namespace, _, count in found:
            sizes[namespace] = sizes.get(namespace, 0) + count
        largest = set(sorted(sizes, key=lambda name: (-sizes[name], name))[:MOST_NAMESPACES])
        counts: dict[tuple[str, str], int] = {}
        for namespace, status, count in found:
            key = (namespace if namespace in largest else OTHERS, status)
            counts[key] = counts.get(key, 0) + count
        for (namespace, status), count in sorted(counts.items()):
            jobs.add_metric([namespace, status], count)
        workers.add_metric([], len(self._app.queries.live_workers(self._app.now())))
        return jobs, workers

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily("milepost_jobs", "Jobs that are not removed.", labels=("namespace", "status")),
            GaugeMetricFamily("milepost_workers_alive", "Workers whose heartbeat is not overdue."),
        )
