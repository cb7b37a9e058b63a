"""Which deliveries a consumer accepts; it refuses the others, as dead letters (see decision 1211).

Invariant: a message is parsed only after its size was checked. It gets a row in the inbox only if
its queue subscribes to its source and aggregate type, so invented names cannot make the inbox
grow. Refusing loses nothing: the event is still in its producer's outbox table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any

from aiormq.abc import DeliveredMessage

from outbox.errors import UnreadableMessage
from outbox.event import MAX_PAYLOAD, Envelope
from outbox.inbox.unsequenced import UnsequencedMessages, from_unsequenced
from outbox.rabbitmq.beacons import Beacon
from outbox.rabbitmq.cloudevents import CONTENT_TYPE, from_delivery
from outbox.rabbitmq.lenient_decoding import body_size
from outbox.rabbitmq.subscription import Subscribed

MAX_HEADERS = 100
MAX_HEADER_BYTES = 16_384
"""The size of names and values together. The library's own headers have some 500 bytes."""


class Reason(StrEnum):
    """Why a message was refused; the label of `inbox_dead_lettered_total`."""

    TOO_LARGE = "too_large"
    HEADERS = "headers"
    CONTENT_TYPE = "content_type"
    UNREADABLE = "unreadable"
    SOURCE = "source"
    AGGREGATE_TYPE = "aggregate_type"
    SENDER = "sender"


class Refused(Exception):
    """A message that this consumer does not accept."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Acceptance:
    """The rules of one queue, from its subscriptions."""

    def __init__(
        self,
        subscriptions: Iterable[Subscribed],
        *,
        unsequenced: UnsequencedMessages | None = None,
        senders: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """`unsequenced` is set if messages without a sequence are accepted.

        `senders` are the broker's users by source.
        """
        self._types: dict[str, set[str]] = defaultdict(set)
        for subscription in subscriptions:
            self._types[subscription.source].update(subscription.aggregate_types)
        self._unsequenced = unsequenced
        self._senders = senders or {}

    def event(self, delivery: DeliveredMessage) -> Envelope:
        """The event of a delivery. Raises `Refused`."""
        _check_size(delivery)
        try:
            envelope = from_delivery(delivery)
        except UnreadableMessage as problem:
            envelope = self._without_sequence(delivery, problem)
        else:
            self._check_subscribed(envelope.stream.source, envelope.stream.aggregate_type, envelope)
            kind = delivery.header.properties.content_type
            if kind != CONTENT_TYPE:
                raise Refused(Reason.CONTENT_TYPE, f"content type {_shown(kind)} of {envelope}")
        self._check_sender(delivery, envelope.stream.source, envelope)
        return envelope

    def beacon(self, delivery: DeliveredMessage) -> Beacon:
        """The beacon of a delivery that says it is one. Raises `Refused`."""
        _check_size(delivery)
        try:
            beacon = Beacon.from_delivery(delivery)
        except UnreadableMessage as problem:
            raise Refused(Reason.UNREADABLE, str(problem)) from None
        what = f"beacon {beacon.number}, {beacon.source}/{beacon.aggregate_type}"
        self._check_subscribed(beacon.source, beacon.aggregate_type, what)
        self._check_sender(delivery, beacon.source, what)
        return beacon

    def _without_sequence(self, delivery: DeliveredMessage, problem: UnreadableMessage) -> Envelope:
        if self._unsequenced is None:
            raise Refused(Reason.UNREADABLE, str(problem))
        try:
            return from_unsequenced(delivery, self._unsequenced)
        except UnreadableMessage as worse:
            raise Refused(Reason.UNREADABLE, str(worse)) from None

    def _check_subscribed(self, source: str, aggregate_type: str, what: object) -> None:
        types = self._types.get(source)
        if types is None:
            raise Refused(Reason.SOURCE, f"{what} is not of {_listed(self._types)}")
        if aggregate_type not in types:
            only = f"its queue takes only {_listed(types)}"
            raise Refused(Reason.AGGREGATE_TYPE, f"no subscription takes {what}: {only}")

    def _check_sender(self, delivery: DeliveredMessage, source: str, what: object) -> None:
        """The broker has compared `user_id` with the login (RabbitMQ, "Validated User-ID")."""
        expected = self._senders.get(source)
        user = delivery.header.properties.user_id
        if expected is not None and user not in expected:
            raise Refused(Reason.SENDER, f"user {_shown(user)} may not send {what}")


def _check_size(delivery: DeliveredMessage) -> None:
    size = body_size(delivery)
    if size > MAX_PAYLOAD:
        raise Refused(Reason.TOO_LARGE, f"a body of {size} bytes; at most {MAX_PAYLOAD}")
    headers = delivery.header.properties.headers or {}
    if len(headers) > MAX_HEADERS or _bytes_of(headers) > MAX_HEADER_BYTES:
        raise Refused(Reason.HEADERS, f"{len(headers)} headers of {_bytes_of(headers)} bytes")


def _bytes_of(headers: Mapping[str, Any]) -> int:
    """The length of all texts in headers, however deep, and 1 for any other value."""
    total, left = 0, list[Any]()
    for name, value in headers.items():
        total += len(name)
        if isinstance(value, str):
            total += len(value)
        else:
            left.append(value)
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            left += value
        else:
            total += len(value) if isinstance(value, str | bytes | bytearray) else 1
    return total


def _listed(names: Iterable[str]) -> str:
    """The names, shortened for a log line."""
    return ", ".join(sorted(names))[:200]


def _shown(text: str | None) -> str:
    return "none" if text is None else repr(text[:60])
