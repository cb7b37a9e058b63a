"""The consumer: from a queue, through the inbox, to one ack for a whole batch.

Invariant: a delivery is acked only after its effects, its answers and its place in the stream
are committed. Whatever dies before is delivered again and found to be a duplicate.
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
from outbox.inbox.delivery_buffer import DeliveryBuffer
from outbox.inbox.handlers import Handlers, check_reached
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
from outbox.rabbitmq.topology import Topology
from outbox.supervise import Enduring, Up, end, keep_running, pause, together
from outbox.throttled_warnings import Throttled

log = logging.getLogger(__name__)

ROOM, LOOK_AGAIN = 0.9, 0.5
"""A consumer that parks too much goes on below this part of its bound; seconds between looks."""


class Consumer:
    """Consumes one queue into one database. The queue's name is the inbox's consumer name."""

    def __init__(
        self,
        *,
        queue: str,
        handlers: Handlers,
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
            topology.of(queue), foreign=self._settings.foreign, senders=self._settings.senders
        )
        self._refusals = Throttled(log)
        self._watchdog = watchdog or Watchdog(self._settings.hangs_after)
        self.inbox = Inbox(queue, handlers, work, self._settings, self._watchdog)
        if self._settings.foreign is None:
            check_reached(queue, handlers, topology.of(queue))
        self._retrier = Retrier(self.inbox, work, self._settings)
        self._lag = metrics.LAG_SECONDS.labels(queue)
        self._batch_seconds = metrics.BATCH_SECONDS.labels(queue)
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until told to stop, through any loss of database or broker.

        Raises what needs a person: `BrokerRefused` or `DatabaseRefused` at the first connection,
        `SchemaBehind` at any. While its queue is not as declared it is not `running`, and goes on
        when it is.
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
            await channel.set_qos(prefetch_count=self._settings.prefetch)
            intake = await DeliveryBuffer.open(
                channel, self._queue, batch=self._settings.batch, tag=tag
            )
            watch = asyncio.create_task(self._watch(checks, intake, stop))
            stack.push_async_callback(end, watch)
            self.running = True
            up("is connected, and takes events unless another one does")
            try:
                await self._consume(intake, stop)
            finally:
                self.running = False

    async def _has_room(self, stop: asyncio.Event) -> bool:
        """Wait until less is parked: what is left in the queue loses nothing. False if stopped."""
        most = self._settings.parked_bytes
        if self.inbox.parked_bytes >= most:
            log.error(
                "%s takes nothing while %d bytes of it are parked, at most %d:"
                " redrive or discard some",
                self._queue,
                self.inbox.parked_bytes,
                most,
            )
            while self.inbox.parked_bytes > most * ROOM and not stop.is_set():
                await pause(stop, LOOK_AGAIN)
        return not stop.is_set()

    async def _consume(self, intake: DeliveryBuffer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                batch = await intake.next_batch()
            except ConnectionError:
                if stop.is_set():
                    return
                raise
            if self.inbox.parked_bytes >= self._settings.parked_bytes:
                return  # what has come goes back to the queue with the connection
            hit("consumer.delivered")
            with self._batch_seconds.time():
                # Perhaps the process died of one of those that come again: they go singly.
                for again, deliveries in groupby(batch, key=_redelivered):
                    if not stop.is_set():
                        await self._take(intake, list(deliveries), stop, again=again)
            hit("consumer.acked")

    async def _take(
        self,
        intake: DeliveryBuffer,
        deliveries: Sequence[DeliveredMessage],
        stop: asyncio.Event,
        *,
        again: bool,
    ) -> None:
        envelopes: list[Envelope] = []
        readable: list[DeliveredMessage] = []
        for delivery in deliveries:
            try:
                envelopes.append(self._acceptance.event(delivery))
                readable.append(delivery)
            except Refused as problem:
                metrics.DEAD_LETTERED.labels(self._queue, problem.reason).inc()
                self._refusals.warning(
                    "%s sends a message to its dead letters (%s): %s",
                    self._queue,
                    problem.reason,
                    problem,
                )
                await intake.dead_letter(delivery)
        self._observe_lag(envelopes)
        if again:
            for envelope, delivery in zip(envelopes, readable, strict=True):
                await self.inbox.handle_redelivered(envelope)
                await intake.ack([delivery])
        while envelopes and not again and not stop.is_set():
            taken = await self.inbox.handle_some(envelopes)
            await intake.ack(readable[:taken])
            envelopes, readable = envelopes[taken:], readable[taken:]

    def _observe_lag(self, envelopes: Sequence[Envelope]) -> None:
        """Of the oldest event; a producer's clock may be ahead of ours."""
        known = [envelope.time for envelope in envelopes if envelope.time != UNKNOWN_TIME]
        if known:
            self._lag.observe(max(0.0, time.time() - min(known).timestamp()))

    async def _watch(self, checks: Declarer, intake: DeliveryBuffer, stop: asyncio.Event) -> None:
        """Bring back bindings that somebody removed; end the wait for deliveries on stop."""
        try:
            while not stop.is_set():
                await pause(stop, self._settings.topology_check)
                if not stop.is_set():
                    await checks.declare()
        finally:
            intake.wake()


def _redelivered(delivery: DeliveredMessage) -> bool:
    return bool(delivery.redelivered)
