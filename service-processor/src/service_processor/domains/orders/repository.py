"""The statements of fulfilment and stock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, any_, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import UnitOfWork
from service_processor.domains.orders.models import (
    OrderDecision,
    Product,
    ReservedLine,
    fulfilments,
    products,
    reserved_lines,
)
from servicekit.database.tables import RowMapper

DECISIONS = RowMapper(fulfilments, OrderDecision)
PRODUCTS = RowMapper(products, Product)
RESERVED = RowMapper(reserved_lines, ReservedLine)


# What is reserved leaves the stock in the same statement. Products are named by their ids too: a
# plain join reads all of them where PostgreSQL has no statistics.
_RESERVED = f"""
WITH reserved AS ({RESERVED.insert_all} RETURNING product_id, quantity)
UPDATE products SET stock = stock - total.quantity
  FROM (SELECT product_id, sum(quantity) AS quantity FROM reserved GROUP BY product_id) AS total
 WHERE products.product_id = total.product_id
   AND products.product_id = ANY(ARRAY(SELECT product_id FROM reserved))"""  # noqa: S608


_RELEASED = """
WITH gone AS (
  DELETE FROM reserved_lines WHERE order_id = ANY(%(order_ids)s::uuid[])
  RETURNING product_id, quantity
)
UPDATE products SET stock = stock + total.quantity
  FROM (SELECT product_id, sum(quantity) AS quantity FROM gone GROUP BY product_id) AS total
 WHERE products.product_id = total.product_id
   AND products.product_id = ANY(ARRAY(SELECT product_id FROM gone))"""

_CANCELLED = """
UPDATE fulfilments AS decided SET cancelled_at = given.cancelled_at
  FROM unnest(%(order_ids)s::uuid[], %(cancelled_at)s::timestamptz[])
       AS given(order_id, cancelled_at)
 WHERE decided.order_id = given.order_id"""


async def record(unit: UnitOfWork, decided: Sequence[OrderDecision]) -> None:
    """Store decisions. A second decision about an order is a bug, and fails."""
    await unit.send(DECISIONS.insert_all, DECISIONS.listed(decided))


async def record_cancellations(unit: UnitOfWork, cancelled: Mapping[UUID, datetime]) -> None:
    """Store when these orders were cancelled, whatever was decided about them."""
    given = {"order_ids": list(cancelled), "cancelled_at": list(cancelled.values())}
    await unit.send(_CANCELLED, given)


async def locked_stock(connection: AsyncConnection, product_ids: Collection[str]) -> dict[str, int]:
    """The stock of these products, locked in the order of their ids."""
    found = await connection.execute(
        select(products.c.product_id, products.c.stock)
        .where(products.c.product_id == any_(literal(list(product_ids), ARRAY(Text))))
        .order_by(products.c.product_id)
        .with_for_update()
    )
    return {row.product_id: row.stock for row in found}


async def reserve(unit: UnitOfWork, lines: Sequence[ReservedLine]) -> None:
    """Reserve lines of stock; the caller has locked it and checked that it suffices."""
    if lines:
        await unit.send(_RESERVED, RESERVED.listed(lines))


async def release(unit: UnitOfWork, order_ids: Collection[UUID]) -> None:
    """Release what these orders have reserved; the second time there is nothing to release."""
    reserved = select(reserved_lines.c.product_id).where(
        reserved_lines.c.order_id == any_(literal(list(order_ids), ARRAY(Uuid)))
    )
    product_ids = set((await unit.connection.execute(reserved)).scalars())
    if product_ids:
        await locked_stock(unit.connection, product_ids)
        await unit.send(_RELEASED, {"order_ids": list(order_ids)})


async def stock_of(connection: AsyncConnection, product_id: str) -> int | None:
    """How much of a product can still be ordered; None if there is no such product."""
    found = await connection.execute(
        select(products.c.stock).where(products.c.product_id == product_id)
    )
    return found.scalar_one_or_none()


async def set_stock(connection: AsyncConnection, product_id: str, stock: int) -> None:
    """Create a product, or set how much of it can be ordered."""
    await PRODUCTS.put(connection, Product(product_id, stock))
