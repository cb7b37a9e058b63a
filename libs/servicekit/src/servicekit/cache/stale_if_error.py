"""Answers of external systems: kept while fresh, and longer only while the system is away.

The rule is that of `stale-if-error` (RFC 5861, section 4).
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from prometheus_client import Counter

from servicekit.http.client import NotThere, Unavailable

__all__ = ["StaleIfErrorCache"]

LIMIT = 10_000

CACHE = Counter(
    "external_cache_total",
    "Answers of external systems: fresh from the cache (hit), old because the system is away"
    " (stale), or asked for (miss).",
    ["system", "result"],
)

V = TypeVar("V")


class StaleIfErrorCache(Generic[V]):
    """Values by key. For `fresh` seconds the system is not asked again.

    A value up to `kept` seconds old is returned while the system is away. At most `limit` values
    are kept, those used last.
    """

    def __init__(
        self,
        system: str,
        ask: Callable[[str], Awaitable[V]],
        *,
        fresh: float,
        kept: float,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system = system
        self._ask = ask
        self._fresh, self._kept, self._limit = fresh, kept, limit
        self._clock = clock
        self._values: OrderedDict[str, tuple[float, V]] = OrderedDict()

    async def get(self, key: str) -> V:
        """Return the value. Raises `NotThere`, or `Unavailable` if no old value can stand in."""
        kept = self._values.get(key)
        if kept is not None and self._age(kept) < self._fresh:
            return self._answered(key, kept, "hit")
        try:
            kept = (self._clock(), await self._ask(key))
        except NotThere:
            self._values.pop(key, None)
            raise
        except Unavailable:
            kept = self._values.get(key)
            if kept is None or self._age(kept) > self._kept:
                self._values.pop(key, None)
                raise
            return self._answered(key, kept, "stale")
        return self._answered(key, kept, "miss")

    def _age(self, kept: tuple[float, V]) -> float:
        return self._clock() - kept[0]

    def _answered(self, key: str, kept: tuple[float, V], result: str) -> V:
        self._values[key] = kept
        self._values.move_to_end(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)
        CACHE.labels(self._system, result).inc()
        return kept[1]
