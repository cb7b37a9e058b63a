"""A beacon as an AMQP message and back: how far streams of one source and aggregate type have come.

A beacon is no event: it has no sequence and is not stored. It goes by an exchange of its own to the
queues that ask for it, so a consumer of a release that knows no beacons never gets one. In a queue
it stands behind the events that it speaks of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self
from uuid import uuid4

from aio_pika import DeliveryMode, Message
from aiormq.abc import DeliveredMessage

from outbox.argument_checks import MAX_SHORT_STRING
from outbox.errors import UnreadableMessage
from outbox.event import MAX_SEQUENCE
from outbox.rabbitmq.cloudevents import CONTENT_TYPE, short_text

BEACONS = "beacons"
"""The exchange of all beacons (direct, durable); `Beacon.routing_key` is the binding key."""
TYPE = "outbox.beacon"
MAX_STREAMS = 1_000
"""A beacon names at most so many streams; more of them are several beacons."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Nothing was published before. psycopg reads no time that is before the year 1 in its zone."""

_MALFORMED = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Beacon:
    """What was published of one source and aggregate type from `since` until `until`.

    Both are times of the producer's database. `number` counts the beacons of this source and
    aggregate type, so that a lost one is noticed: each begins where the one before has ended.
    `streams` has the last sequence that was published, by aggregate id.
    """

    source: str
    aggregate_type: str
    number: int
    since: datetime
    until: datetime
    streams: Mapping[str, int]

    @property
    def ends_round(self) -> bool:
        """Whether everything since `since` is told now; the chunks before it end where it began."""
        return self.until > self.since

    @property
    def routing_key(self) -> str:
        """Where it goes; see `beacon_key`."""
        return beacon_key(self.source, self.aggregate_type)

    def to_message(self, *, user: str | None = None) -> Message:
        """The AMQP message. `user` has to be the user of the connection."""
        body = {
            "number": self.number,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "streams": dict(self.streams),
        }
        return Message(
            body=json.dumps(body, separators=(",", ":")).encode(),
            message_id=str(uuid4()),
            type=TYPE,
            content_type=CONTENT_TYPE,
            app_id=self.source,
            delivery_mode=DeliveryMode.PERSISTENT,
            user_id=user,
            headers={"aggregate_type": self.aggregate_type},
        )

    @classmethod
    def from_delivery(cls, delivery: DeliveredMessage) -> Self:
        """The beacon of a delivery. Raises `UnreadableMessage`."""
        properties = delivery.header.properties
        source = short_text(properties.app_id)
        kind = short_text((properties.headers or {}).get("aggregate_type"))
        if not source or not kind:
            raise UnreadableMessage("app_id and aggregate_type of a beacon")
        try:
            body = json.loads(delivery.body)
            return cls(source, kind, *_times(body), _positions(body["streams"]))
        except _MALFORMED as problem:
            raise UnreadableMessage(f"body of a beacon: {type(problem).__name__}") from None


def beacon_key(source: str, aggregate_type: str) -> str:
    """The key by which a queue is bound to beacons of this source and aggregate type.

    A digest stands for names that are too long for a key together.
    """
    key = f"{source}/{aggregate_type}".encode()
    return key.decode() if len(key) <= MAX_SHORT_STRING else sha256(key).hexdigest()


def is_beacon(delivery: DeliveredMessage) -> bool:
    """Whether a delivery says that it is one. What it says is checked by `Beacon.from_delivery`."""
    return delivery.header.properties.message_type == TYPE and delivery.exchange == BEACONS


def _times(body: Mapping[str, Any]) -> tuple[int, datetime, datetime]:
    number = _sequence(body["number"])
    since, until = (datetime.fromisoformat(body[name]) for name in ("since", "until"))
    if not EARLIEST <= since <= until:  # a time without an offset is a TypeError
        raise ValueError("times")
    return number, since.astimezone(UTC), until.astimezone(UTC)


def _positions(found: Mapping[str, Any]) -> dict[str, int]:
    if len(found) > MAX_STREAMS:
        raise ValueError("too many streams")
    streams = {id_: _sequence(last) for id_, last in found.items()}
    if not all(short_text(id_) for id_ in streams):
        raise ValueError("aggregate id")
    return streams


def _sequence(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SEQUENCE:
        return value
    raise ValueError("number")
