"""Each event once and in order, whatever the broker does.

Invariant: a failed event stops its own stream only: it is parked, what follows waits behind it,
and both come up again in order.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import NoneType

from outbox import metrics
from outbox.argument_checks import instance
from outbox.event import Envelope
from outbox.failures import HandlerFailed, contending, is_contention, is_loss
from outbox.inbox import (
    crash_counts,
    operations,
    parked_events,
    parked_figures,
    unsequenced,
)
from outbox.inbox.handlers import Handlers, bind
from outbox.inbox.parked_events import REASONS
from outbox.inbox.recovery import Recovery
from outbox.inbox.settings import InboxSettings
from outbox.inbox.transaction import Transactions
from outbox.inbox.watchdog import Watchdog
from outbox.log.deferred import raw_connection
from outbox.log.work import Work
from outbox.supervise import one_line

log = logging.getLogger(__name__)

AT_ONCE = 100
"""So many streams at most are retried before anything else is looked at."""
SET_ASIDE = 3
"""So many streams at most are taken out of a failing batch before it is taken singly."""


class Inbox:
    """One consumer's streams. Give deliveries to `take`; when it returns, ack."""

    def __init__(
        self,
        consumer: str,
        handlers: Handlers,
        work: Work,
        settings: InboxSettings | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.consumer = consumer
        self.parked_bytes = 0
        """All bodies that are parked, when last reported."""
        self._work = work
        instance("settings", settings, InboxSettings, NoneType)
        self._settings = settings or InboxSettings()
        self._transactions = Transactions(
            consumer,
            bind(consumer, handlers, self._settings.unhandled),
            work,
            watchdog or Watchdog(limit=float("inf")),
            self._settings,
        )
        self._singly = Recovery(self._transactions, self._settings)

    async def take(self, envelopes: Sequence[Envelope]) -> None:
        """Let each event take effect exactly once, or park it; all of it is committed on return.

        Raises only when the database is lost; then nothing may be acked.
        """
        rest = list(envelopes)
        while rest:
            rest = rest[await self.take_some(rest) :]

    async def take_some(self, envelopes: Sequence[Envelope]) -> int:
        """The same of so many of the first as a transaction has time for; returns how many."""
        rest, aside = list(envelopes), list[Envelope]()
        for _ in range(SET_ASIDE + 1):
            try:
                taken = await contending(lambda: self._take_together(rest))  # noqa: B023
            except Exception as problem:
                if is_loss(problem):
                    raise
                if not isinstance(problem, HandlerFailed) or problem.event is None:
                    break
                stream = problem.event.stream
                aside += [envelope for envelope in rest if envelope.stream == stream]
                rest = [envelope for envelope in rest if envelope.stream != stream]
            else:
                if not aside:
                    return taken
                rest = rest[taken:]
                if not rest:
                    break
        for envelope in (*rest, *aside):
            await self._singly.take(envelope)
        return len(envelopes)

    async def take_redelivered(self, envelope: Envelope) -> None:
        """The same for one that came before and was not acked: perhaps the process died of it."""
        await self._singly.take_counted(envelope)

    async def retry_due(self) -> bool:
        """Try parked events whose time has come, of some streams; returns whether to go on at once.

        A stream that somebody keeps locked is left for later.
        """
        async with self._work.engine.begin() as connection:
            raw = await raw_connection(connection)
            streams = await parked_events.due(raw, self.consumer, limit=AT_ONCE)
        tried = 0
        for stream in streams:
            try:
                tried += await self._singly.drain(stream)
            except Exception as problem:
                if not is_contention(problem):
                    raise
                log.warning("%s cannot lock %s: %s", self.consumer, stream, one_line(problem))
        return len(streams) == AT_ONCE and tried > 0

    async def resume_unhandled(self) -> int:
        """Let what is parked as unhandled be tried that is handled or ignored by now.

        All of it where unhandled types are skipped. Returns for how many streams.
        """
        handlers = self._transactions.handlers
        types = None if handlers.unhandled == "skip" else handlers.known
        async with self._work.engine.connect() as connection:
            raw = await raw_connection(connection)
            due = await operations.redrive(
                raw, self.consumer, reason=parked_events.UNHANDLED, types=types
            )
        if due:
            log.info("%s resumes %d streams: it handles their events now", self.consumer, due)
        return due

    async def report(self) -> None:
        """Set the metrics that only the database knows."""
        async with self._work.engine.begin() as connection:
            raw = await raw_connection(connection)
            counts = await parked_figures.counts(raw, self.consumer)
            self.parked_bytes, most = await parked_figures.weights(raw, self.consumer)
        metrics.PARKED_BYTES.labels(self.consumer).set(self.parked_bytes)
        metrics.PARKED_STREAM_BYTES.labels(self.consumer).set(most)
        for reason in REASONS:
            metrics.PARKED.labels(self.consumer, reason).set(counts.get(reason, 0))

    async def keep_house(self, terms: unsequenced.UnsequencedMessages | None) -> None:
        """Forget counts that are of no use, and ids of foreign messages past their retention."""
        async with self._work.engine.begin() as connection:
            await crash_counts.forget_passed(await raw_connection(connection), self.consumer)
        forgotten = unsequenced.FORGET_AT_ONCE
        while terms is not None and forgotten == unsequenced.FORGET_AT_ONCE:
            async with self._work.engine.begin() as connection:
                forgotten = await unsequenced.forget_old(
                    await raw_connection(connection), self.consumer, terms.retention
                )

    async def _take_together(self, envelopes: Sequence[Envelope]) -> int:
        """Returns how many of the first were taken before the time was over."""
        if not envelopes:
            return 0
        streams = {envelope.stream for envelope in envelopes}
        async with self._transactions.begin(streams) as taking:
            for taken, envelope in enumerate(envelopes, start=1):
                await taking.take(envelope, drain=True)
                if taking.is_long:
                    return taken
        return len(envelopes)
