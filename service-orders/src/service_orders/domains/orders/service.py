"""Use cases of orders. The caller begins the transaction and commits it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from contracts.orders import OrderCancelled, OrderCreated, OrderedProduct
from outbox import UnitOfWork
from service_orders.domains.orders import repository
from service_orders.domains.orders.errors import TooMany
from service_orders.domains.orders.models import Order, OrderLine, order_history
from service_orders.domains.orders.schemas import MAX_QUANTITY, PlaceOrder, ProductView
from service_orders.domains.orders.states import LIFECYCLE, OrderStatus
from service_orders.waiting import SETTLED
from servicekit.service.batched_changes import BatchedChanges
from servicekit.service.changes import RowsWithHistory

CHANGES = BatchedChanges(
    RowsWithHistory(repository.ROWS, order_history), LIFECYCLE, SETTLED, key=str
)


async def place_order(unit: UnitOfWork, wanted: PlaceOrder) -> tuple[Order, list[OrderLine]]:
    """Store an order and emit the event that asks the processor to fulfil it."""
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
    await repository.place_order(unit, order, lines, _created(order, lines))
    return order, lines


async def cancel(unit: UnitOfWork, order_id: UUID) -> Order:
    """Cancel an order that is not settled; the processor then releases what it reserved.

    Raises `OrderNotFound` or `IllegalTransition`.
    """
    order = await CHANGES.move(unit, order_id, OrderStatus.CANCELLED)
    at = order.updated_at.astimezone(UTC)
    await unit.emit(OrderCancelled(order_id=order_id, cancelled_at=at))
    return order


def summed(products: Iterable[ProductView]) -> list[OrderLine]:
    """One line per product, in the order of first mention. Raises `TooMany`."""
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
