"""Lists by keyset: newest first, each page begins after the last row of the one before.

    NEWEST = Keyset(orders.c.created_at, orders.c.id)

    @router.get("")
    async def list_orders(deps: Deps, page: PageQuery) -> Page[OrderView]:
        async with deps.work.read() as connection:
            rows = (await connection.execute(NEWEST.select(select(orders), page))).all()
        return NEWEST.page(rows, page, OrderView.model_validate)

`servicekit.service.rows.Rows.page` does both steps.

Rows that existed when the first page was read come exactly once, whatever is inserted meanwhile:
the position is a value, not a count. The last column of a keyset has to be unique.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import GenericAlias
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, Select, literal, tuple_

from servicekit.http.exception_handlers import validation_failed
from servicekit.http.fields import PLAIN_DIGITS, Timestamp
from servicekit.http.problems import Problem
from servicekit.http.strict_json import MAX_INT64, MIN_INT64

__all__ = ["Keyset", "Page", "PageQuery", "PageRequest"]

Version = Literal[1]
VERSION: Version = 1  # first in every cursor, so that a later layout can tell the older ones
DEFAULT_LIMIT, MAX_LIMIT = 50, 100
MAX_CURSOR = 512

View = TypeVar("View")
Row = TypeVar("Row")

_CURSOR_TYPES: dict[type[Any], Any] = {
    datetime: Timestamp,
    UUID: UUID,
    int: Annotated[int, Field(strict=True, ge=MIN_INT64, le=MAX_INT64)],
}


class Page(BaseModel, Generic[View]):
    """One page of a list, newest first."""

    items: list[View]
    next_cursor: str | None = Field(
        description="Where the next page begins (`?cursor=`); null on the last page."
    )


@dataclass(frozen=True)
class PageRequest:
    """The requested page: `limit` rows (1 to 100) from `cursor` on, or the newest."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


async def _page_request(
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="How many items at most."), PLAIN_DIGITS
    ] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=MAX_CURSOR,
            description="The `next_cursor` of the page before; without it the newest items come.",
        ),
    ] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


PageQuery = Annotated[PageRequest, Depends(_page_request)]
"""`?limit=` and `?cursor=` of a list."""


class Keyset:
    """The columns a list is ordered by, all descending; together they name one row.

    They are times, UUIDs or integers, never NULL; an index on them in this order (after the
    columns of a filter) serves every page alike. Rows show them as attributes of the same names.
    """

    def __init__(self, *columns: ColumnElement[Any]) -> None:
        self._columns = columns
        self._names = [str(column.key) for column in columns]
        kinds = [_cursor_type(column) for column in columns]
        layout: Any = GenericAlias(tuple, (Version, *kinds))
        self._cursor = TypeAdapter[Any](layout)

    def select(self, statement: Select[Any], page: PageRequest) -> Select[Any]:
        """Return the statement for the page and one row more, which shows whether a page follows.

        Raises Problem 422 with the field `cursor` for a cursor that is not one of this list.
        """
        if page.cursor is not None:
            values = zip(self._read(page.cursor), self._columns, strict=True)
            # One comparison of rows: (a, b) < (x, y) is a range of the index, a < x OR … is not.
            after = tuple_(*(literal(value, column.type) for value, column in values))
            statement = statement.where(tuple_(*self._columns) < after)
        newest_first = (column.desc() for column in self._columns)
        return statement.order_by(*newest_first).limit(page.limit + 1)

    def page(
        self, rows: Sequence[Row], page: PageRequest, view: Callable[[Row], View]
    ) -> Page[View]:
        """Return the rows that `select` found as a page of views."""
        shown = rows[: page.limit]
        more = len(rows) > page.limit
        return Page(
            items=[view(row) for row in shown],
            next_cursor=self.cursor(shown[-1]) if more else None,
        )

    def cursor(self, row: object) -> str:
        """Return the cursor of the page that begins after `row`."""
        return self._written((VERSION, *(getattr(row, name) for name in self._names)))

    def _read(self, cursor: str) -> tuple[Any, ...]:
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            layout = base64.b64decode(padded, altchars="-_", validate=True)
            values: tuple[Any, ...] = self._cursor.validate_json(layout)
        except (ValueError, ValidationError):
            raise _bad_cursor() from None
        if self._written(values) != cursor:  # a row has one cursor only
            raise _bad_cursor()
        return values[1:]

    def _written(self, values: tuple[Any, ...]) -> str:
        return base64.urlsafe_b64encode(self._cursor.dump_json(values)).rstrip(b"=").decode()


def _cursor_type(column: ColumnElement[Any]) -> Any:
    try:
        return _CURSOR_TYPES[column.type.python_type]
    except KeyError:
        raise TypeError(f"{column} is not a time, UUID or integer to order a list by") from None


def _bad_cursor() -> Problem:
    message = "This is not a cursor of this list; send next_cursor as you got it."
    return validation_failed([{"field": "cursor", "message": message}])
