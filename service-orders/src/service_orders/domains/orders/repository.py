"""The statements of orders."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import Event, UnitOfWork
from service_orders.domains.orders.errors import OrderNotFound
from service_orders.domains.orders.models import (
    Order,
    OrderLine,
    order_history,
    order_lines,
    orders,
)
from servicekit.database.tables import RowMapper
from servicekit.service.rows import Rows

ROWS = Rows[UUID, Order](orders, Order, OrderNotFound)
LINES = RowMapper(order_lines, OrderLine)

# A new order, its lines, its history and its event are one statement, hence one round trip. The
# statement is the same for any number of lines, so PostgreSQL prepares it once.
_PLACED = f"""
placed AS ({ROWS.insert}), lines AS (
  INSERT INTO order_lines (order_id, product_id, quantity, position)
  SELECT %(id)s, given.*
    FROM unnest(%(product_ids)s::text[], %(quantities)s::bigint[]) WITH ORDINALITY AS given
), history AS ({order_history.insert_first})"""  # noqa: S608


async def place_order(
    unit: UnitOfWork, order: Order, lines: Sequence[OrderLine], event: Event
) -> None:
    """Insert a new order with its lines and the first entry of its history, and emit its event."""
    parameters = {
        **ROWS.values(order),
        "product_ids": [line.product_id for line in lines],
        "quantities": [line.quantity for line in lines],
    }
    await unit.write(_PLACED, parameters, event)


async def lines_of(connection: AsyncConnection, order_id: UUID) -> list[OrderLine]:
    """The lines of an order, in the order in which they were given."""
    these = LINES.all.where(order_lines.c.order_id == order_id)
    return await LINES.fetch(connection, these.order_by(order_lines.c.position))
