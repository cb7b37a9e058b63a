"""The history of a thing: one entry per status, with the event that caused it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    Table,
    bindparam,
    func,
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import UnitOfWork
from servicekit.database.tables import RowMapper, columns_of, rows_given
from servicekit.http.fields import Timestamp

__all__ = ["History", "HistoryEntry", "HistoryView"]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A status that a thing has had, and the id of the event that caused it, if one did."""

    status: str
    at: datetime
    reason: str | None = None
    caused_by: UUID | None = None


class HistoryItem(BaseModel):
    """A status that the thing has had."""

    status: str
    at: Timestamp
    reason: str | None
    caused_by: UUID | None = Field(description="The event that caused it; null for a request.")


class HistoryView(BaseModel):
    """The history, oldest entry first."""

    items: list[HistoryItem]

    @classmethod
    def of(cls, entries: Sequence[HistoryEntry]) -> Self:
        items = [HistoryItem.model_validate(entry, from_attributes=True) for entry in entries]
        return cls(items=items)


class History:
    """The table `<noun>_history`, declared on the MetaData of `owner`, the table of the things.

    Entries are numbered 1, 2, 3 … in the column `number`. With `by_version` the column is
    `version`: an entry has the version of its owner, and whoever changes the owner inserts it.
    """

    def __init__(self, noun: str, owner: Table, *, by_version: bool = False) -> None:
        key = f"{noun}_id"
        number: Column[int] = (
            Column("version", BigInteger, primary_key=True)
            if by_version
            else Column("number", Integer, primary_key=True)
        )
        self.table = Table(
            f"{noun}_history",
            owner.metadata,
            Column(key, ForeignKey(owner.c.id), primary_key=True),
            number,
            *columns_of(HistoryEntry),
        )
        self._key, self._number = self.table.c[key], self.table.c[number.name]
        self.insert_first = (
            f"INSERT INTO {self.table.name} ({key}, {number.name}, status, at) VALUES"  # noqa: S608
            f" (%(id)s, {'%(version)s' if by_version else 1}, %(status)s, %(created_at)s)"
        )
        """The first entry of a new row of the owner, as text for `unit.write` with its values."""
        self._entries = RowMapper(self.table, HistoryEntry)
        self._append_all = self._append_of()
        fields = HistoryEntry.__slots__
        id_: Any = bindparam("id", type_=owner.c.id.type)
        last = select(func.coalesce(func.max(self._number), 0) + 1).where(self._key == id_)
        values = (bindparam(field, type_=self.table.c[field].type) for field in fields)
        self._append = insert(self.table).from_select(
            [key, number.name, *fields], select(id_, last.scalar_subquery(), *values)
        )

    def _append_of(self) -> str:
        table, key, number = self.table.name, self._key.name, self._number.name
        fields = ", ".join(HistoryEntry.__slots__)
        given = rows_given([self._key, *self._entries.columns])
        last = f"SELECT max({number}) FROM {table} h WHERE h.{key} = given.{key}"  # noqa: S608
        place = f"row_number() OVER (PARTITION BY {key} ORDER BY ordinality)"
        return (
            f"INSERT INTO {table} ({key}, {number}, {fields})"  # noqa: S608
            f" SELECT {key}, coalesce(({last}), 0) + {place}, {fields}"
            f" FROM {given} WITH ORDINALITY AS given({key}, {fields}, ordinality)"
        )

    async def add(self, connection: AsyncConnection, id_: Any, entry: HistoryEntry) -> None:
        """Append an entry; the caller has locked the thing."""
        await connection.execute(self._append, {"id": id_, **asdict(entry)})

    async def add_all(self, unit: UnitOfWork, entries: Sequence[tuple[Any, HistoryEntry]]) -> None:
        """Append entries in their order, by one statement that is only sent.

        The caller has locked the things.
        """
        lists = self._entries.listed([entry for _, entry in entries])
        await unit.send(self._append_all, {self._key.name: [id_ for id_, _ in entries], **lists})

    async def of(self, connection: AsyncConnection, id_: Any) -> list[HistoryEntry]:
        """All entries, oldest first; empty if there is no such thing."""
        found = self._entries.all.where(self._key == id_).order_by(self._number)
        return await self._entries.fetch(connection, found)
