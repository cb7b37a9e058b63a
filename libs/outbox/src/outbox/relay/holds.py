"""Aggregates whose first event could not be published, and when it is tried again.

The events behind it wait as well: order within an aggregate goes before speed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BASE = 0.2
CEILING = 30.0


def retry_delay(attempts: int, *, base: float = BASE, ceiling: float = CEILING) -> float:
    """Seconds until the next attempt: doubles from `base`, never past `ceiling`."""
    return min(base * 2.0 ** min(attempts, 30), ceiling)


@dataclass
class Holds:
    """Held aggregates by their key, `type/id`. The clock comes in as an argument."""

    _until: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._until)

    @property
    def keys(self) -> list[str]:
        """Whose events are left alone for now."""
        return list(self._until)

    def hold(self, key: str, *, attempts: int, now: float) -> None:
        """Leave an aggregate alone for a while, longer with each attempt."""
        self._until[key] = now + retry_delay(attempts)

    def release_due(self, now: float) -> bool:
        """Let go of those whose time has come; true if there were any."""
        due = [key for key, until in self._until.items() if until <= now]
        for key in due:
            del self._until[key]
        return bool(due)

    def release_all(self) -> None:
        """After the topology came back: try everything at once."""
        self._until.clear()

    def next_due(self, now: float) -> float | None:
        """Seconds until the first release, or None if nothing is held."""
        return max(0.0, min(self._until.values()) - now) if self._until else None
