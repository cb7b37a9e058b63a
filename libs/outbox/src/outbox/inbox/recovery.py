"""One event a transaction: after a failure, after a death, and for what was parked.

Before anything is handled here that may have killed a process, an attempt is counted in a
transaction of its own; what has killed too many is parked as `crashed` instead of handled.

One file, because every step is a part of the same decision.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from sqlalchemy.exc import TimeoutError as PoolTimeout

from outbox import metrics
from outbox.errors import TransactionEnded
from outbox.event import Envelope, Stream
from outbox.failures import HandlerFailed, contending, is_contention, is_loss, reason_of
from outbox.inbox import crash_counts, discarding, parked_events
from outbox.inbox.parked_events import Connection, ParkedEvent
from outbox.inbox.position import Verdict
from outbox.inbox.settings import InboxSettings
from outbox.inbox.taking import DRAIN, Taking
from outbox.inbox.transaction import Transactions
from outbox.plural import counted
from outbox.throttled_warnings import Throttled
from outbox.tracebacks import said, traceback_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """What becomes of an event that could not be handled. `delay` is None for: not by itself."""

    reason: str
    error: str
    delay: float | None
    counts: bool = True
    traceback: str | None = None
    first: bool = True


class Recovery:
    """The careful way of one consumer."""

    def __init__(self, transactions: Transactions, settings: InboxSettings) -> None:
        self._transactions = transactions
        self._settings = settings
        self._consumer = transactions.consumer
        self._parkings = Throttled(log, at_most=10)
        self._outlived: Counter[tuple[Stream, int]] = Counter()

    async def take(self, envelope: Envelope, *, counted: bool = False) -> None:
        """Apply or park one delivery, then what is parked behind it."""
        with self._outliving(envelope) if counted else nullcontext():
            more = await self._take_or_park(envelope, counted)
        if more:
            await self.drain(envelope.stream)

    async def take_counted(self, envelope: Envelope) -> None:
        """The same for one that came before: if processes have died of it, it is parked."""
        begun = await contending(lambda: self._begin(envelope))
        # The delivery before this one was not counted, and did not end well either.
        if begun >= self._settings.crashes:
            await self._park(envelope, self._crashed(begun))
        else:
            await self.take(envelope, counted=begun > 0)

    async def drain(self, stream: Stream) -> bool:
        """Apply what waits next in a stream, up to the first that fails; false if none was tried.

        An event that has failed before is left alone until its next attempt is due.
        """
        tried = False
        while True:
            head, begun = await contending(lambda: self._begin_parked(stream))
            if head is None:
                return tried
            tried = True
            with self._outliving(head.envelope):
                if not await self._drain_from(head, begun):
                    return tried

    @contextmanager
    def _outliving(self, event: Envelope) -> Iterator[None]:
        """Want of a connection or of a lock is no death, though the event stays counted for now."""
        try:
            yield
        except Exception as problem:
            if isinstance(problem, PoolTimeout) or is_contention(problem):
                self._outlived[event.stream, event.sequence] += 1
            raise

    async def _count(self, connection: Connection, event: Envelope) -> int:
        outlived = self._outlived.pop((event.stream, event.sequence), 0)
        return await crash_counts.begin(connection, self._consumer, event, outlived=outlived)

    async def _take_or_park(self, envelope: Envelope, counted: bool) -> bool:
        try:
            return await contending(lambda: self._take(envelope, counted))
        except Exception as problem:
            if is_loss(problem):
                raise
            await self._park(envelope, self._judge(problem, failed=1))
            return False

    async def _take(self, envelope: Envelope, counted: bool) -> bool:
        """True if something is parked that may be next now."""
        begin = self._transactions.begin
        async with begin([envelope.stream], counted=envelope if counted else None) as taking:
            await taking.take(envelope, drain=False)
            position = taking.positions[envelope.stream]
        return position.parked > 0 and not position.blocked

    async def _begin(self, envelope: Envelope) -> int:
        """Count an attempt; 0 if the event has nothing to be done, or nothing that could kill."""
        if envelope.type not in self._transactions.handlers.bound:
            return 0
        async with self._transactions.begin([envelope.stream]) as taking:
            position = taking.positions[envelope.stream]
            if position.decide(envelope.sequence, envelope.id) is not Verdict.APPLY:
                return 0
            return await self._count(taking.raw, envelope)

    async def _begin_parked(self, stream: Stream) -> tuple[ParkedEvent | None, int]:
        """What is next in a stream and may be tried, and how often it has been begun by now."""
        async with self._transactions.begin([stream]) as taking:
            position, raw = taking.positions[stream], taking.raw
            before = position.last_sequence
            if not position.blocked:
                await discarding.pass_tombstones(raw, self._consumer, stream, position)
            place = position.last_sequence + 1
            if position.last_sequence > before:
                # The tombstone was due; should we die, this one has to be.
                await parked_events.make_due(raw, self._consumer, stream, place)
            waiting = await parked_events.at(raw, self._consumer, stream, place)
            if waiting is None or (position.blocked and not waiting.due):
                return None, 0
            begun = await self._count(raw, waiting.envelope)
            if begun <= self._settings.crashes:
                return waiting, begun
            await self._note(taking, waiting.envelope, self._crashed(begun - 1))
            return None, 0

    async def _drain_from(self, head: ParkedEvent, begun: int) -> bool:
        """True if it took effect. Followers go along, unless a process has died here before.

        If 5 to 9 wait and the handler of 8 raises, all is rolled back and 5 to 7 are tried again,
        without it; 8 is the head then, and stays. Where nobody knows who raised, as when what was
        left to be sent failed, one less is tried each time.
        """
        limit = DRAIN if begun == 1 else 1
        while True:
            try:
                applied = await contending(lambda: self._drain(head, limit))  # noqa: B023
            except Exception as problem:
                if is_loss(problem):
                    raise
                guilty = problem.event if isinstance(problem, HandlerFailed) else None
                place = guilty.sequence if guilty else 0
                limit = min(limit - 1, max(place - head.envelope.sequence, 1))
                if limit < 1 or place == head.envelope.sequence:
                    await self._keep_waiting(head, problem)
                    return False
            else:
                metrics.RETRIES.labels(self._consumer, "applied").inc(bool(applied))
                return True

    async def _drain(self, head: ParkedEvent, limit: int) -> int:
        stream = head.envelope.stream
        async with self._transactions.begin([stream], counted=head.envelope) as taking:
            # Unless another process was quicker, and what is next now may not be tried yet.
            if taking.positions[stream].last_sequence + 1 == head.envelope.sequence:
                return await taking.drain(stream, limit=limit)
        return 0

    async def _keep_waiting(self, head: ParkedEvent, problem: Exception) -> None:
        metrics.RETRIES.labels(self._consumer, "failed").inc()
        envelope = head.envelope
        begin = self._transactions.begin
        async with begin([envelope.stream], counted=envelope) as taking:
            position = taking.positions[envelope.stream]
            if position.last_sequence + 1 == envelope.sequence:
                failure = self._judge(problem, failed=head.attempts + 1)
                await self._note(taking, envelope, failure)

    async def _park(self, envelope: Envelope, failure: Failure) -> None:
        begin = self._transactions.begin
        async with begin([envelope.stream], counted=envelope) as taking:
            position = taking.positions[envelope.stream]
            if position.decide(envelope.sequence, envelope.id) is not Verdict.APPLY:
                await taking.take(envelope, drain=False)
                return
            kept = await parked_events.park(taking.raw, self._consumer, envelope, failure.reason)
            position.parked += kept is not None
            await self._note(taking, envelope, failure)
            taking.verdicts[failure.reason] += 1

    async def _note(self, taking: Taking, envelope: Envelope, failure: Failure) -> None:
        """The event stops its stream until it is tried again."""
        where = f"\n{failure.traceback}" if failure.traceback and failure.first else ""
        self._parkings.warning(
            "%s parks %s as %s: %s%s",
            self._consumer,
            envelope,
            failure.reason,
            failure.error,
            where,
        )
        if failure.reason == parked_events.CRASHED:
            metrics.CRASHED.labels(self._consumer).inc()
            await crash_counts.forget(taking.raw, self._consumer, envelope)
        taking.positions[envelope.stream].blocked = True
        await parked_events.attempted(
            taking.raw,
            self._consumer,
            envelope,
            error=failure.error,
            traceback=failure.traceback,
            delay=failure.delay,
            reason=failure.reason,
            counts=failure.counts,
        )

    def _judge(self, problem: BaseException, *, failed: int) -> Failure:
        problem = reason_of(problem)
        error = said(problem)
        if isinstance(problem, TransactionEnded) and problem.may_be_committed:
            # Tried again by itself it could take effect twice; a person looks first.
            return Failure(parked_events.FAILED, error, delay=None)
        if is_contention(problem) or isinstance(problem, PoolTimeout):
            # Others were in its way; that is not the event's failure.
            return Failure(parked_events.FAILED, error, self._settings.retry.delay(1), counts=False)
        unreadable = self._settings.unreadable(problem)
        return Failure(
            parked_events.UNREADABLE if unreadable else parked_events.FAILED,
            error,
            None if unreadable else self._settings.retry.delay(failed),
            traceback=traceback_of(problem),
            first=failed == 1,
        )

    def _crashed(self, times: int) -> Failure:
        ended = f"{counted(times, 'attempt')} ended without a result"
        why = "the process was killed or its connection was lost"
        return Failure(parked_events.CRASHED, f"{ended}: {why}", delay=None)
