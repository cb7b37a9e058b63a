"""The port: what a publisher promises, and what can become of an event.

Invariant: only `ACKED` means that the broker has the event and a queue took it. Several windows may
be in flight on one channel, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from outbox.log.row import OutboxRow

CHECKS = 8
"""How often within its patience a publisher checks whether the broker is blocked."""


class Outcome(StrEnum):
    """What became of one event. Only `ACKED` counts as sent."""

    ACKED = "acked"
    RETURNED = "returned"
    """No queue took it (basic.return, AMQP 0-9-1 section 1.8.3.8)."""
    NACKED = "nacked"
    """The broker took no responsibility (basic.nack, RabbitMQ "Publisher Confirms")."""
    TIMED_OUT = "timed_out"
    """No answer in time, or the connection was lost. The event may have arrived or not."""
    CLOSED = "closed"
    """The broker closed the channel over one of the events that it had not answered yet."""
    REFUSED = "refused"
    """This event can never be sent, whatever the broker's state."""


class Flight(Protocol):
    """A window in flight."""

    async def outcomes(self) -> list[Outcome]:
        """Wait until each event has an outcome; they come in the order of the events."""
        ...


class Publisher(Protocol):
    """Publishes in the order given, window after window.

    `send` returns when a window is on its way. Its flight reports an outcome for each event, at the
    latest when the broker has shown no progress for the timeout. A broker that has said that it is
    `blocked` stops the clock.
    """

    @property
    def user(self) -> str | None:
        """The sender that its messages name; None if the broker knows the login as another."""
        ...

    async def send(self, rows: Sequence[OutboxRow]) -> Flight: ...
