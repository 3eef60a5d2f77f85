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

from milepost.infrastructure.observers.figures import figures_of_all
from milepost.interfaces.bootstrap import Application

if TYPE_CHECKING:
    from milepost.interfaces.http.guard import Answer

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_NAMESPACES: Final = 100  # the largest; what the others have is under one name, which no namespace can have
MOST_OBSERVERS: Final = 200  # that have handled most; likewise
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
        self._registry.register(_Observers(app))

    @contextmanager
    def timed(self, scope: Scope, method: str, answer: "Answer") -> Generator[None]:
        """Counts the request; a stream's end is none of its latency."""
        began = time.perf_counter()
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


class _Observers(Collector):
    """Asked anew each time."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def describe(self) -> Iterable[Metric]:
        return self._families()  # without asking the database

    def collect(self) -> Iterable[Metric]:
        lag, handled, failed = self._families()
        found = sorted(figures_of_all(self._app.database), key=lambda each: -each.handled)
        for each in found[:MOST_OBSERVERS]:
            labels = [each.namespace, each.observer]
            if each.lag is not None:
                lag.add_metric(labels, each.lag)
            handled.add_metric(labels, each.handled)
            failed.add_metric(labels, each.failed)
        if others := found[MOST_OBSERVERS:]:
            labels = [OTHERS, OTHERS]
            lag.add_metric(labels, max(each.lag or 0 for each in others))
            handled.add_metric(labels, sum(each.handled for each in others))
            failed.add_metric(labels, sum(each.failed for each in others))
        return lag, handled, failed

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        labels = ("namespace", "observer")
        return (
            GaugeMetricFamily("milepost_observer_lag_events", "How many events it is behind, at most.", labels=labels),
            # No counter: a replay begins anew.
            GaugeMetricFamily("milepost_observer_handled_events", "Events that are handled.", labels=labels),
            GaugeMetricFamily(
                "milepost_observer_failed_partitions", "Partitions that do not go on with the others.", labels=labels
            ),
        )
