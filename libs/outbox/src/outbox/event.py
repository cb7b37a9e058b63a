"""An event, before and after it has its place in a stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

MAX_PAYLOAD = 1024 * 1024
"""Bytes of a body: more is refused when an event is added, and when a message arrives."""


class Event(Protocol):
    """What can be added to an outbox: any object with these members.

    `aggregate_type` and `aggregate_id` name the stream whose order is kept; `type` is the
    routing key and starts with the aggregate type, as in `order.created`, or with the name of a
    part of it (`table.created` in a restaurant's stream), which `Outbox(parts=…)` names and its
    subscriptions then take too. An `aggregate_id` that is a UUID or an int is stored as text.
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
    """The events of one aggregate of one source, numbered 1, 2, 3 … without holes."""

    source: str
    aggregate_type: str
    aggregate_id: str

    def __str__(self) -> str:
        return f"{self.source}/{self.aggregate_type}/{self.aggregate_id}"


def tombstone_of(aggregate_type: str) -> str:
    """The type of what goes out in the place of an event that was given up.

    A binding of `order.#` takes the bare `order` too, where a longer type would be too long.
    """
    return aggregate_type if len(aggregate_type.encode()) > 245 else f"{aggregate_type}.discarded"


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event with its identity and its place: what crosses the broker."""

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

    @property
    def aggregate_id(self) -> str:
        """The id of the aggregate that the event is about."""
        return self.stream.aggregate_id

    @property
    def is_tombstone(self) -> bool:
        """Whether its producer has given the event up, and only its place in the stream is left."""
        return self.type == tombstone_of(self.stream.aggregate_type) and self.payload == b"{}"

    def __str__(self) -> str:
        return f"{self.type} {self.id}, {self.stream} at {self.sequence}"
