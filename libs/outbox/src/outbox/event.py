"""An event, before and after it has its sequence in a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

MAX_PAYLOAD = 1024 * 1024
"""Bytes of a body; a larger one is refused when it is added and when it arrives."""
MAX_SEQUENCE = 2**63 - 2
"""PostgreSQL ends a range of bigint one beyond its last number."""


class Event(Protocol):
    """An object with these members can be added to an outbox.

    `aggregate_type` and `aggregate_id` name the stream, whose order is kept. `type` is the routing
    key. It begins with the aggregate type, as in `order.created`, or with the name of a part of it
    (`table.created` in a restaurant's stream), which `Outbox(parts=…)` and its subscriptions name.
    An `aggregate_id` that is a UUID or an int is stored as text.
    """

    @property
    def type(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def aggregate_type(self) -> str: ...
    @property
    def aggregate_id(self) -> str | UUID | int: ...
    def payload(self) -> bytes:
        """The body, UTF-8 JSON, at most 1 MiB."""
        ...


@dataclass(frozen=True, slots=True)
class Stream:
    """The events of one aggregate of one source, numbered 1, 2, 3 … without gaps."""

    source: str
    aggregate_type: str
    aggregate_id: str

    def __str__(self) -> str:
        return f"{self.source}/{self.aggregate_type}/{self.aggregate_id}"


def tombstone_of(aggregate_type: str) -> str:
    """The type of the tombstone that replaces a discarded event.

    A binding of `order.#` takes the bare `order` too, for which a longer type has no room.
    """
    return aggregate_type if len(aggregate_type.encode()) > 245 else f"{aggregate_type}.discarded"


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event with its id, stream and sequence, as it crosses the broker."""

    id: UUID
    stream: Stream
    sequence: int
    type: str
    version: int
    time: datetime
    payload: bytes
    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None
    received: float | None = field(default=None, compare=False, repr=False)
    """When this process received it (`time.monotonic`), if it came from a queue."""

    @property
    def aggregate_id(self) -> str:
        """The id of the aggregate that the event is about."""
        return self.stream.aggregate_id

    @property
    def is_tombstone(self) -> bool:
        """Whether its producer has discarded the event, so that only its sequence is left."""
        return self.type == tombstone_of(self.stream.aggregate_type) and self.payload == b"{}"

    def __str__(self) -> str:
        return f"{self.type} {self.id}, {self.stream} at {self.sequence}"
