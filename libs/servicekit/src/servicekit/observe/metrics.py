"""Prometheus: requests by route and status, how long they took, and which services are up."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.responses import Response

from servicekit.http.routing import ProbeRoute, Router

__all__ = ["HttpMetrics", "http_metrics", "metrics_router", "showing_background_services"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""Where processes that share a port keep their metrics; read by prometheus_client too."""
UP = Gauge(
    "background_service_up",
    "1 while a background service has all its connections, 0 while it has not.",
    ["name"],
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpMetrics:
    """The two series of one registry. Their children are kept, so a request costs one look-up."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._requests = Counter(
            "http_requests", "Answered requests.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds until the answer began.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method if method in METHODS else "OTHER", route, status)
        children = self._children.get(key)
        if children is None:
            children = (
                self._requests.labels(key[0], route, str(status)),
                self._seconds.labels(key[0], route),
            )
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)


@contextmanager
def showing_background_services(running: Mapping[str, Callable[[], bool]]) -> Iterator[None]:
    """Say by name whether each runs; it is asked whenever somebody reads the metrics."""
    for name, runs in running.items():
        UP.labels(name).set_function(runs)
    try:
        yield
    finally:
        for name in running:
            UP.remove(name)


@cache
def http_metrics(registry: CollectorRegistry = REGISTRY) -> HttpMetrics:
    """Return the one HttpMetrics of `registry`: a process may make more than one application."""
    return HttpMetrics(registry)


def metrics_router(registry: CollectorRegistry = REGISTRY) -> Router:
    router = Router(include_in_schema=False, route_class=ProbeRoute)

    @router.get("/metrics")
    async def metrics() -> Response:
        several = registry is REGISTRY and METRICS in os.environ
        text = await asyncio.to_thread(_of_all_processes) if several else generate_latest(registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router


def _of_all_processes() -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
