"""A batch of first deliveries: one transaction for all of them, unless a handler fails.

Invariant: what `handle` does not return is committed. A stream that another process has in hand
keeps no other stream waiting for longer than a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from outbox.event import Envelope
from outbox.failures import HandlerFailed, contending, is_loss
from outbox.inbox.batch_size import Stopwatch
from outbox.inbox.position import LOCK_SOON, StreamsLocked
from outbox.inbox.recovery import Recovery
from outbox.inbox.transaction import InboxTransaction, Transactions

SET_ASIDE = 3
"""At most this many streams of a failing batch are set aside; see decision 0502."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a batch did not do: nothing of it may be acked."""

    early: Sequence[Envelope] = ()
    """Another process has their streams, or their predecessors, in hand: try them in a moment."""
    rest: Sequence[Envelope] = ()
    """There was no time for these."""


def never(_event: Envelope) -> bool:
    """No event is patient: one that comes too early is parked."""
    return False


@dataclass(frozen=True, slots=True)
class Batch:
    """How one batch is handled. `is_patient` says whether an event may wait for a predecessor."""

    transactions: Transactions
    recovery: Recovery
    is_patient: Callable[[Envelope], bool]
    stopwatch: Stopwatch

    async def handle(self, events: Sequence[Envelope]) -> Left:
        """Handle the first events, as many as one transaction has time for.

        Where a handler fails, the rest of the batch is tried without its stream; where that does
        not help, each event is handled alone.
        """
        rest, aside, left = list(events), list[Envelope](), Left()
        for _ in range(SET_ASIDE + 1):
            try:
                left = await contending(lambda: self._handle_together(rest))  # noqa: B023
                rest = []
                break
            except Exception as problem:
                if is_loss(problem):
                    raise
                if not isinstance(problem, HandlerFailed) or problem.event is None:
                    break
                failed = problem.event.stream
                aside += [event for event in rest if event.stream == failed]
                rest = [event for event in rest if event.stream != failed]
        for event in (*rest, *aside):
            await self.recovery.handle(event)
        return left

    async def _handle_together(self, events: Sequence[Envelope]) -> Left:
        if not events:
            return Left()
        begin, streams = self.transactions.begin, {event.stream for event in events}
        try:
            async with begin(streams, within=LOCK_SOON) as transaction:
                return await self._handle_locked(transaction, events)
        except StreamsLocked:
            # Rows of streams that begin elsewhere are not waited for either.
            new = {event.stream for event in events if event.sequence == 1}
        try:
            async with begin(streams, within=LOCK_SOON, new=new) as transaction:
                return await self._handle_locked(transaction, events)
        except StreamsLocked:
            return Left(early=events)

    async def _handle_locked(
        self, transaction: InboxTransaction, events: Sequence[Envelope]
    ) -> Left:
        positions, locked, elsewhere = transaction.positions, events, list[Envelope]()
        if any(event.stream not in positions for event in events):
            locked = [event for event in events if event.stream in positions]
            elsewhere = [event for event in events if event.stream not in positions]
        handled = 0
        await transaction.waiting.read_behind(locked)
        with self.stopwatch.running():
            while handled < len(locked) and not (handled and transaction.is_long):
                await transaction.handle(locked[handled], catch_up=True)
                handled += 1
        early = transaction.waiting.give_back(self.is_patient)
        return Left(early=[*early, *elsewhere], rest=locked[handled:])
