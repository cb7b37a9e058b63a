"""One transaction of the inbox: locked positions, and what is done under them.

Invariant: the row of a stream is locked before its events are looked at, and moves on in the
same transaction as their effects and the answers to them.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg

from outbox import tracing
from outbox.cancellation import whole
from outbox.errors import UnitEnded
from outbox.event import Envelope, Stream
from outbox.failures import HandlerFailed, is_loss
from outbox.inbox import crash_counts, parked_events, positions, unsequenced
from outbox.inbox.handlers import Bindings, Bound
from outbox.inbox.position import Position, Verdict
from outbox.inbox.watchdog import Watchdog
from outbox.log.deferred import Outgoing
from outbox.log.guard import GuardedTransaction
from outbox.log.unit_of_work import UnitOfWork
from outbox.log.work import Work

DRAIN = 200
"""So many parked events at most are drained in one transaction."""


@dataclass(slots=True)
class Taking:
    """Give it events in order, then `finish`, then commit."""

    consumer: str
    handlers: Bindings
    work: Work
    watchdog: Watchdog
    transaction: GuardedTransaction
    positions: positions.Locked
    outgoing: Outgoing
    commit_after: float
    verdicts: Counter[str] = field(default_factory=Counter)
    _groups: dict[str, list[Envelope]] = field(default_factory=dict)
    _grouped: dict[Stream, str] = field(default_factory=dict)
    _foreign: list[Stream] = field(default_factory=list)
    _units: list[tuple[UnitOfWork, list[Envelope]]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    @property
    def is_long(self) -> bool:
        """Whether it is time to commit: what is left to be done goes in the next transaction."""
        return time.monotonic() - self._began > self.commit_after

    @property
    def raw(self) -> psycopg.AsyncConnection[Any]:
        """The driver's connection: the library's own statements take the short way."""
        return self.transaction.raw

    async def take(self, envelope: Envelope, *, drain: bool) -> None:
        """Decide about a delivery, and do it."""
        position = self.positions[envelope.stream]
        verdict = position.decide(envelope.sequence, envelope.id)
        if verdict is Verdict.APPLY and position.parked and await self._is_waiting(envelope):
            # Whatever waits at this place came first, be it this event itself: it is drained below.
            verdict = Verdict.GAP
        said = verdict.value
        if verdict is Verdict.APPLY and not self.handlers.knows(envelope):
            said = parked_events.UNHANDLED
            await self._leave_unhandled(envelope, position)
        elif verdict is Verdict.APPLY:
            said = "ignore" if self.handlers.ignores(envelope) else said
            await self._apply(envelope, position)
        elif verdict.parks:
            reason = await parked_events.park(self.raw, self.consumer, envelope, verdict)
            position.parked += reason is not None
            said = reason or said
        self.verdicts[said] += 1
        # After a duplicate as well: whoever applied it may have died before it came to the rest.
        if drain and position.parked and not position.blocked:
            await self.drain(envelope.stream)

    async def drain(self, stream: Stream, *, limit: int = DRAIN) -> int:
        """Apply the parked events that are next in a stream; returns how many there were.

        If there are more than `limit`, or than there is time for, the retrier goes on.
        """
        position, done = self.positions[stream], 0
        while done < limit and not (done and self.is_long):
            waiting = None
            if position.parked:
                place = position.last_sequence + 1
                waiting = await parked_events.at(self.raw, self.consumer, stream, place)
            if waiting is None:
                return done
            position.blocked = False
            if waiting.discarded or self.handlers.knows(waiting.envelope):
                await self._apply(waiting.envelope, position, effect=not waiting.discarded)
            else:
                await self._leave_unhandled(waiting.envelope, position)
            if position.blocked:
                return done
            done += 1
        await parked_events.make_due(self.raw, self.consumer, stream, position.last_sequence + 1)
        return done

    async def finish(self, counted: Envelope | None = None) -> None:
        """All that is still kept back, and the positions; `counted` needs no count any more."""
        for kind in list(self._groups):
            await self._flush(kind)
        await self.outgoing.flush()
        if counted is not None:
            await crash_counts.forget(self.raw, self.consumer, counted)
        if self._foreign:
            await unsequenced.remember(self.raw, self.consumer, self._foreign)
        await positions.store(self.raw, self.consumer, self.positions)
        # Last: while the statement above was under way, tasks that handlers left behind could run.
        for unit, events in self._units:
            if unit.used_after_end:
                raise _failed(events) from UnitEnded(events[0])

    async def _is_waiting(self, envelope: Envelope) -> bool:
        at = (envelope.stream, envelope.sequence)
        return await parked_events.at(self.raw, self.consumer, *at) is not None

    async def _leave_unhandled(self, envelope: Envelope, position: Position) -> None:
        """Nobody here knows the type: it stops its stream until somebody does, or is skipped."""
        self.handlers.say_unhandled(envelope.type)
        if self.handlers.unhandled == "skip":
            await self._apply(envelope, position, effect=False)
            return
        kept = await parked_events.park(self.raw, self.consumer, envelope, parked_events.UNHANDLED)
        position.parked += kept is not None
        position.blocked = True
        await parked_events.attempted(
            self.raw,
            self.consumer,
            envelope,
            error=f"there is no handler of {envelope.type}",
            delay=None,
            reason=parked_events.UNHANDLED,
            counts=False,
        )

    async def _apply(self, envelope: Envelope, position: Position, *, effect: bool = True) -> None:
        """What has no handler advances the stream and does nothing else."""
        handler = self.handlers.bound.get(envelope.type) if effect else None
        if handler is not None:
            if self._grouped:
                await self._keep_order(envelope)
            if handler.one is not None:
                await self._handle(handler, [envelope])
            else:
                self._groups.setdefault(envelope.type, []).append(envelope)
                self._grouped[envelope.stream] = envelope.type
        position.advance(envelope.sequence, envelope.id)
        if position.parked:
            position.parked -= await parked_events.settle(self.raw, self.consumer, envelope)
        if unsequenced.is_unsequenced(envelope.stream):
            self._foreign.append(envelope.stream)

    async def _keep_order(self, envelope: Envelope) -> None:
        """An event of the stream that waits in another type's group comes first."""
        kind = self._grouped.get(envelope.stream)
        if kind is not None and kind != envelope.type:
            await self._flush(kind)

    async def _flush(self, kind: str) -> None:
        events = self._groups.pop(kind)
        for event in events:
            self._grouped.pop(event.stream, None)
        await self._handle(self.handlers.bound[kind], events)

    async def _handle(self, handler: Bound, events: list[Envelope]) -> None:
        began = time.perf_counter()
        try:
            with self.watchdog.over(events[0]), tracing.processing(self.consumer, events):
                await self._call(handler, events)
            self.transaction.check()
        except Exception as problem:
            if is_loss(problem) and self.raw.closed and not self.transaction.connection.closed:
                raise
            raise _failed(events) from problem
        handler.seconds.observe(time.perf_counter() - began)

    async def _call(self, handler: Bound, events: list[Envelope]) -> None:
        cause = events[0] if handler.one is not None else None
        unit = self.work.within(self.transaction.connection, cause, self.outgoing)
        self._units.append((unit, events))
        try:
            if handler.one is not None:
                await whole(handler.one(unit, events[0]))
            elif handler.many is not None:
                await whole(handler.many(unit, events))
        finally:
            unit.end()


def _failed(events: list[Envelope]) -> HandlerFailed:
    return HandlerFailed(events[0] if len(events) == 1 else None)
