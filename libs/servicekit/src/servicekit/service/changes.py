"""One way to change the status of a thing: lock, check, change, note in the history, announce.

Everything happens in the caller's transaction. A request asks for `move` and is refused when the
status does not lead there. An event asks for `follow`: what comes too late is a line in the
history and changes nothing else (decision 0013).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import Event, UnitOfWork
from servicekit.http.long_polling import Waiters
from servicekit.service.history import History, HistoryEntry
from servicekit.service.lifecycle import Lifecycle
from servicekit.service.rows import Reader, Rows

__all__ = ["Changes", "RowsWithHistory", "Store", "Thing"]


class Thing(Protocol):
    """A row with an id and a status."""

    @property
    def id(self) -> Any: ...
    @property
    def status(self) -> Any: ...


K = TypeVar("K")
K_contra = TypeVar("K_contra", contravariant=True)
S = TypeVar("S", bound=StrEnum)
T = TypeVar("T", bound=Thing)


class Store(Protocol[K_contra, T]):
    """Where things and their histories are kept."""

    async def lock(self, connection: AsyncConnection, id_: K_contra) -> T:
        """The thing, which no other transaction changes until this one ends. Raises `NotFound`."""
        ...

    async def change(
        self, connection: AsyncConnection, thing: T, entry: HistoryEntry, values: Mapping[str, Any]
    ) -> T:
        """Append the entry and set the values, if there are any; return the thing as it is then."""
        ...


@dataclass(frozen=True)
class RowsWithHistory(Generic[K, T]):
    """A store of two tables. The rows have `created_at`, and `updated_at` of the last change."""

    rows: Rows[K, T]
    history: History

    async def create(self, unit: UnitOfWork, thing: T, event: Event) -> None:
        """Insert a thing with the first entry of its history, and emit its event.

        It is one statement, hence one round trip.
        """
        inserts = f"created AS ({self.rows.insert}), history AS ({self.history.insert_first})"
        await unit.write(inserts, self.rows.values(thing), event)

    async def lock(self, connection: AsyncConnection, id_: K) -> T:
        return await self.rows.lock(connection, id_)

    async def change(
        self, connection: AsyncConnection, thing: T, entry: HistoryEntry, values: Mapping[str, Any]
    ) -> T:
        await self.history.add(connection, thing.id, entry)
        if not values:
            return thing
        changed = {**values, "updated_at": entry.at}
        return await self.rows.update(connection, thing.id, changed)


@dataclass(frozen=True)
class Changes(Generic[K, S, T]):
    """Changes things of one kind.

    When a thing becomes settled, its key is announced on `channel`, where `?wait=` listens. The key
    is `<noun>/<id>`, unless `key` says otherwise.
    """

    store: Store[K, T]
    lifecycle: Lifecycle[S]
    channel: str
    key: Callable[[K], str] | None = None

    async def move(self, unit: UnitOfWork, id_: K, target: S) -> T:
        """Move a thing and return it. Raises `NotFound` or `IllegalTransition`."""
        thing = await self.store.lock(unit.connection, id_)
        return await self.move_locked(unit, thing, self.lifecycle.move(thing.status, target))

    async def follow(
        self,
        unit: UnitOfWork,
        id_: K,
        target: S,
        *,
        at: datetime | None = None,
        reason: str | None = None,
        outcome: str | None = None,
        **values: Any,
    ) -> T | None:
        """Move a thing where an event leads, and return it; None if the event comes too late.

        `outcome` names what came too late in the history, by default the target. Raises `NotFound`.
        """
        thing = await self.store.lock(unit.connection, id_)
        if self.lifecycle.may_move(thing.status, target):
            return await self.move_locked(unit, thing, target, at=at, reason=reason, **values)
        reason = self.lifecycle.came_too_late(thing.status, outcome or target)
        await self.note(unit, thing, reason)
        return None

    async def move_locked(
        self,
        unit: UnitOfWork,
        thing: T,
        target: S,
        *,
        at: datetime | None = None,
        reason: str | None = None,
        **values: Any,
    ) -> T:
        """Move a thing that is locked and may go there; set its reason and these values too."""
        entry = _entry(unit, target, at, reason)
        changed = {"status": target.value, "reason": reason, **values}
        moved = await self.store.change(unit.connection, thing, entry, changed)
        if self.lifecycle.is_settled(target):
            unit.announce(self.channel, self.key_of(thing.id))
        return moved

    async def note(self, unit: UnitOfWork, thing: T, reason: str, **values: Any) -> None:
        """Add a line to the history of a locked thing under the status that it has."""
        entry = _entry(unit, thing.status, None, reason)
        await self.store.change(unit.connection, thing, entry, values)

    async def settled(self, waiters: Waiters, reader: Reader[K, T], id_: K, seconds: float) -> T:
        """The thing once it is settled, or as it is after `seconds`. Raises `NotFound`."""
        return await waiters.until_settled(
            self.key_of(id_),
            lambda: reader.get(id_),
            lambda thing: self.lifecycle.is_settled(thing.status),
            seconds,
        )

    def key_of(self, id_: K) -> str:
        """The key that is announced."""
        return self.key(id_) if self.key else f"{self.lifecycle.noun}/{id_}"


def _entry(
    unit: UnitOfWork, status: StrEnum, at: datetime | None, reason: str | None
) -> HistoryEntry:
    cause = unit.cause.id if unit.cause else None
    return HistoryEntry(status.value, at or datetime.now(UTC), reason, cause)
