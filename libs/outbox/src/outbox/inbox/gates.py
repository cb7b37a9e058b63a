"""Gates: event types that are closed, so that their events wait without an attempt.

Invariant: an event whose type is closed is parked before its handler is called. No attempt is
counted, and its stream waits behind it, so order is kept. Other types go on. What a gate has parked
is tried again, in order, as soon as no gate closes its type; until then nobody's retry or redrive
has it handled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from outbox.event import Envelope


class Gate(Protocol):
    """Decides which events may be handled now; it answers from memory."""

    @property
    def reason(self) -> str:
        """One of `GATED`: the reason for which its events are parked."""
        ...

    @property
    def closed_types(self) -> Collection[str]:
        """The types that are closed now."""
        ...

    def closes(self, event: Envelope) -> str | None:
        """In a sentence, why this event is not handled now; None if it may be.

        A gate may let one event of a closed type pass, to see how it fares.
        """
        ...


class ClosedTypes:
    """A gate that closes whole event types."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self._closed: dict[str, str] = {}

    @property
    def closed_types(self) -> Collection[str]:
        """The types that are closed now."""
        return self._closed.keys()

    def close(self, why: Mapping[str, str]) -> None:
        """Close exactly these types from now on, each with the sentence that says why."""
        self._closed = dict(why)

    def closes(self, event: Envelope) -> str | None:
        """Why this event is not handled now; None if it may be."""
        return self._closed.get(event.type)


@dataclass(frozen=True, slots=True)
class Closed:
    """An event is to wait: the parked reason, and a sentence."""

    reason: str
    says: str


class Gates(tuple[Gate, ...]):
    """All gates of one consumer."""

    __slots__ = ()

    def closed(self, event: Envelope) -> Closed | None:
        """The first gate's word against an event; None if it may be handled."""
        for gate in self:
            says = gate.closes(event)
            if says is not None:
                return Closed(gate.reason, says)
        return None

    def closed_types(self, reason: str) -> list[str]:
        """The types that gates with this reason close."""
        closed: Iterable[str] = (
            type_ for gate in self if gate.reason == reason for type_ in gate.closed_types
        )
        return sorted(set(closed))
