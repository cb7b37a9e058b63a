"""Who may tell a queue something, and about what.

Whoever may publish to an exchange can write any source and any aggregate into a message. A
subscription therefore names both, and its consumer refuses everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Subscribed(Protocol):
    """What a `Topology` has to know: which queue takes which events of which exchange."""

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

    A queue that takes from several sources has a subscription for each.
    """

    exchange: str
    queue: str
    source: str
    """The producer's name: the first argument of its `Outbox`."""
    aggregate_types: tuple[str, ...]
    parts: tuple[str, ...] = ()
    """First words of further types in the same streams: a table's in its restaurant's."""

    @property
    def routing_keys(self) -> tuple[str, ...]:
        """The binding keys of the queue (topic exchange, AMQP 0-9-1 section 3.1.3.3)."""
        return routing_keys_of(*self.aggregate_types, *self.parts)


def routing_keys_of(*first_words: str) -> tuple[str, ...]:
    """Keys for all types that begin with one of these words, since a type is the routing key."""
    return tuple(f"{word}.#" for word in first_words)
