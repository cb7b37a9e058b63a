"""The consumer of a queue: a session on the broker; beside it retrier, prober and searcher.

Invariant: no session begins before every batch of the one before it has ended.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from types import NoneType

from outbox.addresses import Broker, BrokerAddress
from outbox.argument_checks import instance, named
from outbox.errors import InvalidSetting
from outbox.inbox.acceptance import Acceptance
from outbox.inbox.batch_size import BatchSize
from outbox.inbox.broker_traps import BrokerTraps
from outbox.inbox.event_handlers import Handlers
from outbox.inbox.handlers import HandlersByType, check_reached
from outbox.inbox.inbox import Inbox
from outbox.inbox.parked_rows import PAUSED, TRIPPED
from outbox.inbox.retrier import Retrier
from outbox.inbox.searcher import Searcher
from outbox.inbox.session import Session
from outbox.inbox.settings import ConsumerSettings
from outbox.inbox.tables import INBOX_TABLES
from outbox.inbox.unacked import Unacked
from outbox.inbox.watchdog import Watchdog
from outbox.log.deferred import raw_connection
from outbox.log.work import Work
from outbox.postgres.pool_sizes import lacking
from outbox.postgres.table_groups import check
from outbox.rabbitmq.broker_version import version_of
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.consumer_tags import tag_of
from outbox.rabbitmq.declarer import Declarer
from outbox.rabbitmq.topology import Topology
from outbox.supervise import Enduring, Up, end, keep_running, pause, together

logger = logging.getLogger(__name__)

ROOM, CHECK_EVERY = 0.9, 0.5
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
        if problem := lacking(work.engine, self.connections, f"the workers of {queue}"):
            raise InvalidSetting("concurrency", problem)
        subscriptions, unsequenced = topology.of(queue), self._settings.unsequenced
        self._acceptance = Acceptance(
            subscriptions, unsequenced=unsequenced, senders=self._settings.senders
        )
        self._watchdog = watchdog or Watchdog(self._settings.hangs_after)
        self.inbox = Inbox(queue, handlers, work, self._settings, self._watchdog)
        if isinstance(handlers, Handlers):
            handlers.check()
        if unsequenced is None:
            check_reached(queue, handlers, subscriptions)
        self._retrier = Retrier(self.inbox, work, self._settings)
        self._searcher = Searcher(self.inbox, work, self._settings, subscriptions)
        self._batch_size = BatchSize(self._settings.batch)
        self._traps = BrokerTraps(queue, topology, Unacked.of(handlers, self._settings))
        self.running = False

    @property
    def is_paused(self) -> bool:
        """Whether a person has paused the queue: it receives nothing, as it should."""
        return self.inbox.valve.is_closed

    @property
    def connections(self) -> int:
        """How many connections of the pool it uses at most: its workers', retrier's, prober's."""
        return self._settings.concurrency + 2

    @property
    def paused_types(self) -> list[str]:
        """The event types that a person has paused, while others go on."""
        return self.inbox.closed_types(PAUSED)

    @property
    def tripped_types(self) -> list[str]:
        """The event types that wait because their dependency is away, while others go on."""
        return self.inbox.closed_types(TRIPPED)

    @property
    def lost(self) -> list[str]:
        """What is missing and does not come by itself, in words; see `outbox.inbox.searcher`."""
        return self._searcher.lost

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
                self._searcher.run(stop),
                self.inbox.prober.run(stop),
            )

    async def _run_session(self, up: Up, stop: asyncio.Event) -> None:
        async with self._work.read() as connection:
            await check(connection, [INBOX_TABLES])
            tag = await tag_of(connection)
            await self.inbox.read_controls(await raw_connection(connection))
        await self.inbox.prober.obey()
        if not (await self._may_receive(up, stop) and await self._has_room(stop)):
            return
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(
                await connect(self._broker, f"inbox {self._queue}")
            )
            self._traps.say(version_of(broker))
            parts = self._topology.parts_of(self._queue)
            checks = Declarer(broker, parts, needed=[name for name, _ in parts], confirms=False)
            await checks.declare()
            await self._searcher.begin()
            channel = await broker.channel(publisher_confirms=False)
            beacons = self._searcher.beacons()
            session = Session(
                self.inbox, self._acceptance, self._batch_size, self._settings, beacons
            )
            await session.begin(channel, tag)
            watch = asyncio.create_task(self._watch(checks, session, stop))
            stack.push_async_callback(end, watch)
            self.running = True
            up("is connected, and receives events")
            try:
                with self._searcher.receiving(session):
                    await session.run(stop)
            finally:
                self.running = False

    async def _may_receive(self, up: Up, stop: asyncio.Event) -> bool:
        """Wait until the queue is no longer paused. False if stopped."""
        valve = self.inbox.valve
        if valve.is_closed:
            self.running = True
            up("is ready")
            logger.info("%s is %s", self._queue, valve.control)
            while valve.is_closed and not stop.is_set():
                await pause(stop, CHECK_EVERY)
            self.running = False
        return not stop.is_set()

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
                await pause(stop, CHECK_EVERY)
        return not stop.is_set()

    async def _watch(self, checks: Declarer, session: Session, stop: asyncio.Event) -> None:
        """Restore bindings that were removed; end the wait for deliveries on stop."""
        try:
            while not stop.is_set():
                await pause(stop, self._settings.topology_check)
                if not stop.is_set():
                    await checks.declare()
        finally:
            session.wake()
