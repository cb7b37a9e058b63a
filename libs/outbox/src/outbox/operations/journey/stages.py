"""The stages between the commit of an event and its effect at one consumer.

Invariant: stages follow each other without a gap, none is negative, and together they are the time
from the commit to the effect. Where two clocks or two processes race, the earlier time ends the
stage: a delivery may overtake the confirm of its message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

OUTBOX = "waits in the outbox"
BROKER = "broker and queue"
CONSUMER = "waits in the consumer"
PARKED = "is parked"
HANDLER = "handler and commit"
STAGES = (OUTBOX, BROKER, CONSUMER, PARKED, HANDLER)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of an event's way. `ended_at` is None while it lasts."""

    name: str
    began_at: datetime
    ended_at: datetime | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it lasts."""
        return (self.ended_at - self.began_at).total_seconds() if self.ended_at else None


@dataclass(frozen=True, slots=True)
class Times:
    """What is known of an event's way to one consumer."""

    created_at: datetime
    published_at: datetime | None = None
    received_at: datetime | None = None
    began_at: datetime | None = None
    applied_at: datetime | None = None
    was_parked: bool = False

    def stages(self) -> Sequence[Stage]:
        """All that have begun, in order."""
        return tuple(self._stages())

    def _stages(self) -> Iterator[Stage]:
        arrived = self.received_at or self.began_at or self.applied_at
        ends = [
            (OUTBOX, _first(self.published_at, arrived)),
            (BROKER, arrived),
            (PARKED if self.was_parked else CONSUMER, self.began_at or self.applied_at),
            (HANDLER, self.applied_at),
        ]
        last = self.created_at
        for name, end in ends:
            if end is None:
                yield Stage(name, last, None)
                return
            # One database's clock may be behind the other's.
            ended = max(last, min(end, self.applied_at or end))
            yield Stage(name, last, ended)
            last = ended


def _first(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)
