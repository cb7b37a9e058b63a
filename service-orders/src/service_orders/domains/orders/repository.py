"""The statements of orders; each is built here and run in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Text, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Select

from service_orders.domains.orders.models import (
    HistoryEntry,
    Order,
    OrderLine,
    order_history,
    order_lines,
    orders,
)
from service_orders.domains.orders.states import OrderStatus
from servicekit.pagination import Keyset, PageRequest

NEWEST_FIRST = Keyset(orders.c.id)

# One shape of statement for any number of lines, so that it is compiled and prepared once.
_given = (
    func.unnest(
        bindparam("product_ids", type_=ARRAY(Text)),
        bindparam("quantities", type_=ARRAY(BigInteger)),
    )
    .table_valued("product_id", "quantity", with_ordinality="position")
    .render_derived(name="given")
)

_INSERT_LINES = insert(order_lines).from_select(
    ["order_id", "product_id", "quantity", "position"],
    select(
        bindparam("order_id", type_=orders.c.id.type),
        _given.c.product_id,
        _given.c.quantity,
        _given.c.position,
    ),
)

_APPEND = insert(order_history).from_select(
    ["order_id", "number", *HistoryEntry.__slots__],
    select(
        bindparam("order_id", type_=orders.c.id.type),
        select(func.coalesce(func.max(order_history.c.number), 0) + 1)
        .where(order_history.c.order_id == bindparam("order_id", type_=orders.c.id.type))
        .scalar_subquery(),
        *(bindparam(field, type_=order_history.c[field].type) for field in HistoryEntry.__slots__),
    ),
)


async def add(connection: AsyncConnection, order: Order, lines: Sequence[OrderLine]) -> None:
    """Insert an order with its lines."""
    row = {field: getattr(order, field) for field in Order.__slots__}
    await connection.execute(insert(orders), row)
    parameters = {
        "order_id": order.id,
        "product_ids": [line.product_id for line in lines],
        "quantities": [line.quantity for line in lines],
    }
    await connection.execute(_INSERT_LINES, parameters)
    first = HistoryEntry(order.status.value, order.created_at, order.reason, None)
    await add_history(connection, order.id, first)


async def find(connection: AsyncConnection, order_id: UUID) -> Order | None:
    """An order as it is now."""
    return _order((await connection.execute(_by_id(order_id))).one_or_none())


async def locked(connection: AsyncConnection, order_id: UUID) -> Order | None:
    """An order that nobody else changes until this transaction ends."""
    return _order((await connection.execute(_by_id(order_id).with_for_update())).one_or_none())


def newest(*, user_id: str | None, status: OrderStatus | None) -> Select[Any]:
    """Orders, narrowed down; served by the primary key or one of the indexes orders_by_…."""
    found = select(*(orders.c[field] for field in Order.__slots__))
    if user_id is not None:
        found = found.where(orders.c.user_id == user_id)
    if status is not None:
        found = found.where(orders.c.status == status.value)
    return found


async def page_of(
    connection: AsyncConnection, found: Select[Any], page: PageRequest
) -> list[Order]:
    """The orders of a page, and one more if there is a next."""
    rows = await connection.execute(NEWEST_FIRST.select(found, page))
    return [Order(**{**row._mapping, "status": OrderStatus(row.status)}) for row in rows]


async def lines_of(connection: AsyncConnection, order_id: UUID) -> list[OrderLine]:
    """The lines of an order, as they were given."""
    found = await connection.execute(
        select(order_lines.c.product_id, order_lines.c.quantity)
        .where(order_lines.c.order_id == order_id)
        .order_by(order_lines.c.position)
    )
    return [OrderLine(*row) for row in found]


async def history_of(connection: AsyncConnection, order_id: UUID) -> list[HistoryEntry]:
    """Every status an order has had, oldest first."""
    found = await connection.execute(
        select(*(order_history.c[field] for field in HistoryEntry.__slots__))
        .where(order_history.c.order_id == order_id)
        .order_by(order_history.c.number)
    )
    return [HistoryEntry(*row) for row in found]


async def add_history(connection: AsyncConnection, order_id: UUID, entry: HistoryEntry) -> None:
    """Append to the history of an order that is locked or new."""
    row = {field: getattr(entry, field) for field in HistoryEntry.__slots__}
    await connection.execute(_APPEND, {"order_id": order_id, **row})


async def set_status(
    connection: AsyncConnection,
    order_id: UUID,
    status: OrderStatus,
    *,
    reason: str | None,
    at: datetime,
) -> None:
    """Move an order that is locked."""
    await connection.execute(
        update(orders)
        .where(orders.c.id == order_id)
        .values(status=status.value, reason=reason, updated_at=at)
    )


def _by_id(order_id: UUID) -> Select[Any]:
    return select(*(orders.c[field] for field in Order.__slots__)).where(orders.c.id == order_id)


def _order(row: Any) -> Order | None:
    if row is None:
        return None
    return Order(**{**row._mapping, "status": OrderStatus(row.status)})
