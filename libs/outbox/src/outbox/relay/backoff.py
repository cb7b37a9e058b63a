"""Aggregates whose first unpublished event failed, and when the relay tries it again.

The events behind it wait as well: order within an aggregate goes before speed. If the broker
refused the event itself, the aggregate waits until a person has redriven or discarded the event.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import inf

from outbox.delays import doubling

BASE = 0.2
CEILING = 30.0


def retry_delay(attempts: int, *, base: float = BASE, ceiling: float = CEILING) -> float:
    """Seconds until the next attempt: doubles from `base`, never past `ceiling`."""
    return doubling(attempts, base=base, ceiling=ceiling)


@dataclass
class Backoff:
    """The aggregates that are left alone, by their key `type/id`. Callers pass the time in."""

    _until: dict[str, float] = field(default_factory=dict)
    _lowest: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._until)

    @property
    def keys(self) -> list[str]:
        """The aggregates whose events are left alone for now."""
        return list(self._until)

    def back_off(self, key: str, id_: int, *, attempts: int, now: float) -> None:
        """Leave an aggregate alone from this event on, longer with each attempt."""
        if self._until.get(key) == inf:
            return
        self._until[key], self._lowest[key] = now + retry_delay(attempts), id_

    def park(self, parked: Mapping[str, int]) -> None:
        """These aggregates wait for a person, each from this event on."""
        self._until |= dict.fromkeys(parked, inf)
        self._lowest |= parked

    def park_only(self, parked: Mapping[str, int]) -> int | None:
        """These aggregates wait for a person, and no others do any more.

        Returns the lowest id to read again, if an aggregate is no longer parked.
        """
        freed = [key for key, until in self._until.items() if until == inf and key not in parked]
        self.park(parked)
        return self._release(freed)

    def release_due(self, now: float, *, not_yet: Collection[str] = ()) -> int | None:
        """Release the aggregates whose time has come; returns the lowest id to read again."""
        return self._release(
            [key for key, until in self._until.items() if until <= now and key not in not_yet]
        )

    def hurry(self, now: float) -> None:
        """Make all aggregates due but the parked ones."""
        self._until |= {key: now for key, until in self._until.items() if until != inf}

    def next_due(self, now: float) -> float | None:
        """Seconds until the next release, or None if every aggregate here is parked."""
        first = min(self._until.values(), default=inf)
        return None if first == inf else max(0.0, first - now)

    def _release(self, keys: list[str]) -> int | None:
        ids = [self._lowest.pop(key) for key in keys]
        for key in keys:
            del self._until[key]
        return min(ids, default=None)
