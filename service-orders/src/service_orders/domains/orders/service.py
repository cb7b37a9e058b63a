"""What can be done with orders. The caller began the transaction, and commits it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from contracts import OrderCreated, OrderedProduct
from outbox import UnitOfWork
from service_orders.domains.orders import repository
from service_orders.domains.orders.errors import OrderNotFound, TooMany
from service_orders.domains.orders.models import Order, OrderLine
from service_orders.domains.orders.schemas import MAX_QUANTITY, PlaceOrder, ProductView
from service_orders.domains.orders.states import OrderStatus, is_terminal, may_move
from service_orders.waiting import SETTLED


async def place(unit: UnitOfWork, wanted: PlaceOrder) -> tuple[Order, list[OrderLine]]:
    """Record an order and tell the processor about it."""
    now = datetime.now(UTC)
    lines = summed(wanted.products)
    order = Order(
        uuid7(),
        wanted.user_id,
        wanted.amount,
        OrderStatus.CREATED,
        None,
        created_at=now,
        updated_at=now,
    )
    await repository.add(unit.connection, order, lines)
    await unit.emit(_created(order, lines))
    return order, lines


async def get(connection: AsyncConnection, order_id: UUID) -> Order:
    """Raises `OrderNotFound`."""
    order = await repository.find(connection, order_id)
    if order is None:
        raise OrderNotFound(order_id)
    return order


async def move(
    unit: UnitOfWork, order_id: UUID, target: OrderStatus, *, reason: str | None, at: datetime
) -> bool:
    """Move an order if its status allows it; what comes too late changes nothing."""
    order = await repository.locked(unit.connection, order_id)
    if order is None:
        raise OrderNotFound(order_id)
    if not may_move(order.status, target):
        return False
    await repository.set_status(unit.connection, order_id, target, reason=reason, at=at)
    if is_terminal(target):
        unit.announce(SETTLED, str(order_id))
    return True


def summed(products: Iterable[ProductView]) -> list[OrderLine]:
    """One line per product, in the order of first mention."""
    quantities: dict[str, int] = {}
    for product in products:
        quantities[product.product_id] = quantities.get(product.product_id, 0) + product.quantity
    for product_id, quantity in quantities.items():
        if quantity > MAX_QUANTITY:
            raise TooMany(product_id, MAX_QUANTITY)
    return [OrderLine(*line) for line in quantities.items()]


def _created(order: Order, lines: Iterable[OrderLine]) -> OrderCreated:
    products = (
        OrderedProduct(product_id=line.product_id, quantity=line.quantity) for line in lines
    )
    return OrderCreated(
        order_id=order.id,
        user_id=order.user_id,
        products=tuple(products),
        amount=order.amount,
        created_at=order.created_at,
    )
