"""Event types that have tripped: their events wait until their dependency is back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outbox.inbox.operations import InboxOperations
from outbox.inbox.parked_rows import TRIPPED, Preview
from outbox.inbox.parked_selection import ParkedSelection
from outbox.inbox.tripped_types import TrippedType, TrippedTypes
from outbox.operations.database import Connection
from outbox.operations.operator.record import Record


@dataclass(frozen=True, slots=True)
class Tripped:
    """The tripped types of one database's consumers."""

    connection: Connection
    record: Record

    async def list(self, consumer: str | None = None) -> Sequence[TrippedType]:
        """What is tripped now, of one consumer or of all."""
        return await TrippedTypes(self.connection, consumer).all()

    async def preview_reset(self, consumer: str, types: Sequence[str]) -> Preview:
        """The streams that wait for these types, and would be tried."""
        selection = ParkedSelection(reason=TRIPPED, types=types)
        return await InboxOperations(self.connection, consumer).preview_redrive(selection)

    async def reset(self, consumer: str, types: Sequence[str], *, note: str = "") -> Sequence[str]:
        """Handle these types again now; returns those that had tripped."""
        target = f"{consumer} {' '.join(types)}"
        async with self.record.change("reset tripped", target, note=note) as change:
            tripped = TrippedTypes(self.connection, consumer)
            done = [one for one in types if await tripped.reset(one)]
            change.events = len(done)
        return done
