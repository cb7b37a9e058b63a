"""The consumer: from a queue, through the inbox, to one ack for a whole batch.

Invariant: a delivery is acked only after its effects, its answers and its stream's position are
committed. If the process dies before the ack, the event is delivered again and is a duplicate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import groupby
from types import NoneType

from aiormq.abc import DeliveredMessage

from outbox import metrics
from outbox.addresses import Broker, BrokerAddress
from outbox.argument_checks import instance, named
from outbox.errors import InvalidSetting
from outbox.event import Envelope
from outbox.failpoints import hit
from outbox.inbox.acceptance import Acceptance, Refused
from outbox.inbox.event_handlers import Handlers
from outbox.inbox.handlers import HandlersByType, check_reached
from outbox.inbox.inbox import Inbox
from outbox.inbox.retrier import Retrier
from outbox.inbox.settings import ConsumerSettings
from outbox.inbox.tables import INBOX_TABLES
from outbox.inbox.watchdog import Watchdog
from outbox.log.work import Work
from outbox.postgres.table_groups import check
from outbox.rabbitmq.cloudevents import UNKNOWN_TIME
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.consumer_tags import tag_of
from outbox.rabbitmq.declarer import Declarer
from outbox.rabbitmq.delivery_buffer import ConsumerCancelled, DeliveryBuffer
from outbox.rabbitmq.topology import Topology
from outbox.supervise import Enduring, Up, end, keep_running, pause, together
from outbox.throttled_warnings import Throttled

logger = logging.getLogger(__name__)

LINGER = 0.004
"""Seconds that a busy consumer waits for a larger batch; they cost less than a transaction."""
ROOM, CHECK_ROOM_EVERY = 0.9, 0.5
"""A consumer that parks too much goes on below this part of its bound; it checks so often (s)."""


class Consumer:
    """Consumes one queue into one database. The queue's name is the inbox's consumer name."""

    def __init__(
        self,
        *,
        queue: str,
        handlers: HandlersByType,
        work: Work,
        broker_url: Broker,
        topology: Topology,
        settings: ConsumerSettings | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        """Raises `InvalidSetting` for what can never work."""
        instance("work", work, Work)
        instance("topology", topology, Topology)
        instance("settings", settings, ConsumerSettings, NoneType)
        self._queue = named("queue", queue)
        self._broker = BrokerAddress.of(broker_url)
        if queue not in topology.queues:
            known = ", ".join(topology.queues) or "none"
            raise InvalidSetting("queue", f"{queue!r} is not in the topology; it has {known}")
        self._work = work
        self._topology = topology
        self._settings = settings or ConsumerSettings()
        self._acceptance = Acceptance(
            topology.of(queue),
            unsequenced=self._settings.unsequenced,
            senders=self._settings.senders,
        )
        self._refusals = Throttled(logger)
        self._watchdog = watchdog or Watchdog(self._settings.hangs_after)
        self.inbox = Inbox(queue, handlers, work, self._settings, self._watchdog)
        if isinstance(handlers, Handlers):
            handlers.check()
        if self._settings.unsequenced is None:
            check_reached(queue, handlers, topology.of(queue))
        self._retrier = Retrier(self.inbox, work, self._settings)
        self._lag = metrics.LAG_SECONDS.labels(queue)
        self._batch_seconds = metrics.BATCH_SECONDS.labels(queue)
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until told to stop, through any loss of database or broker.

        Raises what needs a person: `BrokerRefused` or `DatabaseRefused` at the first connection,
        `SchemaBehind` at any. While its queue is not as declared it is not `running`; it goes on
        when the queue is right.
        """
        name = f"consumer {self._queue}"
        enduring = Enduring(name)
        with self._watchdog.watching():
            await together(
                keep_running(
                    name,
                    lambda up: enduring.run(lambda: self._run_session(up, stop), stop),
                    stop,
                ),
                self._retrier.run(stop),
            )

    async def _run_session(self, up: Up, stop: asyncio.Event) -> None:
        async with self._work.read() as connection:
            await check(connection, [INBOX_TABLES])
            tag = await tag_of(connection)
        if not await self._has_room(stop):
            return
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(
                await connect(self._broker, f"inbox {self._queue}")
            )
            parts = self._topology.parts_of(self._queue)
            checks = Declarer(broker, parts, needed=[name for name, _ in parts], confirms=False)
            await checks.declare()
            channel = await broker.channel(publisher_confirms=False)
            buffer = await DeliveryBuffer.open(
                channel,
                self._queue,
                prefetch=self._settings.prefetch,
                batch=self._settings.batch,
                linger=LINGER,
                tag=tag,
            )
            watch = asyncio.create_task(self._watch(checks, buffer, stop))
            stack.push_async_callback(end, watch)
            self.running = True
            up("is connected, and receives events unless another one does")
            try:
                await self._consume(buffer, stop)
            finally:
                self.running = False

    async def _has_room(self, stop: asyncio.Event) -> bool:
        """Wait until less is parked; events are safe in the queue meanwhile. False if stopped."""
        most = self._settings.parked_bytes
        if self.inbox.parked_bytes >= most:
            logger.error(
                "%s receives nothing while it has %d bytes parked, at most %d:"
                " redrive or discard some",
                self._queue,
                self.inbox.parked_bytes,
                most,
            )
            while self.inbox.parked_bytes > most * ROOM and not stop.is_set():
                await pause(stop, CHECK_ROOM_EVERY)
        return not stop.is_set()

    async def _consume(self, buffer: DeliveryBuffer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                batch = await buffer.next_batch()
            except ConsumerCancelled:
                if stop.is_set():
                    return
                raise
            if self.inbox.parked_bytes >= self._settings.parked_bytes:
                return  # what was received goes back to the queue with the connection
            hit("consumer.delivered")
            with self._batch_seconds.time():
                # A process may have died of a redelivered event: each of those is handled alone.
                for redelivered, deliveries in groupby(batch, key=_is_redelivered):
                    if not stop.is_set():
                        await self._handle(buffer, list(deliveries), stop, alone=redelivered)
            hit("consumer.acked")

    async def _handle(
        self,
        buffer: DeliveryBuffer,
        deliveries: Sequence[DeliveredMessage],
        stop: asyncio.Event,
        *,
        alone: bool,
    ) -> None:
        events, accepted = await self._accept(buffer, deliveries)
        self._observe_lag(events)
        if alone:
            for event, delivery in zip(events, accepted, strict=True):
                await self.inbox.handle_redelivered(event)
                await buffer.ack([delivery])
            return
        while events and not stop.is_set():
            handled = await self.inbox.handle_some(events)
            await buffer.ack(accepted[:handled])
            events, accepted = events[handled:], accepted[handled:]

    async def _accept(
        self, buffer: DeliveryBuffer, deliveries: Sequence[DeliveredMessage]
    ) -> tuple[list[Envelope], list[DeliveredMessage]]:
        """The events, and their deliveries; what is refused becomes a dead letter."""
        events: list[Envelope] = []
        accepted: list[DeliveredMessage] = []
        for delivery in deliveries:
            try:
                events.append(self._acceptance.event(delivery))
                accepted.append(delivery)
            except Refused as problem:
                metrics.DEAD_LETTERED.labels(self._queue, problem.reason).inc()
                self._refusals.warning(
                    "%s sends a message to its dead letters (%s): %s",
                    self._queue,
                    problem.reason,
                    problem,
                )
                await buffer.dead_letter(delivery)
        return events, accepted

    def _observe_lag(self, events: Sequence[Envelope]) -> None:
        """Observe the age of the oldest event; a producer's clock may be ahead of ours."""
        known = [event.time for event in events if event.time != UNKNOWN_TIME]
        if known:
            self._lag.observe(max(0.0, time.time() - min(known).timestamp()))

    async def _watch(self, checks: Declarer, buffer: DeliveryBuffer, stop: asyncio.Event) -> None:
        """Restore bindings that were removed; end the wait for deliveries on stop."""
        try:
            while not stop.is_set():
                await pause(stop, self._settings.topology_check)
                if not stop.is_set():
                    await checks.declare()
        finally:
            buffer.wake()


def _is_redelivered(delivery: DeliveredMessage) -> bool:
    return bool(delivery.redelivered)
