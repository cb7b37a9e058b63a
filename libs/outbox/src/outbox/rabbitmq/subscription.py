"""Which events of which producer a queue takes.

A client that may publish to an exchange can write any source and any aggregate into a message. So a
subscription names both, and its consumer refuses everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from outbox.argument_checks import MAX_SHORT_STRING, short_names
from outbox.errors import InvalidSetting

MAX_QUEUE = MAX_SHORT_STRING - len(".dead")
"""The name of its dead-letter queue is longer."""


class Subscribed(Protocol):
    """What a `Topology` needs to know: which queue takes which events of which exchange."""

    @property
    def exchange(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def aggregate_types(self) -> tuple[str, ...]: ...
    @property
    def routing_keys(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """All events of these aggregate types from one source go to one queue.

    A queue that takes events from several sources has a subscription for each.
    """

    exchange: str
    queue: str
    source: str
    """The producer's name: the first argument of its `Outbox`."""
    aggregate_types: tuple[str, ...]
    parts: tuple[str, ...] = ()
    """First words of further types in the same streams: a table's in its restaurant's."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        short_names("Subscription.parts", self.parts)
        check_subscribed(self)

    @property
    def routing_keys(self) -> tuple[str, ...]:
        """The binding keys of the queue (topic exchange, AMQP 0-9-1 section 3.1.3.3)."""
        return routing_keys_of(*self.aggregate_types, *self.parts)


def check_subscribed(one: Subscribed) -> None:
    """Raises `InvalidSetting` for names that no broker accepts or no event can have."""
    where = "Subscription"
    short_names(f"{where}.exchange", (one.exchange,))
    short_names(f"{where}.queue", (one.queue,), at_most=MAX_QUEUE)
    short_names(f"{where}.source", (one.source,))
    short_names(f"{where}.aggregate_types", one.aggregate_types)
    if not one.aggregate_types:
        raise InvalidSetting(f"{where}.aggregate_types", "has to name at least one")
    short_names(f"{where}.routing_keys", one.routing_keys)


def matches(routing_keys: Iterable[str], type_: str) -> bool:
    """Whether a queue that is bound by these keys gets this type (AMQP 0-9-1 section 3.1.3.3)."""
    return any(re.fullmatch(_pattern(key), type_) for key in routing_keys)


def _pattern(key: str) -> str:
    r"""`*` is one word, `#` any number of them: `order.#` is `order` too."""
    words = re.escape(key).replace(r"\.\#", r"(\..*)?").replace(r"\#\.", r"(.*\.)?")
    return words.replace(r"\#", ".*").replace(r"\*", r"[^.]*")


def routing_keys_of(*first_words: str) -> tuple[str, ...]:
    """Keys for all types that begin with one of these words, since a type is the routing key."""
    return tuple(f"{word}.#" for word in first_words)
