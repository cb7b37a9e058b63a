"""A batch of deliveries: one transaction for all of them, unless a handler fails.

Invariant: what `handle` does not return is committed. A stream that another process has in hand
keeps no other stream waiting for longer than a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from outbox.errors import TimeLimitExceeded
from outbox.event import Envelope, Stream
from outbox.failures import HandlerFailed, contending, is_loss
from outbox.inbox.batch_size import Stopwatch
from outbox.inbox.position import LOCK_SOON, StreamsLocked
from outbox.inbox.recovery import Recovery
from outbox.inbox.redelivered import Notes
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


@dataclass(slots=True)
class Batch:
    """How one batch is handled. `is_patient` says whether an event may wait for a predecessor.

    A process may have died of those that are `redelivered`.
    """

    transactions: Transactions
    recovery: Recovery
    is_patient: Callable[[Envelope], bool]
    stopwatch: Stopwatch
    redelivered: Collection[Envelope] = ()
    _careful: set[Stream] = field(init=False)
    """A process may have died of what is parked there; each of that is counted, and one by one."""
    _suspected: set[Stream] = field(default_factory=set)
    _overdue: dict[Envelope, HandlerFailed] = field(default_factory=dict)
    _behind: set[Stream] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._careful = {event.stream for event in self.redelivered}

    async def handle(self, events: Sequence[Envelope]) -> Left:
        """Handle the first events, as many as one transaction has time for.

        Where a handler fails, the rest of the batch is tried without its stream; where that does
        not help, each event is handled alone. So are the streams of suspects.
        """
        async with self.recovery.in_hand.beside_others():
            if self.redelivered:
                self._suspected = await self.recovery.note(self.redelivered)
            together = [event for event in events if event.stream not in self._suspected]
            with self.recovery.surviving(*self._noted(together)):
                left, rest = await self._try_together(together)
        for event in (*rest, *(one for one in events if one.stream in self._suspected)):
            await self._handle_alone(event)
        for stream in self._behind:
            await self.recovery.catch_up(stream)
        return left

    async def _try_together(self, events: Sequence[Envelope]) -> tuple[Left, Sequence[Envelope]]:
        """Returns what was not begun, and what has to be handled alone."""
        rest, aside = list(events), list[Envelope]()
        for _ in range(SET_ASIDE + 1):
            try:
                return await contending(lambda: self._handle_together(rest)), aside  # noqa: B023
            except Exception as problem:
                if is_loss(problem):
                    raise
                if not isinstance(problem, HandlerFailed) or problem.event is None:
                    break
                failed = problem.event.stream
                aside += [event for event in rest if event.stream == failed]
                rest = [event for event in rest if event.stream != failed]
        return Left(), [*rest, *aside]

    async def _handle_alone(self, event: Envelope) -> None:
        if event in self._overdue:
            # Handled again it would take as long: its time was its own, whoever was beside it.
            await self.recovery.fail(event, self._overdue[event])
        elif event not in self.redelivered:
            await self.recovery.handle(event)
        elif event.stream in self._suspected:
            await self.recovery.handle_redelivered(event)
        else:
            await self.recovery.handle(event, is_counted=True)

    def _noted(self, events: Sequence[Envelope]) -> Sequence[Envelope]:
        return [one for one in events if one in self.redelivered] if self.redelivered else ()

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
            self.recovery.survived(self._noted(events))
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
                await self._handle_one(transaction, locked[handled])
                handled += 1
        early = transaction.waiting.give_back(self.is_patient)
        if noted := self._noted(events):
            await Notes(transaction.guard.raw, self.transactions.consumer).forget(noted)
            mine = (stream for stream in self._careful if stream in positions)
            self._behind = {stream for stream in mine if transaction.waiting.may_go_on(stream)}
        return Left(early=[*early, *elsewhere], rest=locked[handled:])

    async def _handle_one(self, transaction: InboxTransaction, event: Envelope) -> None:
        try:
            await transaction.handle(event, catch_up=event.stream not in self._careful)
        except HandlerFailed as problem:
            # While statements are sent that were left by others, it may be one of those that hangs.
            is_its_own = not transaction.deferred.is_cut_off
            if problem.event and isinstance(problem.__cause__, TimeLimitExceeded) and is_its_own:
                self._overdue[problem.event] = problem
            raise
