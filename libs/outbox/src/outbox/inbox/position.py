"""What to do with a delivery, given how far its stream has come. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Verdict(StrEnum):
    """What the inbox does with an event."""

    APPLY = "apply"
    DUPLICATE = "duplicate"
    BEHIND = "behind"
    """An earlier event of the stream waits for its retry; this one waits behind it."""
    GAP = "gap"
    """An earlier event has not arrived yet; this one is held until it has."""
    FORKED = "forked"
    """Another event had this sequence: the producer was restored from an older state."""

    @property
    def parks(self) -> bool:
        """Whether the event is kept for later."""
        return self in (Verdict.BEHIND, Verdict.GAP, Verdict.FORKED)


@dataclass(slots=True)
class Position:
    """How far a consumer has come in one stream: a locked row of the inbox."""

    last_sequence: int
    last_event_id: UUID | None
    blocked: bool
    parked: int

    def decide(self, sequence: int, event_id: UUID) -> Verdict:
        """The verdict on a delivery with this sequence and id."""
        if sequence == self.last_sequence and event_id != self.last_event_id:
            return Verdict.FORKED if self.last_event_id else Verdict.DUPLICATE
        if sequence <= self.last_sequence:
            return Verdict.DUPLICATE
        if self.blocked:
            return Verdict.BEHIND
        return Verdict.APPLY if sequence == self.last_sequence + 1 else Verdict.GAP

    def advance(self, sequence: int, event_id: UUID) -> None:
        """The event at this sequence has taken effect."""
        self.last_sequence, self.last_event_id = sequence, event_id
