"""The consumer: from a queue, through the inbox, to one ack for a whole batch.

Invariant: a delivery is acked only after its effects, its answers and its place in the stream
are committed. Whatever dies before is delivered again and found to be a duplicate.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage

from outbox import metrics
from outbox.broker import connect
from outbox.consume.inbox import Handler, Inbox
from outbox.consume.intake import Intake
from outbox.consume.retry import RetryPolicy
from outbox.envelope import Envelope
from outbox.errors import UnreadableMessage
from outbox.lifecycle import pause, reconnecting
from outbox.message import from_delivery
from outbox.topology import Topology
from outbox.write.work import Work

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """Times are in seconds."""

    batch: int = 200
    prefetch: int = 500
    retry_every: float = 1.0
    topology_check: float = 30.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class Consumer:
    """Consumes one queue into one database. The queue's name is the inbox's consumer name."""

    def __init__(
        self,
        *,
        queue: str,
        handlers: Mapping[str, Handler],
        work: Work,
        broker_url: str,
        topology: Topology,
        settings: ConsumerSettings | None = None,
    ) -> None:
        self._queue = queue
        self._broker_url = broker_url
        self._topology = topology
        self._settings = settings or ConsumerSettings()
        self.inbox = Inbox(queue, handlers, work, self._settings.retry)
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until told to stop, through any loss of database or broker.

        Raises `BrokerRefused` or `TopologyMismatch`, which need a person.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._retry_parked(stop))
            group.create_task(
                reconnecting(f"consumer {self._queue}", lambda: self._run_session(stop), stop)
            )

    async def _run_session(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(
                await connect(self._broker_url, f"inbox {self._queue}")
            )
            checks = await broker.channel(publisher_confirms=False)
            await self._topology.declare_on(checks)
            channel = await broker.channel(publisher_confirms=False)
            await channel.set_qos(prefetch_count=self._settings.prefetch)
            intake = await Intake.open(channel, self._queue, batch=self._settings.batch)
            watch = asyncio.create_task(self._watch(checks, intake, stop))
            stack.push_async_callback(_end, watch)
            log.info("consumes %s", self._queue)
            self.running = True
            try:
                await self._consume(intake, stop)
            finally:
                self.running = False

    async def _consume(self, intake: Intake, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                batch = await intake.next_batch()
            except ConnectionError:
                if stop.is_set():
                    return
                raise
            with metrics.BATCH_SECONDS.labels(self._queue).time():
                await self._take(intake, batch)

    async def _take(self, intake: Intake, batch: list[DeliveredMessage]) -> None:
        envelopes: list[Envelope] = []
        readable: list[DeliveredMessage] = []
        for delivery in batch:
            try:
                envelopes.append(from_delivery(delivery))
                readable.append(delivery)
            except UnreadableMessage as problem:
                log.warning("%s sends a message to its dead letters: %s", self._queue, problem)
                await intake.dead_letter(delivery)
        if envelopes:
            await self.inbox.take(envelopes)
        await intake.ack(readable)

    async def _watch(self, checks: AbstractChannel, intake: Intake, stop: asyncio.Event) -> None:
        """Bring back bindings that somebody removed; end the wait for deliveries on stop."""
        try:
            while not stop.is_set():
                await pause(stop, self._settings.topology_check)
                if not stop.is_set():
                    await self._topology.declare_on(checks)
        finally:
            intake.wake()

    async def _retry_parked(self, stop: asyncio.Event) -> None:
        await reconnecting(f"retrier {self._queue}", lambda: self._retry_session(stop), stop)

    async def _retry_session(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.inbox.retry_due()
            await self.inbox.report()
            await pause(stop, self._settings.retry_every)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
