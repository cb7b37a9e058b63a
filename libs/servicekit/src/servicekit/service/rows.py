"""Rows of one table as one dataclass: found, locked, changed, listed by pages.

    PARCELS = Rows(parcels, Parcel, ParcelNotFound, newest_first=Keyset(parcels.c.id))
    parcel = await PARCELS.get(connection, parcel_id)

The fields of the dataclass are columns of the table, and the table has the key `id`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

from pydantic import BaseModel
from sqlalchemy import ARRAY, Select, Table, any_, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import Work
from servicekit.database.dataloader import DataLoader
from servicekit.http.pagination import Keyset, Page, PageRequest

__all__ = ["NotFound", "Reader", "Rows"]

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


class Rows(Generic[K, T]):
    """Reads rows of `table` as `kind`, and raises `missing` for an id that is not there."""

    def __init__(
        self, table: Table, kind: type[T], missing: type[NotFound], *, newest_first: Keyset
    ) -> None:
        self._table, self._kind, self._missing = table, kind, missing
        self.newest_first = newest_first
        self._statuses = {
            name: hint
            for name, hint in get_type_hints(kind).items()
            if isinstance(hint, type) and issubclass(hint, StrEnum)
        }
        self._names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        self.columns = [table.c[name] for name in self._names]
        self._all: Select[Any] = select(*self.columns)

    async def find(self, connection: AsyncConnection, id_: K) -> T | None:
        """The row as it is now; None if there is none."""
        return await self._one(connection, self._all, id_)

    async def get(self, connection: AsyncConnection, id_: K) -> T:
        """The row as it is now. Raises `missing`."""
        return self._present(await self.find(connection, id_), id_)

    async def lock(self, connection: AsyncConnection, id_: K) -> T:
        """The row, which no other transaction changes until this one ends. Raises `missing`."""
        return self._present(await self._one(connection, self._all.with_for_update(), id_), id_)

    async def update(self, connection: AsyncConnection, id_: K, values: Mapping[str, Any]) -> T:
        """Change a row that exists, and return it as it is then."""
        changed = (
            update(self._table)
            .where(self._table.c.id == id_)
            .values(**values)
            .returning(*self.columns)
        )
        return self.read((await connection.execute(changed)).one())

    def filtered(self, **equal: Any) -> Select[Any]:
        """Rows with these values; a filter that is None is left out."""
        wanted = self._all
        for name, value in equal.items():
            if value is not None:
                plain = value.value if isinstance(value, StrEnum) else value
                wanted = wanted.where(self._table.c[name] == plain)
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
        found = [self.read(row) for row in await connection.execute(wanted)]
        return self.newest_first.page(found, page, view)

    def reader(self, work: Work) -> Reader[K, T]:
        """A reader of single rows for the endpoints of one process."""
        key = self._table.c.id
        these = self._all.where(key == any_(bindparam("ids", type_=ARRAY(key.type))))

        async def read(ids: Sequence[K]) -> dict[K, T]:
            async with work.read() as connection:
                rows = await connection.execute(these, {"ids": list(ids)})
                return {row.id: self.read(row) for row in rows}

        return Reader(read, self._missing)

    def read(self, row: Any) -> T:
        """A row of a result with (at least) these columns, as the dataclass."""
        values = {name: getattr(row, name) for name in self._names}
        statuses = {name: kind(values[name]) for name, kind in self._statuses.items()}
        return self._kind(**{**values, **statuses})

    async def _one(self, connection: AsyncConnection, wanted: Select[Any], id_: K) -> T | None:
        found = await connection.execute(wanted.where(self._table.c.id == id_))
        row = found.one_or_none()
        return None if row is None else self.read(row)

    def _present(self, found: T | None, id_: K) -> T:
        if found is None:
            raise self._missing(id_)
        return found
