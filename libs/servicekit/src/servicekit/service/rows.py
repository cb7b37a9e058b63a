"""Rows of one table as one dataclass: found, locked, changed, listed by pages.

    ROWS = Rows[UUID, Parcel](parcels, Parcel, ParcelNotFound)
    parcel = await ROWS.get(connection, parcel_id)

A table without an id of its own, such as the lines of an order, has a `RowMapper` instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel
from sqlalchemy import ARRAY, Column, Select, Table, any_, bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import UnitOfWork, Work
from servicekit.database.dataloader import DataLoader
from servicekit.database.tables import RowMapper, rows_given
from servicekit.http.pagination import Keyset, Page, PageRequest

__all__ = ["NotFound", "Reader", "Readers", "Rows"]

K = TypeVar("K")
T = TypeVar("T")
V = TypeVar("V", bound=BaseModel)


class NotFound(LookupError):
    """There is no such thing. Each noun has a class: `class ParcelNotFound(NotFound)`."""

    noun: ClassVar[str]

    def __init__(self, id_: object) -> None:
        super().__init__(f"There is no {self.noun} {id_}.")


class Reader(Generic[K, T]):
    """Reads what many callers ask for at once with few statements; one per process."""

    def __init__(
        self, read: Callable[[Sequence[K]], Awaitable[Mapping[K, T]]], missing: type[NotFound]
    ) -> None:
        self._loader, self._missing = DataLoader[K, T](read), missing

    async def get(self, id_: K) -> T:
        """The row as it is now. Raises the `NotFound` of its noun."""
        found = await self._loader.get(id_)
        if found is None:
            raise self._missing(id_)
        return found


class Rows(RowMapper[T], Generic[K, T]):
    """Rows of `table` as `kind`, and `missing` for an id that is not there.

    The id is the first column of the primary key. A list is ordered by it unless `newest_first`
    says otherwise.
    """

    def __init__(
        self,
        table: Table,
        kind: type[T],
        missing: type[NotFound],
        *,
        newest_first: Keyset | None = None,
    ) -> None:
        super().__init__(table, kind)
        self._id: Column[Any] = next(iter(table.primary_key))
        self._missing = missing
        self._these = self.all.where(self._id == any_(bindparam("ids", type_=ARRAY(self._id.type))))
        self._updates: dict[tuple[str, ...], str] = {}
        self.newest_first = newest_first or Keyset(self._id)

    async def find(self, connection: AsyncConnection, id_: K) -> T | None:
        """The row as it is now; None if there is none."""
        return await self.fetch_one(connection, self.all.where(self._id == id_))

    async def get(self, connection: AsyncConnection, id_: K) -> T:
        """The row as it is now. Raises `missing`."""
        return self._present(await self.find(connection, id_), id_)

    async def lock(self, connection: AsyncConnection, id_: K) -> T:
        """The row, which no other transaction changes until this one ends. Raises `missing`."""
        locked = self.all.where(self._id == id_).with_for_update()
        return self._present(await self.fetch_one(connection, locked), id_)

    async def lock_all(self, connection: AsyncConnection, ids: Collection[K]) -> dict[K, T]:
        """These rows, locked in the order of their ids. Raises `missing` for the first."""
        locked = self._these.order_by(self._id).with_for_update()
        found = await self._by_id(connection, locked, ids)
        for id_ in ids:
            self._present(found.get(id_), id_)
        return found

    async def update_all(self, unit: UnitOfWork, changed: Mapping[K, Mapping[str, Any]]) -> None:
        """Set the same columns of rows that exist, by one statement that is only sent."""
        if changed:
            names = list(next(iter(changed.values())))
            lists = {name: [values[name] for values in changed.values()] for name in names}
            await unit.send(self._update_of(*names), {self._id.name: list(changed), **lists})

    async def update(self, connection: AsyncConnection, id_: K, values: Mapping[str, Any]) -> T:
        """Change a row that exists, and return it as it is then."""
        changed = (
            update(self.table).where(self._id == id_).values(**values).returning(*self.columns)
        )
        return self.read((await connection.execute(changed)).one())

    def filtered(self, **equal: Any) -> Select[Any]:
        """Rows with these values; a filter that is None is left out."""
        wanted = self.all
        for name, value in equal.items():
            if value is not None:
                plain = value.value if isinstance(value, StrEnum) else value
                wanted = wanted.where(self.table.c[name] == plain)
        return wanted

    async def page(
        self,
        connection: AsyncConnection,
        page: PageRequest,
        view: Callable[[T], V],
        **equal: Any,
    ) -> Page[V]:
        """A page of the rows with these values, newest first."""
        wanted = self.newest_first.select(self.filtered(**equal), page)
        return self.newest_first.page(await self.fetch(connection, wanted), page, view)

    def reader(self, work: Work) -> Reader[K, T]:
        """A reader of single rows for the endpoints of one process."""

        async def read(ids: Sequence[K]) -> dict[K, T]:
            async with work.read() as connection:
                return await self._by_id(connection, self._these, ids)

        return Reader(read, self._missing)

    async def _by_id(
        self, connection: AsyncConnection, these: Select[Any], ids: Collection[K]
    ) -> dict[K, T]:
        rows = await connection.execute(these, {"ids": list(ids)})
        return {row._mapping[self._id]: self.read(row) for row in rows}

    def _update_of(self, *names: str) -> str:
        """An UPDATE of these columns as text, for lists of ids and values."""
        if names not in self._updates:
            table, key = self.table.name, self._id.name
            given = rows_given([self._id, *(self.table.c[name] for name in names)])
            self._updates[names] = (
                f"UPDATE {table} SET {', '.join(f'{name} = given.{name}' for name in names)}"  # noqa: S608
                f" FROM {given} AS given({', '.join([key, *names])})"
                f" WHERE {table}.{key} = given.{key}"
            )
        return self._updates[names]

    def _present(self, found: T | None, id_: K) -> T:
        if found is None:
            raise self._missing(id_)
        return found


class Readers:
    """The readers of one process: one for each `Rows`, made when it is first asked for."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._made: dict[Rows[Any, Any], Reader[Any, Any]] = {}

    def of(self, rows: Rows[K, T]) -> Reader[K, T]:
        """The reader of these rows."""
        if rows not in self._made:
            self._made[rows] = rows.reader(self._work)
        return cast("Reader[K, T]", self._made[rows])
