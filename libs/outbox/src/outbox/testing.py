"""For the tests of applications: no broker, no waiting, no randomness.

source = Source("shop")
parked = await deliver(work, "kitchen.orders", handlers, *source.envelopes(OrderPlaced("1")))
assert parked == []
[cooked] = await emitted(work, OrderCooked)

The database is real, because PostgreSQL keeps the library's promises (decision 0705).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar, overload

from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from outbox.event import Envelope, Event, Stream
from outbox.inbox.event_classes import reader_of, type_of
from outbox.inbox.handlers import HandlersByType
from outbox.inbox.inbox import Inbox
from outbox.inbox.operations import ParkedEvent, list_parked
from outbox.inbox.settings import InboxSettings
from outbox.log import relay_queries
from outbox.log.deferred import raw_connection
from outbox.log.work import Work

FAILPOINT = "OUTBOX_FAILPOINT"
E = TypeVar("E")


class Source:
    """Turns events into the envelopes that a consumer gets, numbered from 1 in each stream."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._last: Counter[Stream] = Counter()

    def envelopes(self, *events: Event) -> list[Envelope]:
        """The next events of their streams, in order."""
        return [self._envelope(event) for event in events]

    def _envelope(self, event: Event) -> Envelope:
        stream = Stream(self.name, event.aggregate_type, str(event.aggregate_id))
        self._last[stream] += 1
        id_ = uuid7()
        return Envelope(
            id=id_,
            stream=stream,
            sequence=self._last[stream],
            type=event.type,
            version=event.version,
            time=datetime.now(UTC),
            payload=event.payload(),
            correlation_id=str(id_),
        )


def duplicated(envelopes: Sequence[Envelope], *, seed: int = 0) -> list[Envelope]:
    """Each envelope once, and once more somewhere behind: a broker may deliver twice."""
    chance = random.Random(seed)  # noqa: S311 reproducible by its seed
    arranged = list(envelopes)
    for envelope in envelopes:
        first = arranged.index(envelope)
        arranged.insert(chance.randint(first + 1, len(arranged)), envelope)
    return arranged


def reordered(envelopes: Sequence[Envelope], *, seed: int = 0) -> list[Envelope]:
    """The same envelopes in another order, as two channels or a returned batch produce it."""
    return random.Random(seed).sample(envelopes, len(envelopes))  # noqa: S311


async def deliver(
    work: Work,
    consumer: str,
    handlers: HandlersByType,
    *envelopes: Envelope,
    one_by_one: bool = False,
    settings: InboxSettings | None = None,
) -> list[ParkedEvent]:
    """Give events to the handlers as a consumer does: inbox, transaction, parking.

    They come as one batch, or one by one. Returns all that this consumer has parked now: an empty
    list if every event took effect. Without `settings` there is no circuit breaker, so that what
    becomes of an event does not depend on the failures of others.
    """
    inbox = Inbox(consumer, handlers, work, settings or InboxSettings(breaker=None))
    for batch in [[envelope] for envelope in envelopes] if one_by_one else [list(envelopes)]:
        await inbox.handle(batch)
    async with work.engine.connect() as connection:
        return await list_parked(await raw_connection(connection), consumer)


@overload
async def emitted(work: Work) -> list[Envelope]: ...
@overload
async def emitted(work: Work, kind: type[E]) -> list[E]: ...
async def emitted(work: Work, kind: type[Any] | None = None) -> list[Any]:
    """The events of the outbox table, published or not, in the order of their ids.

    All as envelopes, or those of one event class as its instances.
    """
    async with work.engine.connect() as connection:
        raw = await raw_connection(connection)
        events = [envelope for _, envelope in await relay_queries.emitted(raw)]
    if kind is None:
        return events
    read = reader_of(kind)
    return [read(event) for event in events if event.type == type_of(kind)]


class Publishes(Protocol):
    """Publishes one event; true if the broker accepts it."""

    def __call__(self, envelope: Envelope) -> bool: ...


@dataclass
class RecordingPublisher:
    """Records published events. Refuses those for which `refuses` is true."""

    refuses: Callable[[Envelope], bool] = lambda _envelope: False
    published: list[Envelope] = field(default_factory=list)

    def __call__(self, envelope: Envelope) -> bool:
        accepted = not self.refuses(envelope)
        if accepted:
            self.published.append(envelope)
        return accepted

    @property
    def types(self) -> list[str]:
        """The types of the published events, in order."""
        return [envelope.type for envelope in self.published]


async def relay_once(connection: AsyncConnection, publish: Publishes) -> list[Envelope]:
    """Publish the unpublished events in order and mark those that were accepted; returns them.

    It sees the writes of the caller's own transaction, so a test may roll everything back. As with
    the relay, the events of an aggregate wait behind one that was refused.
    """
    raw = await raw_connection(connection)
    accepted: list[tuple[int, Envelope]] = []
    stuck: set[Stream] = set()
    for id_, envelope in await relay_queries.unpublished(raw):
        if envelope.stream not in stuck and publish(envelope):
            accepted.append((id_, envelope))
        else:
            stuck.add(envelope.stream)
    await relay_queries.mark_published(raw, [id_ for id_, _ in accepted])
    return [envelope for _, envelope in accepted]


async def killed_at(
    step: str, *command: str, environment: Mapping[str, str] | None = None, within: float = 30.0
) -> None:
    """Run a program that dies by SIGKILL at a failpoint, such as `relay.confirmed` or `…:3`.

    `outbox.failpoints` has the names. Raises AssertionError if the program ends in any other way,
    or still runs after `within` seconds (then it is killed).
    """
    surroundings = {**os.environ, **(environment or {}), "APP_ENV": "test", FAILPOINT: step}
    process = await asyncio.create_subprocess_exec(*command, env=surroundings)
    try:
        async with asyncio.timeout(within):
            status = await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"{command[0]} did not come to {step} within {within} s") from None
    if status != -signal.SIGKILL:
        raise AssertionError(f"{command[0]} ended with {status} instead of dying at {step}")
