"""One transaction of the inbox: rows are locked, events are handled, and all of it is committed.

Invariant: a stream's row is locked before its events are decided about, and it moves on in the
same transaction as their effects and the answers to them.

One file, because every step needs what the same transaction holds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from outbox import metrics
from outbox.errors import UnitEnded
from outbox.event import Envelope, Stream
from outbox.failpoints import hit
from outbox.failures import HandlerFailed, is_loss
from outbox.inbox.gates import Closed, Gates
from outbox.inbox.handlers import Bindings, Bound
from outbox.inbox.middleware import Handling
from outbox.inbox.parked_events import ParkedEvents
from outbox.inbox.parked_rows import CRASHED, DISCARDED, UNHANDLED, Failure, ParkedEvent
from outbox.inbox.position import Decision, LockedPositions
from outbox.inbox.settings import InboxSettings
from outbox.inbox.time_limit import TimeLimit
from outbox.inbox.unsequenced import MessageIds, is_unsequenced
from outbox.inbox.watchdog import Watchdog
from outbox.log.deferred import DeferredStatements
from outbox.log.guard import GuardedTransaction, guarded
from outbox.log.unit_of_work import UnitOfWork
from outbox.log.work import Work

CATCH_UP = 200
"""At most this many parked events are applied in one transaction."""


@dataclass(frozen=True, slots=True)
class Transactions:
    """Begins transactions of one consumer."""

    consumer: str
    handlers: Bindings
    work: Work
    watchdog: Watchdog
    settings: InboxSettings
    limit: TimeLimit
    """For what handlers left to be sent."""
    gates: Gates

    def closed(self, event: Envelope) -> Closed | None:
        """Whether a gate keeps this event from its handler, and why."""
        return self.gates.closed(event) if event.type in self.handlers.bound else None

    @asynccontextmanager
    async def begin(
        self,
        streams: Iterable[Stream],
        *,
        counted: Envelope | None = None,
    ) -> AsyncIterator[InboxTransaction]:
        """Lock these streams; finish and commit when the block ends, roll back if it raises.

        `counted` is an event with a counted attempt; the commit removes the count.

        Raises `HandlerFailed` for what a handler raised or did to the transaction, and
        `TransactionEnded` where only the transaction's id shows that it is another one by now.
        """
        async with guarded(self.work.engine) as guard:
            positions = await LockedPositions.lock(
                guard.raw,
                self.consumer,
                streams,
                lock_timeout=self.settings.lock_timeout,
                transaction_timeout=self.settings.transaction_timeout,
            )
            hit("consumer.locked")
            parked = ParkedEvents(guard.raw, self.consumer)
            deferred = DeferredStatements(guard.connection, together=True)
            transaction = InboxTransaction(self, guard, positions, parked, deferred)
            yield transaction
            # Statements that handlers left to be sent can hang as handlers can.
            with self.watchdog.over(f"what was left to send for {self.consumer}"):
                await transaction.finish(counted)
            hit("consumer.handled")
        hit("consumer.committed")
        self.work.committed(transaction.deferred)
        for decision, count in transaction.decisions.items():
            metrics.CONSUMED.labels(self.consumer, decision).inc(count)


@dataclass(slots=True)
class InboxTransaction:
    """Locked streams, and what can be done with their events. `Transactions.begin` ends it."""

    begun_by: Transactions
    guard: GuardedTransaction
    positions: LockedPositions
    parked: ParkedEvents
    deferred: DeferredStatements
    decisions: Counter[str] = field(default_factory=Counter)
    _groups: dict[str, list[Envelope]] = field(default_factory=dict)
    _grouped: dict[Stream, str] = field(default_factory=dict)
    _unsequenced: list[Stream] = field(default_factory=list)
    _units: list[tuple[UnitOfWork, list[Envelope]]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    @property
    def is_long(self) -> bool:
        """Whether it is time to commit; the next transaction does the rest. See decision 1132."""
        return time.monotonic() - self._began > self.begun_by.settings.commit_after

    async def handle(self, event: Envelope, *, catch_up: bool) -> None:
        """Decide about one delivery, and apply it, park it or drop it."""
        handlers = self.begun_by.handlers
        position = self.positions[event.stream]
        decision = position.decide(event.sequence, event.id)
        if decision is Decision.APPLY and position.parked and await self._is_waiting(event):
            # The event that waits at this sequence came first, perhaps this one: catch up instead.
            decision = Decision.GAP
        outcome = decision.value
        if decision is Decision.APPLY and not handlers.knows(event):
            outcome = UNHANDLED
            await self._leave_unhandled(event)
        elif decision is Decision.APPLY and (closed := self.begun_by.closed(event)):
            outcome = closed.reason
            await self._postpone(event, closed)
        elif decision is Decision.APPLY:
            outcome = "ignore" if handlers.ignores(event) else outcome
            await self._apply(event)
        elif decision.parks:
            reason = await self.parked.park(event, decision)
            position.parked += reason is not None
            outcome = reason or outcome
        self.decisions[outcome] += 1
        # Also after a duplicate: the process that applied it may have died before it caught up.
        if catch_up and position.parked and not position.blocked:
            await self.catch_up(event.stream)

    async def catch_up(self, stream: Stream, *, limit: int = CATCH_UP) -> int:
        """Apply the parked events that are next in a stream; returns how many there were.

        If there are more than `limit`, or than there is time for, the retrier goes on.
        """
        position, done = self.positions[stream], 0
        while done < limit and not (done and self.is_long):
            waiting = None
            if position.parked:
                waiting = await self.parked.at(stream, position.last_sequence + 1)
            if waiting is None:
                return done
            position.blocked = False
            event = waiting.envelope
            closed = None if waiting.is_discarded else self.begun_by.closed(event)
            if closed is not None:
                await self._postpone(event, closed)
            elif waiting.is_discarded or self.begun_by.handlers.knows(event):
                await self._apply(event, effect=not waiting.is_discarded)
            else:
                await self._leave_unhandled(event)
            if position.blocked:
                return done
            done += 1
        await self.parked.make_due(stream, position.last_sequence + 1)
        return done

    async def next_parked(self, stream: Stream) -> ParkedEvent | None:
        """The next parked event of a stream if it may be tried now; discarded ones are passed."""
        position = self.positions[stream]
        before = position.last_sequence
        if not position.blocked:
            await self.parked.pass_discarded(stream, position)
        if position.last_sequence > before:
            # The tombstone was due. If this process dies now, the event behind it has to be due.
            await self.parked.make_due(stream, position.last_sequence + 1)
        head = await self.parked.at(stream, position.last_sequence + 1, due=position.blocked)
        if head is None or head.is_discarded:
            return head
        closed = self.begun_by.closed(head.envelope)
        if closed is not None:
            await self._postpone(head.envelope, closed)
        return None if closed else head

    async def park(self, event: Envelope, failure: Failure) -> bool:
        """Park an event that could not be handled; it stops its stream until it is tried again.

        If the failure says so, the event is given up instead.

        False if another process has applied or parked it meanwhile.
        """
        if self.positions.decide(event) is not Decision.APPLY:
            await self.handle(event, catch_up=False)
            return False
        await self._stop_at(event, failure)
        given_up = failure.discarded_because is not None
        self.decisions[DISCARDED if given_up else failure.reason] += 1
        return True

    async def keep_parked(self, event: Envelope, failure: Failure) -> bool:
        """Let a parked event that failed again wait; false if another process has applied it."""
        is_next = self.positions.is_next(event)
        if is_next:
            await self._note_failure(event, failure)
        return is_next

    async def finish(self, counted: Envelope | None = None) -> None:
        """Send all that is still kept back, and store the positions."""
        for kind in list(self._groups):
            await self._flush(kind)
        await self.begun_by.limit.keep(self.deferred.flush())
        if counted is not None:
            await self.positions.forget_attempts(counted)
        if self._unsequenced:
            await MessageIds(self.guard.raw, self.begun_by.consumer).remember(self._unsequenced)
        await self.positions.store()
        # Last: while `store` was under way, tasks that handlers left behind could run.
        for unit, events in self._units:
            if unit.used_after_end:
                raise _failed(events) from UnitEnded(events[0])

    async def _is_waiting(self, event: Envelope) -> bool:
        return await self.parked.at(event.stream, event.sequence) is not None

    async def _leave_unhandled(self, event: Envelope) -> None:
        """Skip an event of an unknown type, or let it stop its stream until the type is known."""
        handlers = self.begun_by.handlers
        handlers.say_unhandled(event.type)
        if handlers.unhandled == "skip":
            await self._apply(event, effect=False)
            return
        error = f"there is no handler of {event.type}"
        await self._stop_at(event, Failure(UNHANDLED, error, counts=False))

    async def _postpone(self, event: Envelope, closed: Closed) -> None:
        """Let an event stop its stream, without an attempt, until its gate opens."""
        kept = await self.parked.park(event, closed.reason)
        position = self.positions[event.stream]
        position.parked += kept is not None
        position.blocked = True
        await self.parked.postpone(event, closed)

    async def _stop_at(self, event: Envelope, failure: Failure) -> None:
        kept = await self.parked.park(event, failure.reason)
        self.positions[event.stream].parked += kept is not None
        await self._note_failure(event, failure)

    async def _note_failure(self, event: Envelope, failure: Failure) -> None:
        if failure.reason == CRASHED:
            await self.positions.forget_attempts(event)
        self.positions[event.stream].blocked = True
        await self.parked.note_failure(event, failure)
        if failure.discarded_because is not None:
            await self._discard(event, failure.discarded_because)

    async def _discard(self, event: Envelope, note: str) -> None:
        """Give up a parked event that is next; the retrier goes on with what waits behind it."""
        await self.parked.record_given_up(event, note)
        self.positions[event.stream].blocked = False
        await self._apply(event, effect=False)
        await self.parked.make_due(event.stream, event.sequence + 1)

    async def _apply(self, event: Envelope, *, effect: bool = True) -> None:
        """Run the event's handler, if it has one and takes effect, and advance its stream."""
        position = self.positions[event.stream]
        handler = self.begun_by.handlers.bound.get(event.type) if effect else None
        if handler is not None:
            if self._grouped:
                await self._keep_order(event)
            if handler.many:
                self._groups.setdefault(event.type, []).append(event)
                self._grouped[event.stream] = event.type
            else:
                await self._run(handler, [event])
        position.advance(event.sequence, event.id)
        if position.parked:
            position.parked -= await self.parked.remove_applied(event)
        if is_unsequenced(event.stream):
            self._unsequenced.append(event.stream)

    async def _keep_order(self, event: Envelope) -> None:
        """Handle an earlier event of the stream first that waits in another type's group."""
        kind = self._grouped.get(event.stream)
        if kind is not None and kind != event.type:
            await self._flush(kind)

    async def _flush(self, kind: str) -> None:
        events = self._groups.pop(kind)
        for event in events:
            self._grouped.pop(event.stream, None)
        await self._run(self.begun_by.handlers.bound[kind], events)

    async def _run(self, handler: Bound, events: list[Envelope]) -> None:
        cause = None if handler.many else events[0]
        unit = self.begun_by.work.within(self.guard.connection, cause, self.deferred)
        self._units.append((unit, events))
        handling = Handling(self.begun_by.consumer, handler.type, events, unit, self.guard)
        try:
            await handler.call(handling)
        except Exception as problem:
            lost = self.guard.raw.closed and not self.guard.connection.closed
            if lost and is_loss(problem):
                raise
            raise _failed(events) from problem
        finally:
            unit.end()


def _failed(events: list[Envelope]) -> HandlerFailed:
    return HandlerFailed(events[0] if len(events) == 1 else None)
