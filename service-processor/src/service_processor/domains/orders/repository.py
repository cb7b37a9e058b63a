"""The statements of fulfilment and stock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Text, any_, delete, literal, select, update
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


# What is reserved leaves the stock in the same statement.
_RESERVED = f"""
WITH reserved AS ({RESERVED.insert_all} RETURNING product_id, quantity)
UPDATE products SET stock = stock - total.quantity
  FROM (SELECT product_id, sum(quantity) AS quantity FROM reserved GROUP BY product_id) AS total
 WHERE products.product_id = total.product_id"""  # noqa: S608


async def record(unit: UnitOfWork, decided: Sequence[OrderDecision]) -> None:
    """Store decisions. A second decision about an order is a bug, and fails."""
    await unit.send(DECISIONS.insert_all, DECISIONS.listed(decided))


async def record_cancellation(connection: AsyncConnection, order_id: UUID, at: datetime) -> None:
    """Store the cancellation of an order, whatever the decision was."""
    await connection.execute(
        update(fulfilments).where(fulfilments.c.order_id == order_id).values(cancelled_at=at)
    )


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


async def release(connection: AsyncConnection, order_id: UUID) -> None:
    """Release what the order has reserved; the second time there is nothing to release."""
    held = await connection.execute(
        select(reserved_lines.c.product_id).where(reserved_lines.c.order_id == order_id)
    )
    product_ids = [row.product_id for row in held]
    if not product_ids:
        return
    await locked_stock(connection, product_ids)
    gone = (
        delete(reserved_lines)
        .where(reserved_lines.c.order_id == order_id)
        .returning(reserved_lines.c.product_id, reserved_lines.c.quantity)
        .cte("gone")
    )
    await connection.execute(
        update(products)
        .where(products.c.product_id == gone.c.product_id)
        .values(stock=products.c.stock + gone.c.quantity)
    )


async def stock_of(connection: AsyncConnection, product_id: str) -> int | None:
    """How much of a product can still be ordered; None if there is no such product."""
    found = await connection.execute(
        select(products.c.stock).where(products.c.product_id == product_id)
    )
    return found.scalar_one_or_none()


async def set_stock(connection: AsyncConnection, product_id: str, stock: int) -> None:
    """Create a product, or set how much of it can be ordered."""
    await PRODUCTS.put(connection, Product(product_id, stock))
