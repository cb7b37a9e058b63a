"""Unrouted events: confirmed, because a stream queue took them, and routed to no queue beside it.

Invariant: a delivery of the queue of unrouted events is acked only after its event is unpublished
again, or when no subscription is for its type. A relay that dies in between does it once more; the
inbox applies an event once. While nothing is unrouted, nothing is done here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelClosed

from outbox import metrics
from outbox.addresses import DatabaseAddress
from outbox.errors import UnreadableMessage
from outbox.failpoints import hit
from outbox.log.relay_queries import unpublish
from outbox.plural import counted
from outbox.postgres.sessions import open_lock_session
from outbox.rabbitmq.cloudevents import from_delivery
from outbox.rabbitmq.delivery_buffer import ConsumerCancelled, DeliveryBuffer
from outbox.rabbitmq.topology import Topology, unrouted_of
from outbox.relay.backoff import retry_delay
from outbox.relay.housekeeping import REBIND_AFTER

logger = logging.getLogger(__name__)

PREFETCH = 500
PATIENCE = 60.0
"""Seconds in which a relay marks what was confirmed; what is unmarked then is published anyway."""


@dataclass(frozen=True, slots=True)
class UnroutedEvent:
    """An event that its queues did not get."""

    tag: int
    id: UUID
    created_at: datetime
    takers: tuple[str, ...]
    """The queues that subscribe to it."""
    received_at: float


class UnboundQueues:
    """What one relay knows of missing bindings, and of types that no subscription is for."""

    def __init__(self, exchange: str) -> None:
        self._exchange = exchange
        self._gauge = metrics.UNBOUND_QUEUES.labels(exchange)
        self._unwanted: set[str] = set()
        self.names: tuple[str, ...] = ()
        """The queues whose bindings are missing now."""

    def note(self, waiting: Sequence[UnroutedEvent]) -> None:
        """The events that wait for their bindings; logs each queue once while it lacks one."""
        names = tuple(sorted({queue for event in waiting for queue in event.takers}))
        if new := [queue for queue in names if queue not in self.names]:
            logger.warning(
                "exchange %s lacks a binding to %s: %s reached stream queues alone, the first is"
                " %s. The topology is declared again, then they are published again",
                self._exchange,
                " or ".join(new),
                counted(len(waiting), "event", "events"),
                waiting[0].id,
            )
        self.names = names
        self._gauge.set(len(names))

    def note_unwanted(self, type_: str) -> None:
        """No subscription is for this type; logs it once."""
        if type_ not in self._unwanted:
            self._unwanted.add(type_)
            logger.info(
                "no queue subscribes to events of type %s, published to exchange %s:"
                " stream queues alone have them",
                type_,
                self._exchange,
            )


@dataclass
class UnroutedEvents:
    """Reads the queue of unrouted events, for as long as one session of the relay lasts."""

    broker: AbstractConnection
    database: DatabaseAddress
    exchange: str
    topology: Topology
    ensure_topology: Callable[[], Awaitable[None]]
    refused: Mapping[str, str]
    """The parts of the topology that the broker refuses: a queue among them may be unbound."""
    topology_check: float
    clock: Callable[[], float]
    unbound: UnboundQueues
    _waiting: list[UnroutedEvent] = field(default_factory=list)
    _in_vain: int = 0

    async def run(self) -> None:
        """Run until cancelled. A queue that is gone or refused is waited for."""
        try:
            while True:
                try:
                    async with self.broker.channel(publisher_confirms=False) as channel:
                        await self._read(channel)
                except (ConsumerCancelled, ChannelClosed) as problem:
                    logger.debug("%s is not read: %s", unrouted_of(self.exchange), problem)
                self._waiting.clear()
                await asyncio.sleep(self.topology_check)
        finally:
            self.unbound.note(())

    async def _read(self, channel: AbstractChannel) -> None:
        queue = unrouted_of(self.exchange)
        buffer = await DeliveryBuffer.open(channel, queue, prefetch=PREFETCH, batch=PREFETCH)
        while True:
            await self._receive(channel, await buffer.next_batch())
            while self._waiting:
                self.unbound.note(self._waiting)
                # A second, not at once: see decision 0005.
                await asyncio.sleep(retry_delay(self._in_vain, base=REBIND_AFTER))
                while not buffer.is_empty:
                    await self._receive(channel, await buffer.next_batch())
                await self.ensure_topology()
                hit("relay.rebound")
                await self._publish_again(channel)
            self.unbound.note(())

    async def _receive(
        self, channel: AbstractChannel, deliveries: Iterable[DeliveredMessage]
    ) -> None:
        """Keep the events that a queue subscribes to; the rest is done with."""
        for delivery in deliveries:
            tag = delivery.delivery_tag
            assert tag is not None
            # Others may publish to the queue's exchange, but not to these.
            if delivery.exchange not in (self.exchange, self.topology.entry(self.exchange)):
                await self._ack(channel, tag, "unknown")
                continue
            try:
                event = from_delivery(delivery)
            except UnreadableMessage:
                await self._ack(channel, tag, "unknown")
                continue
            if takers := self.topology.takers(self.exchange, event.type):
                found = UnroutedEvent(tag, event.id, event.time, takers, self.clock())
                self._waiting.append(found)
            else:
                self.unbound.note_unwanted(event.type)
                await self._ack(channel, tag, "unwanted")

    async def _publish_again(self, channel: AbstractChannel) -> None:
        """Unpublish what has a binding now. What no relay has marked yet waits for that."""
        bound = [event for event in self._waiting if not self._is_refused(event)]
        self._in_vain = 0 if len(bound) == len(self._waiting) else self._in_vain + 1
        if not bound:
            return
        async with await open_lock_session(self.database, "outbox relay unrouted") as connection:
            unpublished = await unpublish(connection, {one.id: one.created_at for one in bound})
        hit("relay.unpublished")
        unmarked_since = self.clock() - PATIENCE
        done = {
            event.tag: "resent" if event.id in unpublished else "unknown"
            for event in bound
            if unpublished.get(event.id) is not False or event.received_at < unmarked_since
        }
        for tag, outcome in done.items():
            await self._ack(channel, tag, outcome)
        self._waiting = [event for event in self._waiting if event.tag not in done]
        logger.info("%s published again", counted(len(done), "event is", "events are"))

    def _is_refused(self, event: UnroutedEvent) -> bool:
        return all(f"queue {queue}" in self.refused for queue in event.takers)

    async def _ack(self, channel: AbstractChannel, tag: int, outcome: str) -> None:
        await (await channel.get_underlay_channel()).basic_ack(tag)
        metrics.UNROUTED.labels(self.exchange, outcome).inc()
