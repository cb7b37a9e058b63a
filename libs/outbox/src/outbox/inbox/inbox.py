"""Each event once and in order, whatever the broker does.

Invariant: a failed event stops its own stream only. It is parked, what follows waits behind it,
and both are tried again in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from types import NoneType

from outbox import metrics
from outbox.argument_checks import instance
from outbox.event import Envelope, Stream
from outbox.failures import is_contention
from outbox.inbox.batch import Batch, Left, never
from outbox.inbox.batch_size import Stopwatch
from outbox.inbox.breaker import Breaker
from outbox.inbox.gates import ClosedTypes, Gates
from outbox.inbox.handlers import Around, HandlersByType, bind
from outbox.inbox.operations import InboxOperations
from outbox.inbox.parked_events import ParkedEvents
from outbox.inbox.parked_queries import ParkedQueries
from outbox.inbox.parked_rows import GATED, PAUSED, REASONS, UNHANDLED
from outbox.inbox.parked_selection import ParkedSelection
from outbox.inbox.position import Connection, forget_passed_attempts
from outbox.inbox.prober import Prober
from outbox.inbox.recovery import Recovery
from outbox.inbox.settings import InboxSettings
from outbox.inbox.stream_claims import StreamClaims
from outbox.inbox.time_limit import TimeLimit
from outbox.inbox.transaction import Transactions
from outbox.inbox.unsequenced import FORGET_AT_ONCE, MessageIds, UnsequencedMessages
from outbox.inbox.watchdog import Watchdog
from outbox.log.deferred import raw_connection
from outbox.log.work import Work
from outbox.losses import one_line
from outbox.plural import counted
from outbox.postgres.controls import INBOX_CONTROLS, Valve

logger = logging.getLogger(__name__)

DUE_STREAMS = 100
"""At most this many streams are retried before anything else is done."""
RESUMED = 1_000
"""At most this many postponed events are resumed in one statement."""


class Inbox:
    """One consumer's streams. Give deliveries to `handle`; when it returns, ack."""

    def __init__(
        self,
        consumer: str,
        handlers: HandlersByType,
        work: Work,
        settings: InboxSettings | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        instance("settings", settings, InboxSettings, NoneType)
        settings = settings or InboxSettings()
        self.consumer = consumer
        self.parked_bytes = 0
        """The size of all that is parked, when last reported."""
        self._work = work
        watchdog = watchdog or Watchdog(limit=float("inf"))
        breaker = Breaker(settings.breaker)
        around = Around(watchdog, settings.middleware, settings.time_limit, breaker.succeeded)
        bindings = bind(consumer, handlers, settings.unhandled, around)
        self.valve = Valve(INBOX_CONTROLS, consumer)
        """Whether, and how fast, deliveries are handled."""
        self.paused = ClosedTypes(PAUSED)
        self._gates = Gates((self.paused, breaker))
        limit = TimeLimit(settings.time_limit)
        self._transactions = Transactions(
            consumer, bindings, work, watchdog, settings, limit, self._gates
        )
        self._recovery = Recovery(self._transactions, breaker)
        self.prober = Prober(consumer, work, breaker, self._recovery, self.resume, valve=self.valve)

    def closed_types(self, reason: str) -> list[str]:
        """The event types that gates with this reason, one of `GATED`, close now."""
        return self._gates.closed_types(reason)

    async def handle(self, events: Sequence[Envelope]) -> None:
        """Let each event take effect exactly once, or park it; all of it is committed on return.

        Raises only when the database is lost; then nothing may be acked.
        """
        rest = list(events)
        while rest:
            left = await self.handle_some(rest)
            rest = [*left.early, *left.rest]

    async def handle_some(
        self,
        events: Sequence[Envelope],
        *,
        redelivered: Collection[Envelope] = (),
        is_patient: Callable[[Envelope], bool] = never,
        stopwatch: Stopwatch | None = None,
    ) -> Left:
        """Do the same with the first events, as many as one transaction has time for.

        Those that are `redelivered` came before and were not acked: perhaps a process died of one.
        The stopwatch runs while handlers do.
        """
        watch = stopwatch or Stopwatch()
        batch = Batch(self._transactions, self._recovery, is_patient, watch, redelivered)
        return await batch.handle(events)

    async def retry_due(self, claims: StreamClaims | None = None) -> bool:
        """Try the parked events of some streams that are due; returns whether to go on at once.

        A stream that another transaction keeps locked is left for later. `claims` leave out what
        retriers of other processes have in hand.
        """
        async with self._work.statements() as connection:
            due = await ParkedEvents(connection, self.consumer).due_streams(limit=DUE_STREAMS)
        tried, rest = 0, due
        while rest:
            async with claims.some(rest) if claims else nullcontext(rest) as streams:
                tried += await self._retry(streams)
            rest = rest[rest.index(streams[-1]) + 1 :] if streams else []
        return len(due) == DUE_STREAMS and tried > 0

    async def _retry(self, streams: Sequence[Stream]) -> int:
        tried = 0
        for stream in streams:
            try:
                tried += await self._recovery.catch_up(stream)
            except Exception as problem:
                if not is_contention(problem):
                    raise
                logger.warning("%s cannot lock %s: %s", self.consumer, stream, one_line(problem))
        return tried

    async def resume_unhandled(self) -> int:
        """Let events be tried that were parked as unhandled and are handled or ignored by now.

        All of them where unhandled types are skipped. Returns for how many streams.
        """
        handlers = self._transactions.handlers
        types = None if handlers.unhandled == "skip" else handlers.known
        selection = ParkedSelection(reason=UNHANDLED, types=types)
        async with self._work.engine.connect() as connection:
            raw = await raw_connection(connection)
            due = await InboxOperations(raw, self.consumer).redrive(selection)
        if due:
            logger.info("%s resumes %d streams: it handles their events now", self.consumer, due)
        return due

    async def resume(self, reason: str) -> int:
        """Let events be tried that gates with this reason have postponed and are open for now.

        Returns how many streams go on.
        """
        closed, freed = self.closed_types(reason), 0
        while True:
            async with self._work.engine.begin() as connection:
                parked = ParkedEvents(await raw_connection(connection), self.consumer)
                some = await parked.resume(reason, closed=closed, limit=RESUMED)
            freed += some
            if some < RESUMED:
                break
        if freed:
            streams = counted(freed, "stream")
            logger.info("%s goes on with %s, no longer %s", self.consumer, streams, reason)
        return freed

    async def read_controls(self, connection: Connection) -> bool:
        """Read what a person has ordered, and obey from now on. One statement.

        Returns whether something else is paused than before.
        """
        before = self.valve.is_closed, set(self.paused.closed_types)
        await self.valve.read(connection)
        self.paused.close(self.valve.paused_types)
        return before != (self.valve.is_closed, set(self.paused.closed_types))

    @property
    def something_parked(self) -> asyncio.Event:
        """Set by each transaction that leaves something parked in a stream of its own."""
        return self._transactions.parked

    @property
    def something_missing(self) -> asyncio.Event:
        """Set when an event came too early, or a beacon showed that one may be missing."""
        return self._transactions.gaps

    async def report(self) -> bool:
        """Set the metrics that only the database knows, and resume what a gate has postponed.

        Returns whether gates keep something, which the next report may find free.
        """
        async with self._work.statements() as connection:
            parked = ParkedQueries(connection, self.consumer)
            counts = {count.reason: count for count in await parked.counts()}
            heaviest = await parked.heaviest() if counts else ()
        self.parked_bytes = sum(count.bytes for count in counts.values())
        metrics.PARKED_BYTES.labels(self.consumer).set(self.parked_bytes)
        most = heaviest[0].bytes if heaviest else 0
        metrics.PARKED_STREAM_BYTES.labels(self.consumer).set(most)
        for_person = sum(count.for_person for count in counts.values())
        metrics.FOR_PERSON.labels(self.consumer).set(for_person)
        for reason in REASONS:
            events = counts[reason].events if reason in counts else 0
            metrics.PARKED.labels(self.consumer, reason).set(events)
            if events and reason in GATED:
                await self.resume(reason)
        return not counts.keys().isdisjoint(GATED)

    async def do_housekeeping(self, unsequenced: UnsequencedMessages | None) -> None:
        """Forget counts that are of no use, and message ids that are past their retention."""
        async with self._work.engine.begin() as connection:
            raw = await raw_connection(connection)
            await forget_passed_attempts(raw, consumer=self.consumer)
        forgotten = FORGET_AT_ONCE
        while unsequenced is not None and forgotten == FORGET_AT_ONCE:
            async with self._work.engine.begin() as connection:
                ids = MessageIds(await raw_connection(connection), self.consumer)
                forgotten = await ids.forget_old(unsequenced.retention)
