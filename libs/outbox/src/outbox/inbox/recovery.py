"""One event a transaction: after a failure, after two crashes, and for what was parked.

Invariant: an attempt is counted in a transaction of its own before a handler runs that may have
killed a process. An event that has killed too many is parked as `crashed` instead of handled.

This is policy: what is done to rows is in `outbox.inbox.transaction`.

One file, because counting, handling and parking are steps of one attempt.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import TimeoutError as PoolTimeout

from outbox import metrics
from outbox.errors import TransactionEnded
from outbox.event import Envelope, Stream
from outbox.failpoints import hit
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
from outbox.inbox.redelivered import InHand, Notes, Suspected
from outbox.inbox.transaction import CATCH_UP, InboxTransaction, Transactions
from outbox.log.deferred import raw_connection
from outbox.plural import counted
from outbox.throttled_warnings import Throttled
from outbox.tracebacks import said, traceback_of

logger = logging.getLogger(__name__)

CRASHES_FOR_COMPANY = 3
"""With fewer crashes allowed, every redelivered event is a suspect: the next crash may park it."""

T = TypeVar("T")


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
        self.in_hand = InHand()
        # Two crashes in company could be an innocent event's, so they must not be enough to park.
        self._most_beside = 1 if self._settings.crashes >= CRASHES_FOR_COMPANY else 0

    async def note(self, redelivered: Collection[Envelope]) -> set[Stream]:
        """Note that these are in hand together; returns the streams of suspects among them."""
        if self._most_beside == 0:
            return {event.stream for event in redelivered}
        runs = [event for event in redelivered if self._runs_handler(event)]
        async with self._transactions.work.engine.begin() as connection:
            notes = Notes(await raw_connection(connection), self._consumer)
            suspected = await notes.note(runs)
        hit("consumer.noted")
        return suspected

    async def handle_redelivered(self, event: Envelope) -> None:
        """Handle an event that came before, or park it if processes have died of it."""
        if await self._attempt(lambda is_alone: self._handle_again(event, is_alone)):
            await self.catch_up(event.stream)

    async def handle(self, event: Envelope, *, is_counted: bool = False) -> None:
        """Apply or park one delivery, then what is parked behind it."""
        async with self.in_hand.beside_others():
            with self.surviving(*([event] if is_counted else [])):
                more = await self._handle_or_park(event, is_counted)
        if more:
            await self.catch_up(event.stream)

    async def fail(self, event: Envelope, problem: Exception) -> None:
        """Park a delivery whose handler has failed; what it raised says what becomes of it."""
        async with self.in_hand.beside_others():
            more = await self._park_failed(event, problem)
        if more:
            await self.catch_up(event.stream)

    async def catch_up(self, stream: Stream) -> bool:
        """Apply what waits next in a stream, up to the first that fails; false if none was tried.

        An event that has failed before is left alone until its next attempt is due.
        """
        tried = False
        while True:
            goes_on = await self._attempt(lambda is_alone: self._try_next(stream, is_alone))
            tried = tried or goes_on is not None
            if not goes_on:
                return tried

    async def probe(self, stream: Stream, sequence: int) -> bool:
        """Try the event at which a stream has stopped because its type has tripped.

        Whether the stream goes on.
        """
        with self._breaker.probing(stream, sequence):
            return bool(
                await self._attempt(lambda is_alone: self._try_next(stream, is_alone, sequence))
            )

    def survived(self, events: Iterable[Envelope]) -> None:
        """The process did not die of these, though their counts stay: the next attempt knows."""
        self._survived.update((event.stream, event.sequence) for event in events)

    @contextmanager
    def surviving(self, *events: Envelope) -> Iterator[None]:
        """A pool timeout or a lock timeout is no crash: the next attempt subtracts this one."""
        try:
            yield
        except Exception as problem:
            if isinstance(problem, PoolTimeout) or is_contention(problem):
                self.survived(events)
            raise

    async def _attempt(self, attempt: Callable[[bool], Awaitable[T]]) -> T:
        """Make an attempt beside others, or alone if the event is suspected."""
        try:
            async with self.in_hand.beside_others():
                return await attempt(False)
        except Suspected:
            async with self.in_hand.alone():
                return await attempt(True)

    async def _handle_again(self, event: Envelope, is_alone: bool) -> bool:
        """True if something is parked that may be next now."""
        attempts = await contending(lambda: self._count_attempt(event, is_alone))
        # The first delivery was not counted, and did not end well either: see decision 0504.
        if attempts >= self._settings.crashes:
            await self._park(event, _crashed(attempts))
            return False
        with self.surviving(*([event] if attempts else [])):
            return await self._handle_or_park(event, attempts > 0)

    async def _try_next(
        self, stream: Stream, is_alone: bool, sequence: int | None = None
    ) -> bool | None:
        """Whether the stream goes on; None if nothing was tried. A sequence need not be due."""
        at_once = sequence is not None
        head, attempts = await contending(lambda: self._next_parked(stream, is_alone, at_once))
        if head is None or sequence not in (None, head.sequence):
            return None
        with self.surviving(head.envelope):
            return await self._catch_up_from(head, attempts)

    def _runs_handler(self, event: Envelope) -> bool:
        """False if no process could die of it."""
        is_bound = event.type in self._transactions.handlers.bound
        return is_bound and not self._transactions.closed(event)

    async def _count_attempt(self, event: Envelope, is_alone: bool) -> int:
        """Count an attempt; 0 if the event is not next, or no handler could die of it."""
        if not self._runs_handler(event):
            return 0
        async with self._transactions.begin([event.stream]) as transaction:
            if transaction.positions.decide(event) is not Decision.APPLY:
                return 0
            return await self._count(transaction, event, is_alone)

    async def _count(self, transaction: InboxTransaction, event: Envelope, is_alone: bool) -> int:
        """Raises `Suspected`, so that nothing is counted, if it has to be alone and is not."""
        key = (event.stream, event.sequence)
        survived = self._survived[key]
        attempts = await transaction.positions.count_attempt(event, survived=survived)
        if attempts > self._most_beside and not is_alone:
            raise Suspected
        self._survived.pop(key, None)
        return attempts

    async def _handle_or_park(self, event: Envelope, is_counted: bool) -> bool:
        try:
            return await contending(lambda: self._handle(event, is_counted))
        except Exception as problem:
            if is_loss(problem):
                raise
            return await self._park_failed(event, problem)

    async def _park_failed(self, event: Envelope, problem: Exception) -> bool:
        """True if the event is given up, so that its stream goes on."""
        failure = self._failure_of(problem, event, failed=1)
        await self._park(event, failure)
        return failure.discarded_because is not None

    async def _handle(self, event: Envelope, is_counted: bool) -> bool:
        """True if something is parked that may be next now."""
        begin = self._transactions.begin
        async with begin([event.stream], counted=event if is_counted else None) as transaction:
            await transaction.handle(event, catch_up=False)
        return transaction.waiting.may_go_on(event.stream)

    async def _next_parked(
        self, stream: Stream, is_alone: bool = False, at_once: bool = False
    ) -> tuple[ParkedEvent | None, int]:
        """The next event of a stream if it may be tried, and the number of attempts so far."""
        async with self._transactions.begin([stream]) as transaction:
            head = await transaction.next_parked(stream, at_once=at_once)
            if head is None:
                return None, 0
            attempts = await self._count(transaction, head.envelope, is_alone)
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
