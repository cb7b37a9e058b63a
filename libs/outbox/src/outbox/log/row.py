"""A row of the outbox table as the relay reads it: texts are bytes, as they go into a frame."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from outbox.event import Envelope, Stream


class OutboxRow(NamedTuple):
    """An unpublished event; the fields are the columns that `OutboxReader.fetch` reads."""

    id: int
    event_id: bytes
    source: bytes
    aggregate_type: bytes
    aggregate_id: bytes
    sequence: int
    type: bytes
    version: int
    time: bytes
    """RFC 3339, UTC."""
    epoch: int
    """The same in whole seconds since 1970."""
    payload: bytes
    correlation_id: bytes
    causation_id: bytes | None
    traceparent: bytes | None
    attempts: int

    @property
    def aggregate(self) -> str:
        """The event's aggregate as `type/id`."""
        return (b"%b/%b" % (self.aggregate_type, self.aggregate_id)).decode()

    def envelope(self) -> Envelope:
        """The same event with texts instead of bytes."""
        return Envelope(
            id=UUID(self.event_id.decode()),
            stream=Stream(
                self.source.decode(), self.aggregate_type.decode(), self.aggregate_id.decode()
            ),
            sequence=self.sequence,
            type=self.type.decode(),
            version=self.version,
            time=datetime.fromisoformat(self.time.decode()),
            payload=self.payload,
            correlation_id=self.correlation_id.decode(),
            causation_id=self.causation_id.decode() if self.causation_id else None,
            traceparent=self.traceparent.decode() if self.traceparent else None,
        )
