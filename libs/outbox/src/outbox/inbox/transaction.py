"""One transaction of the inbox: rows are locked, events are handled, and all of it is committed.

Invariant: a stream's row is locked before its events are decided about, and it moves on in the
same transaction as their effects and the answers to them.

One file, because every step needs what the same transaction holds.
"""

from __future__ import annotations

import asyncio
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
from outbox.inbox.applied_times import AppliedTimes
from outbox.inbox.gates import Closed, Gates
from outbox.inbox.handlers import Bindings, Bound
from outbox.inbox.middleware import Handling
from outbox.inbox.parked_events import ParkedEvents
from outbox.inbox.parked_rows import CRASHED, DISCARDED, UNHANDLED, Failure, ParkedEvent
from outbox.inbox.position import Decision, LockedPositions
from outbox.inbox.settings import InboxSettings
from outbox.inbox.time_limit import TimeLimit
from outbox.inbox.unsequenced import is_unsequenced, remembering
from outbox.inbox.waiting_events import WaitingEvents
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
    parked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something is parked in a stream that a transaction has committed."""
    gaps: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an event came too early, and was parked."""

    def closed(self, event: Envelope) -> Closed | None:
        """Whether a gate keeps this event from its handler, and why."""
        return self.gates.closed(event) if event.type in self.handlers.bound else None

    @asynccontextmanager
    async def begin(
        self,
        streams: Iterable[Stream],
        *,
        counted: Envelope | None = None,
        within: float | None = None,
        new: Iterable[Stream] | None = None,
    ) -> AsyncIterator[InboxTransaction]:
        """Lock these streams; finish and commit when the block ends, roll back if it raises.

        `counted` is an event with a counted attempt; the commit removes the count. `within` and
        `new` are those of `LockedPositions.lock`.

        Raises `HandlerFailed` for what a handler raised or did to the transaction, and
        `TransactionEnded` where only the transaction's id shows that it is another one by now.
        """
        async with guarded(self.work.engine.connect()) as guard:
            times = AppliedTimes(self.consumer)
            positions = await LockedPositions.lock(
                guard.raw,
                self.consumer,
                streams,
                lock_timeout=self.settings.lock_timeout,
                transaction_timeout=self.settings.transaction_timeout,
                within=within,
                new=new,
            )
            hit("consumer.locked")
            parked = ParkedEvents(guard.raw, self.consumer)
            deferred = DeferredStatements(guard.connection)
            waiting = WaitingEvents(parked, positions)
            transaction = InboxTransaction(self, guard, positions, parked, waiting, deferred, times)
            yield transaction
            # Statements that handlers left to be sent can hang as handlers can.
            with self.watchdog.over(f"what was left to send for {self.consumer}"):
                await transaction.finish(counted)
        hit("consumer.committed")
        self._committed(transaction)

    def _committed(self, transaction: InboxTransaction) -> None:
        self.work.committed(transaction.deferred)
        if any(position.parked for position in transaction.positions.values()):
            self.parked.set()
        if Decision.GAP in transaction.decisions:
            self.gaps.set()
        for decision, count in transaction.decisions.items():
            metrics.CONSUMED.labels(self.consumer, decision).inc(count)


@dataclass(slots=True)
class InboxTransaction:
    """Locked streams, and what can be done with their events. `Transactions.begin` ends it."""

    begun_by: Transactions
    guard: GuardedTransaction
    positions: LockedPositions
    parked: ParkedEvents
    waiting: WaitingEvents
    deferred: DeferredStatements
    times: AppliedTimes
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
        """Decide about one delivery, and apply it, keep it for later or drop it."""
        handlers, waiting = self.begun_by.handlers, self.waiting
        position, stream = self.positions[event.stream], event.stream
        decision = position.decide(event.sequence, event.id)
        if decision is Decision.APPLY and waiting.are_in(stream) and await waiting.at_next(stream):
            # The event that waits at this sequence came first, perhaps this one: catch up instead.
            decision = Decision.GAP
        if decision.parks:
            waiting.add(event, decision)
        elif decision is Decision.DUPLICATE:
            self.decisions[decision] += 1
        elif not handlers.knows(event):
            self.decisions[UNHANDLED] += 1
            await self._leave_unhandled(event)
        elif closed := self.begun_by.closed(event):
            self.decisions[closed.reason] += 1
            await self._postpone(event, closed)
        else:
            self.decisions["ignore" if handlers.ignores(event) else decision] += 1
            self.times.add(event)
            await self._apply(event)
        # Also after a duplicate: the process that applied it may have died before it caught up.
        if catch_up and waiting.may_go_on(stream):
            await self.catch_up(stream)

    async def catch_up(self, stream: Stream, *, limit: int = CATCH_UP) -> int:
        """Apply the events that wait next in a stream; returns how many there were.

        If there are more than `limit`, or than there is time for, the retrier goes on.
        """
        position, done = self.positions[stream], 0
        while done < limit and not (done and self.is_long):
            event = await self.waiting.at_next(stream) if self.waiting.are_in(stream) else None
            if event is None:
                return done
            position.blocked = False
            await self._apply_waiting(event)
            if position.blocked:
                return done
            done += 1
        self.waiting.make_due(stream)
        return done

    async def _apply_waiting(self, waiting: ParkedEvent | Envelope) -> None:
        is_discarded = isinstance(waiting, ParkedEvent) and waiting.is_discarded
        event = waiting.envelope if isinstance(waiting, ParkedEvent) else waiting
        closed = None if is_discarded else self.begun_by.closed(event)
        if closed is not None:
            await self._postpone(event, closed)
        elif is_discarded or self.begun_by.handlers.knows(event):
            if event is waiting:  # It never was in the table.
                self.decisions["apply"] += 1
                self.times.add(event)
            await self._apply(event, effect=not is_discarded)
        else:
            await self._leave_unhandled(event)

    async def next_parked(self, stream: Stream, *, at_once: bool = False) -> ParkedEvent | None:
        """The next parked event of a stream if it may be tried now; discarded ones are passed.

        With `at_once` it is tried before it is due.
        """
        position = self.positions[stream]
        before = position.last_sequence
        if not position.blocked:
            await self.parked.pass_discarded(stream, position)
        if position.last_sequence > before:
            # The tombstone was due. If this process dies now, the event behind it has to be due.
            await self.parked.make_due(stream, position.last_sequence + 1)
        head = await self.parked.at(
            stream, position.last_sequence + 1, due=position.blocked and not at_once
        )
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
        """Send all that is still kept back, store the positions, and commit, in one round trip.

        What waits needs answers, and round trips of its own before.
        """
        for kind in list(self._groups):
            await self._flush(kind)
        self.decisions.update(await self.waiting.flush())
        await self._check_units()
        hit("consumer.handled")
        statements = self.deferred.hand_over()
        if counted is not None:
            statements.append(self.positions.forgetting_attempts(counted))
        if self._unsequenced:
            statements.append(remembering(self.begun_by.consumer, self._unsequenced))
        statements += self.times.storing()
        with self.positions.stored_here():
            along = self.begun_by.work.going_along(self.deferred)
            commit = self.guard.commit(statements, self.positions.storing(), along)
            await self.begun_by.limit.keep(commit)

    async def _check_units(self) -> None:
        """Raises `HandlerFailed` if a handler has left a task behind that writes."""
        if self._units:
            await asyncio.sleep(0)  # such a task runs now, and is refused
        for unit, events in self._units:
            if unit.used_after_end:
                raise _failed(events) from UnitEnded(events[0])

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
        await self._keep(event, closed.reason)
        self.positions[event.stream].blocked = True
        await self.parked.postpone(event, closed)

    async def _stop_at(self, event: Envelope, failure: Failure) -> None:
        await self._keep(event, failure.reason)
        await self._note_failure(event, failure)

    async def _keep(self, event: Envelope, reason: str) -> None:
        self.waiting.forget(event)
        kept = await self.parked.park([(event, reason)])
        self.positions[event.stream].parked += len(kept)

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
        self.waiting.applied(event)
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
