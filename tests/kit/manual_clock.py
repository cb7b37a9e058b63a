"""A clock that only the test moves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Tells `now`, in seconds."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now
