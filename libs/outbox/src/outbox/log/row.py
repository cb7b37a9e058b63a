"""A row of the outbox table, as the relay reads it and as an operator does; its bucket.

Never change `bucket_of`: two owners would publish one stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

from outbox.event import Envelope, Stream

BUCKETS = 1024


def bucket_of(aggregate_type: str, aggregate_id: str) -> int:
    """A stable number from 0 to 1023, the same in every process and release."""
    digest = blake2b(f"{aggregate_type}\0{aggregate_id}".encode(), digest_size=2).digest()
    return int.from_bytes(digest, "big") % BUCKETS


class OutboxRow(NamedTuple):
    """An unpublished event for the relay: texts are bytes, as they go into a frame.

    The fields are the columns that `OutboxReader.fetch` reads.
    """

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


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event for an operator. `parked_at` is set if the broker refuses the event."""

    event_id: UUID
    source: str
    aggregate_type: str
    aggregate_id: str
    sequence: int
    type: str
    version: int
    created_at: datetime
    published_at: datetime | None
    parked_at: datetime | None
    attempts: int
    last_error: str | None
    payload: str

    @property
    def stream(self) -> Stream:
        """The stream that the event belongs to."""
        return Stream(self.source, self.aggregate_type, self.aggregate_id)
