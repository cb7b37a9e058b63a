"""One event a transaction: after a failure, after a crash, and for what was parked.

Invariant: an attempt is counted in a transaction of its own before a handler runs that may have
killed a process. An event that has killed too many is parked as `crashed` instead of handled.

This is policy: what is done to rows is in `outbox.inbox.transaction`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from sqlalchemy.exc import TimeoutError as PoolTimeout

from outbox import metrics
from outbox.errors import TransactionEnded
from outbox.event import Envelope, Stream
from outbox.failures import (
    HandlerFailed,
    contending,
    is_contention,
    is_loss,
    reason_of,
)
from outbox.fingerprints import cause_of
from outbox.inbox.breaker import Breaker
from outbox.inbox.failure_policy import Discard, FailurePolicy, Park, Retry
from outbox.inbox.parked_rows import CRASHED, FAILED, TRIPPED, Failure, ParkedEvent
from outbox.inbox.position import Decision
from outbox.inbox.transaction import CATCH_UP, InboxTransaction, Transactions
from outbox.plural import counted
from outbox.throttled_warnings import Throttled
from outbox.tracebacks import said, traceback_of

logger = logging.getLogger(__name__)


class Recovery:
    """Handles the events of one consumer that need care."""

    def __init__(self, transactions: Transactions, breaker: Breaker) -> None:
        self._transactions = transactions
        self._breaker = breaker
        self._consumer = transactions.consumer
        self._settings = transactions.settings
        by_type = {kind: one.failures for kind, one in transactions.handlers.bound.items()}
        self._policy = FailurePolicy(self._settings.failures, by_type)
        self._parkings = Throttled(logger, at_most=10)
        self._survived: Counter[tuple[Stream, int]] = Counter()

    async def handle_redelivered(self, event: Envelope) -> None:
        """Handle an event that came before, or park it if processes have died of it."""
        attempts = await contending(lambda: self._count_attempt(event))
        # The first delivery was not counted, and did not end well either: see decision 0504.
        if attempts >= self._settings.crashes:
            await self._park(event, _crashed(attempts))
        else:
            await self.handle(event, is_counted=attempts > 0)

    async def handle(self, event: Envelope, *, is_counted: bool = False) -> None:
        """Apply or park one delivery, then what is parked behind it."""
        with self._surviving(event) if is_counted else nullcontext():
            more = await self._handle_or_park(event, is_counted)
        if more:
            await self.catch_up(event.stream)

    async def catch_up(self, stream: Stream) -> bool:
        """Apply what waits next in a stream, up to the first that fails; false if none was tried.

        An event that has failed before is left alone until its next attempt is due.
        """
        tried = False
        while True:
            head, attempts = await contending(lambda: self._next_parked(stream))
            if head is None:
                return tried
            tried = True
            with self._surviving(head.envelope):
                if not await self._catch_up_from(head, attempts):
                    return tried

    async def probe(self, stream: Stream, sequence: int) -> bool:
        """Try the event at which a stream has stopped because its type has tripped.

        Whether the stream goes on.
        """
        with self._breaker.probing(stream, sequence):
            head, attempts = await contending(lambda: self._next_parked(stream, at_once=True))
            if head is None or head.sequence != sequence:
                return False
            with self._surviving(head.envelope):
                return await self._catch_up_from(head, attempts)

    @contextmanager
    def _surviving(self, event: Envelope) -> Iterator[None]:
        """A pool timeout or a lock timeout is no crash: the next attempt subtracts this one."""
        try:
            yield
        except Exception as problem:
            if isinstance(problem, PoolTimeout) or is_contention(problem):
                self._survived[event.stream, event.sequence] += 1
            raise

    async def _count_attempt(self, event: Envelope) -> int:
        """Count an attempt; 0 if the event is not next, or no handler could die of it."""
        if event.type not in self._transactions.handlers.bound or self._transactions.closed(event):
            return 0
        async with self._transactions.begin([event.stream]) as transaction:
            if transaction.positions.decide(event) is not Decision.APPLY:
                return 0
            return await self._count(transaction, event)

    async def _count(self, transaction: InboxTransaction, event: Envelope) -> int:
        survived = self._survived.pop((event.stream, event.sequence), 0)
        return await transaction.positions.count_attempt(event, survived=survived)

    async def _handle_or_park(self, event: Envelope, is_counted: bool) -> bool:
        try:
            return await contending(lambda: self._handle(event, is_counted))
        except Exception as problem:
            if is_loss(problem):
                raise
            failure = self._failure_of(problem, event, failed=1)
            await self._park(event, failure)
            return failure.discarded_because is not None

    async def _handle(self, event: Envelope, is_counted: bool) -> bool:
        """True if something is parked that may be next now."""
        begin = self._transactions.begin
        async with begin([event.stream], counted=event if is_counted else None) as transaction:
            await transaction.handle(event, catch_up=False)
            position = transaction.positions[event.stream]
        return position.parked > 0 and not position.blocked

    async def _next_parked(
        self, stream: Stream, *, at_once: bool = False
    ) -> tuple[ParkedEvent | None, int]:
        """The next event of a stream if it may be tried, and the number of attempts so far."""
        async with self._transactions.begin([stream]) as transaction:
            head = await transaction.next_parked(stream, at_once=at_once)
            if head is None:
                return None, 0
            attempts = await self._count(transaction, head.envelope)
            if attempts <= self._settings.crashes:
                return head, attempts
            failure = _crashed(attempts - 1)
            if await transaction.keep_parked(head.envelope, failure):
                self._report(head.envelope, failure)
            return None, 0

    async def _catch_up_from(self, head: ParkedEvent, attempts: int) -> bool:
        """True if the stream goes on. The head's followers go along, unless a process died here.

        If 5 to 9 wait and the handler of 8 raises, all is rolled back and 5 to 7 are tried again
        without it; then 8 is the head, and stays. Where it is not known which event failed, as
        when a statement failed that was left to be sent, one event less is tried each time.
        """
        limit = CATCH_UP if attempts == 1 else 1
        while True:
            try:
                applied = await contending(lambda: self._catch_up(head, limit))  # noqa: B023
            except Exception as problem:
                if is_loss(problem):
                    raise
                failed = problem.event if isinstance(problem, HandlerFailed) else None
                sequence = failed.sequence if failed else 0
                limit = min(limit - 1, max(sequence - head.sequence, 1))
                if limit < 1 or sequence == head.sequence:
                    return await self._fail_again(head, problem)
            else:
                metrics.RETRIES.labels(self._consumer, "applied").inc(bool(applied))
                return True

    async def _catch_up(self, head: ParkedEvent, limit: int) -> int:
        event = head.envelope
        async with self._transactions.begin([head.stream], counted=event) as transaction:
            # If another process was quicker, what is next now may perhaps not be tried yet.
            if transaction.positions.is_next(event):
                return await transaction.catch_up(head.stream, limit=limit)
        return 0

    async def _fail_again(self, head: ParkedEvent, problem: Exception) -> bool:
        """True if the event is given up, so that its stream goes on."""
        event = head.envelope
        failure = self._failure_of(problem, event, failed=head.attempts + 1)
        is_discarded = failure.discarded_because is not None
        metrics.RETRIES.labels(self._consumer, "discarded" if is_discarded else "failed").inc()
        async with self._transactions.begin([head.stream], counted=event) as transaction:
            if await transaction.keep_parked(event, failure):
                self._report(event, failure)
        return is_discarded

    async def _park(self, event: Envelope, failure: Failure) -> None:
        async with self._transactions.begin([event.stream], counted=event) as transaction:
            if await transaction.park(event, failure):
                self._report(event, failure)

    def _report(self, event: Envelope, failure: Failure) -> None:
        if failure.reason == CRASHED:
            metrics.CRASHED.labels(self._consumer).inc()
        where = f"\n{failure.traceback}" if failure.traceback and failure.is_first else ""
        done = f"parks %s as {failure.reason}"
        if failure.discarded_because is not None:
            done = f"discards %s ({failure.discarded_because})"
        self._parkings.warning(f"%s {done}: %s%s", self._consumer, event, failure.error, where)

    def _failure_of(self, problem: BaseException, event: Envelope, *, failed: int) -> Failure:
        """Classify what was raised for an event that has failed this often, now included."""
        problem = reason_of(problem)
        error, cause = said(problem), cause_of(problem)
        if isinstance(problem, TransactionEnded) and problem.may_be_committed:
            # A retry could let it take effect twice; a person looks at it first.
            return Failure(FAILED, error, cause=cause)
        if is_contention(problem) or isinstance(problem, PoolTimeout):
            # Others were in its way: that is not a failure of the event.
            return Failure(FAILED, error, Retry().delay(1), counts=False, cause=cause)
        reaction = self._policy.reaction_to(problem, event.type)
        delay = deadline = None
        if isinstance(reaction, Retry):
            if event.type in self._breaker.closed_types:
                return Failure(TRIPPED, error, counts=False, cause=cause)
            self._breaker.failed(event, cause)
            delay, deadline = reaction.delay(failed), reaction.deadline
        return Failure(
            reaction.reason if isinstance(reaction, Park) else FAILED,
            error,
            delay,
            traceback=traceback_of(problem),
            is_first=failed == 1,
            cause=cause,
            deadline=deadline,
            discarded_because=reaction.note if isinstance(reaction, Discard) else None,
        )


def _crashed(times: int) -> Failure:
    ended = f"{counted(times, 'attempt')} ended without a result"
    return Failure(CRASHED, f"{ended}: the process was killed or its connection was lost")
