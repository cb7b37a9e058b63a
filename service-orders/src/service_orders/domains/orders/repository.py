"""The statements of orders; each is built here and run in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Select

from outbox import Event, SingleWrite, UnitOfWork, Work
from service_orders.domains.orders.models import (
    HistoryEntry,
    Order,
    OrderLine,
    order_history,
    order_lines,
    orders,
)
from service_orders.domains.orders.states import OrderStatus
from servicekit.http.pagination import Keyset, PageRequest

NEWEST_FIRST = Keyset(orders.c.id)

# All rows of a new order and its event are one statement, hence one round trip; one shape of it
# for any number of lines, so that it is prepared once.
_PLACED = """
placed AS (
  INSERT INTO orders (id, user_id, amount, status, created_at, updated_at)
  VALUES (%(id)s, %(user_id)s, %(amount)s, %(status)s, %(at)s, %(at)s)
), lines AS (
  INSERT INTO order_lines (order_id, product_id, quantity, position)
  SELECT %(id)s, given.*
    FROM unnest(%(product_ids)s::text[], %(quantities)s::bigint[]) WITH ORDINALITY AS given
), history AS (
  INSERT INTO order_history (order_id, number, status, at) VALUES (%(id)s, 1, %(status)s, %(at)s)
)"""

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


async def place(
    unit: UnitOfWork | SingleWrite, order: Order, lines: Sequence[OrderLine], event: Event
) -> None:
    """Insert a new order with its lines and the first entry of its history, and emit its event."""
    parameters = {
        "id": order.id,
        "user_id": order.user_id,
        "amount": order.amount,
        "status": order.status.value,
        "at": order.created_at,
        "product_ids": [line.product_id for line in lines],
        "quantities": [line.quantity for line in lines],
    }
    await unit.write(_PLACED, parameters, event)


async def find(connection: AsyncConnection, order_id: UUID) -> Order | None:
    """An order as it is now."""
    row = (await connection.execute(_by_id(order_id))).one_or_none()
    return None if row is None else _order(row)


async def find_all(work: Work, order_ids: Sequence[UUID]) -> dict[UUID, Order]:
    """These orders as they are now, as far as they exist; in one round trip."""
    found = select(*(orders.c[field] for field in Order.__slots__)).where(
        orders.c.id == any_(bindparam("ids", type_=ARRAY(Uuid)))
    )
    async with work.read() as connection:
        rows = await connection.execute(found, {"ids": list(order_ids)})
        return {row.id: _order(row) for row in rows}


async def locked(connection: AsyncConnection, order_id: UUID) -> Order | None:
    """An order that nobody else changes until this transaction ends."""
    row = (await connection.execute(_by_id(order_id).with_for_update())).one_or_none()
    return None if row is None else _order(row)


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
    return [_order(row) for row in rows]


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


def _order(row: Any) -> Order:
    return Order(**{**row._mapping, "status": OrderStatus(row.status)})
