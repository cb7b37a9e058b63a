"""The statements of orders; each is built here and run in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Text, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Select

from service_orders.domains.orders.models import Order, OrderLine, order_lines, orders
from service_orders.domains.orders.states import OrderStatus

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


async def find(connection: AsyncConnection, order_id: UUID) -> Order | None:
    """An order as it is now."""
    return _order((await connection.execute(_by_id(order_id))).one_or_none())


async def locked(connection: AsyncConnection, order_id: UUID) -> Order | None:
    """An order that nobody else changes until this transaction ends."""
    return _order((await connection.execute(_by_id(order_id).with_for_update())).one_or_none())


async def lines_of(connection: AsyncConnection, order_id: UUID) -> list[OrderLine]:
    """The lines of an order, as they were given."""
    found = await connection.execute(
        select(order_lines.c.product_id, order_lines.c.quantity)
        .where(order_lines.c.order_id == order_id)
        .order_by(order_lines.c.position)
    )
    return [OrderLine(*row) for row in found]


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
