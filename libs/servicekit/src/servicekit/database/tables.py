"""A table that is declared by the dataclass of its rows: each column is written once.

    @dataclass(frozen=True, slots=True)
    class Parcel:
        id: UUID
        weight_grams: Annotated[int, Integer()]
        status: ParcelStatus
        reason: str | None

    parcels = table_of(Parcel, "parcels", metadata, PrimaryKeyConstraint("id"))

A field is a column of the same name. It is NOT NULL unless the field may be None. The type of the
column follows from that of the field (`TYPES`, and TEXT for a `StrEnum`), or stands in `Annotated`,
as a foreign key does. `parcels` is an ordinary `Table` of SQLAlchemy Core.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Generic,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    MetaData,
    Select,
    Table,
    Text,
    Uuid,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

__all__ = ["RowMapper", "columns_of", "fields_of", "rows_given", "table_of"]

T = TypeVar("T")

# Some types, such as ranges and JSON, have other values in the driver than in SQLAlchemy.
_DRIVER = PGDialect_psycopg()  # type: ignore[no-untyped-call]

TYPES: Mapping[type[Any], TypeEngine[Any]] = {
    UUID: Uuid(),
    datetime: DateTime(timezone=True),
    int: BigInteger(),
    bool: Boolean(),
    str: Text(),
}


def table_of(
    kind: type[Any], name: str, metadata: MetaData, *items: SchemaItem, **options: Any
) -> Table:
    """The table whose rows are `kind`. Constraints, indexes and options are those of `Table`.

    A `Column` among the items is one that the dataclass does not have.
    """
    return Table(name, metadata, *columns_of(kind), *items, **options)


def columns_of(kind: type[Any]) -> list[Column[Any]]:
    """New columns for the fields of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    return [_column(field.name, hints[field.name]) for field in fields(kind)]


def fields_of(row: Any) -> dict[str, Any]:
    """The fields of a row by name, as they are; `dataclasses.asdict` copies each of them."""
    return {field.name: getattr(row, field.name) for field in fields(row)}


def rows_given(columns: Collection[Column[Any]]) -> str:
    """`unnest(…)` of a list for each column, which is a parameter of the column's name.

    A statement for any number of rows has one text, so PostgreSQL prepares it once.
    """
    lists = (f"%({one.name})s::{one.type.compile(_DRIVER)}[]" for one in columns)
    return f"unnest({', '.join(lists)})"


class RowMapper(Generic[T]):
    """Turns rows of `table` into `kind`, and back.

    The fields are columns of the table, which may have more. Nothing remembers an instance or
    watches for its changes: every statement is the caller's.
    """

    def __init__(self, table: Table, kind: type[T]) -> None:
        self.table, self._kind = table, kind
        self._names: list[str] = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        self._statuses = [
            (self._names.index(name), status)
            for name, hint in get_type_hints(kind).items()
            if issubclass(status := _python_type(hint), StrEnum)
        ]
        self.columns = [table.c[name] for name in self._names]
        self._bound = {
            one.name: bind
            for one in self.columns
            if (bind := one.type.dialect_impl(_DRIVER).bind_processor(_DRIVER)) is not None
        }
        self.all: Select[Any] = select(*self.columns)
        self.insert = self.insert_with()
        """An INSERT of `values` as text, for `unit.write` and `unit.send`."""

    def insert_with(self, *others: str) -> str:
        """The same with further columns of the table, which are parameters too."""
        names = [*self._names, *others]
        values = ", ".join(f"%({name})s" for name in names)
        return f"INSERT INTO {self.table.name} ({', '.join(names)}) VALUES ({values})"  # noqa: S608

    @cached_property
    def insert_all(self) -> str:
        """An INSERT of `listed` rows as text, for `unit.write` and `unit.send`."""
        names, given = ", ".join(self._names), rows_given(self.columns)
        return f"INSERT INTO {self.table.name} ({names}) SELECT * FROM {given}"  # noqa: S608

    def listed(self, rows: Sequence[T]) -> dict[str, list[Any]]:
        """The columns of these rows, each with a list of its values as the driver takes them."""
        values = [self.values(row) for row in rows]
        lists = {name: [row[name] for row in values] for name in self._names}
        for name, bind in self._bound.items():
            lists[name] = [bind(value) for value in lists[name]]
        return lists

    def read(self, row: Any) -> T:
        """A row of a result that begins with `columns`."""
        values = list(row[: len(self._names)])
        for index, status in self._statuses:
            if values[index] is not None:
                values[index] = status(values[index])
        return self._kind(*values)

    def values(self, row: T) -> dict[str, Any]:
        """The columns of a row and their values."""
        values = {name: getattr(row, name) for name in self._names}
        for index, _ in self._statuses:
            if (status := values[self._names[index]]) is not None:
                values[self._names[index]] = status.value
        return values

    async def add(self, connection: AsyncConnection, row: T) -> None:
        """Insert a row; one that exists is an error."""
        await connection.execute(insert(self.table), self.values(row))

    async def add_all(self, connection: AsyncConnection, rows: Iterable[T]) -> None:
        """Insert rows; one that exists is an error."""
        await connection.execute(insert(self.table), [self.values(row) for row in rows])

    async def put(self, connection: AsyncConnection, row: T) -> None:
        """Insert a row, or set the other columns of the one that has its primary key."""
        statement, key = insert(self.table), list(self.table.primary_key)
        others = {c.name: statement.excluded[c.name] for c in self.columns if c not in key}
        statement = statement.on_conflict_do_update(index_elements=key, set_=others)
        await connection.execute(statement, self.values(row))

    async def fetch(self, connection: AsyncConnection, wanted: Select[Any]) -> list[T]:
        """The rows of a statement that was made from `all`."""
        return [self.read(row) for row in await connection.execute(wanted)]

    async def fetch_one(self, connection: AsyncConnection, wanted: Select[Any]) -> T | None:
        """The only row of a statement that was made from `all`; None if there is none."""
        row = (await connection.execute(wanted)).one_or_none()
        return None if row is None else self.read(row)


def _column(name: str, hint: Any) -> Column[Any]:
    plain, *items = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    types = [item for item in items if isinstance(item, TypeEngine)]
    items = [item for item in items if item not in types]
    type_ = types[0] if types else _column_type(name, _python_type(plain))
    numbered = any(isinstance(item, Identity) for item in items)
    return Column(
        name,
        type_,
        *items,
        nullable=_may_be_none(plain),
        autoincrement="auto" if numbered else False,  # otherwise an integer key is a SERIAL
    )


def _column_type(name: str, kind: type[Any]) -> TypeEngine[Any]:
    found = Text() if issubclass(kind, StrEnum) else TYPES.get(kind)
    if found is None:
        raise TypeError(f"{name} is a {kind.__name__}: write its column type in Annotated")
    return found


def _may_be_none(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint)


def _python_type(hint: Any) -> type[Any]:
    """The type of a field that is not None; `object` if it is no plain class."""
    if _may_be_none(hint):
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
    return hint if isinstance(hint, type) else object
