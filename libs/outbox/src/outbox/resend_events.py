"""The events by which a consumer asks a producer to send again, and by which it is answered.

They go through the outboxes of both like any event. Each has a stream of its own: they repair
streams, so they must not wait for an earlier one of their own that was lost. A request that got
lost is repeated, so no beacon speaks of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Self

from uuid_utils.compat import uuid7

from outbox.argument_checks import MAX_SHORT_STRING
from outbox.event import MAX_SEQUENCE

RESENDING = "stream"
"""The aggregate type of these events."""
MAX_EVENTS = 1_000
"""A request asks for at most so many events: what is sent again delays what is new."""

Ranges = tuple[tuple[int, int], ...]
"""Sequences from … through …, in order and apart from each other."""


def listed(ranges: Ranges) -> str:
    """The first few as a person reads them: 4, 7 to 9."""
    shown = (str(a) if a == b else f"{a} to {b}" for a, b in ranges[:10])
    return ", ".join([*shown, *(["…"] if len(ranges) > 10 else [])])


@dataclass(frozen=True, slots=True)
class StreamRanges:
    """Some events of one stream."""

    aggregate_type: str
    aggregate_id: str
    ranges: Ranges

    @property
    def count(self) -> int:
        """How many events."""
        return sum(last - first + 1 for first, last in self.ranges)


@dataclass(frozen=True, slots=True)
class BeaconsMissed:
    """Beacons of an aggregate type got lost: what was published since then has to be told again."""

    aggregate_type: str
    since: datetime


@dataclass(frozen=True, slots=True)
class ResendRequested:
    """A consumer misses these events of a source, or beacons of it."""

    type: ClassVar[str] = "stream.resend_requested"
    version: ClassVar[int] = 1
    aggregate_type: ClassVar[str] = RESENDING

    source: str
    """The producer that is asked; others ignore it."""
    consumer: str
    streams: tuple[StreamRanges, ...] = ()
    beacons: tuple[BeaconsMissed, ...] = ()
    aggregate_id: str = field(default_factory=lambda: str(uuid7()))

    def payload(self) -> bytes:
        """The body."""
        beacons = [
            {"aggregate_type": one.aggregate_type, "since": one.since.isoformat()}
            for one in self.beacons
        ]
        streams = _to_json(self.streams)
        body = {"request_id": self.aggregate_id, "source": self.source, "consumer": self.consumer}
        return json.dumps({**body, "streams": streams, "beacons": beacons}).encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Raises `ValueError`, `KeyError` or `TypeError` for what is no request."""
        found = json.loads(body)
        beacons = tuple(
            BeaconsMissed(_name(one["aggregate_type"]), datetime.fromisoformat(one["since"]))
            for one in _few(found["beacons"])
        )
        if any(one.since.tzinfo is None for one in beacons):
            raise ValueError("a time without an offset")
        return cls(
            _name(found["source"]),
            _name(found["consumer"]),
            _from_json(found["streams"]),
            beacons,
            _name(found["request_id"]),
        )


@dataclass(frozen=True, slots=True)
class EventsUnavailable:
    """A producer cannot send these events again: it does not keep them any more."""

    type: ClassVar[str] = "stream.events_unavailable"
    version: ClassVar[int] = 1
    aggregate_type: ClassVar[str] = RESENDING

    source: str
    consumer: str
    """The one that has asked; others ignore it."""
    streams: tuple[StreamRanges, ...]
    aggregate_id: str = field(default_factory=lambda: str(uuid7()))

    def payload(self) -> bytes:
        """The body."""
        body = {"answer_id": self.aggregate_id, "source": self.source, "consumer": self.consumer}
        return json.dumps({**body, "streams": _to_json(self.streams)}).encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Raises `ValueError`, `KeyError` or `TypeError` for what is no answer."""
        found = json.loads(body)
        streams = _from_json(found["streams"])
        source, consumer, id_ = (_name(found[key]) for key in ("source", "consumer", "answer_id"))
        return cls(source, consumer, streams, id_)


def _to_json(streams: Iterable[StreamRanges]) -> list[dict[str, Any]]:
    return [
        {
            "aggregate_type": one.aggregate_type,
            "aggregate_id": one.aggregate_id,
            "ranges": [list(range_) for range_ in one.ranges],
        }
        for one in streams
    ]


def _from_json(streams: list[dict[str, Any]]) -> tuple[StreamRanges, ...]:
    found = tuple(
        StreamRanges(
            _name(one["aggregate_type"]),
            _name(one["aggregate_id"]),
            tuple((int(first), int(last)) for first, last in one["ranges"]),
        )
        for one in _few(streams)
    )
    if any(not 0 < first <= last <= MAX_SEQUENCE for one in found for first, last in one.ranges):
        raise ValueError("a range that is none")
    if sum(one.count for one in found) > MAX_EVENTS:
        raise ValueError(f"more than {MAX_EVENTS} events")
    return found


def _few(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(found) > MAX_EVENTS:
        raise ValueError(f"more than {MAX_EVENTS}")
    return found


def _name(value: object) -> str:
    """A text that AMQP and PostgreSQL take: the text of a hostile body may be anything."""
    if not isinstance(value, str) or "\0" in value:
        raise TypeError("a name that is no text")
    if not 0 < len(value.encode()) <= MAX_SHORT_STRING:
        raise ValueError("a name that is empty or too long")
    return value
