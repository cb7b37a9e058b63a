"""Publishing with confirms and `mandatory`: the promise, and its fast implementation.

A window goes out as one write of ready frames; the broker's answers are counted. Several
windows may be under way on one channel, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from outbox.log.row import OutboxRow

LOOKS = 8
"""How often within its patience a publisher looks whether the broker is blocked."""


class Outcome(StrEnum):
    """What became of one publish. Only `ACKED` counts as sent."""

    ACKED = "acked"
    RETURNED = "returned"
    """No queue took it (basic.return, AMQP 0-9-1 section 1.8.3.8)."""
    NACKED = "nacked"
    """The broker took no responsibility (basic.nack, RabbitMQ "Publisher Confirms")."""
    TIMED_OUT = "timed_out"
    """No answer: the time was up or the connection was gone. It may have arrived or not."""
    CLOSED = "closed"
    """The broker closed the channel over one of the publishes that were not answered yet."""
    REFUSED = "refused"
    """This event can never be sent, whatever the broker's state."""


class Flight(Protocol):
    """A window under way."""

    async def outcomes(self) -> list[Outcome]:
        """Wait until each event has an outcome; they come in the order of the events."""
        ...


class Publisher(Protocol):
    """Publish in the order given, window after window.

    `send` returns when a window is on its way; say of each event what became of it, within
    the timeout after the last sign of progress. A broker that has said it is `blocked` stops
    the clock.
    """

    async def send(self, entries: Sequence[OutboxRow]) -> Flight: ...
