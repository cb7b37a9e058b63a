"""The statements of orders."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import Event, SingleWrite, UnitOfWork
from service_orders.domains.orders.errors import OrderNotFound
from service_orders.domains.orders.models import Order, OrderLine, order_lines, orders
from servicekit.http.pagination import Keyset
from servicekit.service.rows import Rows

ROWS = Rows[UUID, Order](orders, Order, OrderNotFound, newest_first=Keyset(orders.c.id))

# A new order, its lines, its history and its event are one statement, hence one round trip. The
# statement is the same for any number of lines, so PostgreSQL prepares it once.
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


async def place_order(
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


async def lines_of(connection: AsyncConnection, order_id: UUID) -> list[OrderLine]:
    """The lines of an order, in the order in which they were given."""
    found = await connection.execute(
        select(order_lines.c.product_id, order_lines.c.quantity)
        .where(order_lines.c.order_id == order_id)
        .order_by(order_lines.c.position)
    )
    return [OrderLine(*row) for row in found]
