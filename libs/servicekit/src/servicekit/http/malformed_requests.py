"""Input that is not a request: all of it is counted, and one line a second is logged per code.

A caller who sends nothing else could otherwise push all other lines out of the log.
"""

import time
from collections.abc import Callable

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter

__all__ = ["MALFORMED_REQUESTS", "MalformedRequests"]

LINE_EVERY = 1.0

logger = structlog.get_logger(__name__)


class MalformedRequests:
    """What a process has refused before there was a request, by the code of the problem."""

    def __init__(
        self,
        registry: CollectorRegistry = REGISTRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counter = Counter(
            "http_malformed_requests",
            "Refused before there was a request.",
            ("code",),
            registry=registry,
        )
        self._clock = clock
        self._next_line: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def note(self, code: str, client: tuple[str, int] | None) -> None:
        """Count one. The line says how many of this code there were since the last line, and
        the address that this one came from.
        """
        self._counter.labels(code).inc()
        count = self._unsaid[code] = self._unsaid.get(code, 0) + 1
        now = self._clock()
        if now >= self._next_line.get(code, 0.0):
            address = client[0] if client else None
            logger.warning("malformed_request", code=code, client=address, count=count)
            self._next_line[code], self._unsaid[code] = now + LINE_EVERY, 0


MALFORMED_REQUESTS = MalformedRequests()
