"""Changes of many things at once, where the events of a batch lead.

One statement locks the things. What they become and what their histories say is decided here, and
sent as one statement for each of the two tables. An event alone takes the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from outbox import Envelope, UnitOfWork
from servicekit.service.changes import Changes, RowsWithHistory, Thing
from servicekit.service.history import HistoryEntry

__all__ = ["BatchedChanges", "Step"]

K = TypeVar("K")
S = TypeVar("S", bound=StrEnum)
T = TypeVar("T", bound=Thing)


@dataclass(frozen=True, slots=True)
class Step(Generic[K, S]):
    """Where an event leads a thing, and the columns that it sets there."""

    id: K
    target: S
    reason: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchedChanges(Changes[K, S, T]):
    """Changes things of one kind, which are rows with a history."""

    store: RowsWithHistory[K, T]

    async def follow_all(
        self, unit: UnitOfWork, causes: Sequence[Envelope], steps: Sequence[Step[K, S]]
    ) -> None:
        """Do what `follow` does for each step, in their order; each is caused by an event.

        All steps set the same columns. Raises the `NotFound` of a thing that is not there.
        """
        at = datetime.now(UTC)
        things = await self.store.rows.lock_all(unit.connection, {step.id for step in steps})
        statuses = {id_: thing.status for id_, thing in things.items()}
        entries: list[tuple[K, HistoryEntry]] = []
        changed: dict[K, dict[str, Any]] = {}
        for step, cause in zip(steps, causes, strict=True):
            before = statuses[step.id]
            status, reason = step.target, step.reason
            if self.lifecycle.may_move(before, step.target):
                statuses[step.id] = step.target
                values = {"status": status.value, "reason": reason, "updated_at": at}
                changed[step.id] = {**values, **step.values}
            else:
                status, reason = before, self.lifecycle.came_too_late(before, step.target)
            entries.append((step.id, HistoryEntry(status.value, at, reason, cause.id)))
        await self.store.history.add_all(unit, entries)
        await self.store.rows.update_all(unit, changed)
        for id_ in changed:
            if self.lifecycle.is_settled(statuses[id_]):
                unit.announce(self.channel, self.key_of(id_))
