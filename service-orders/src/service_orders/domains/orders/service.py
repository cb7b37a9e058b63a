"""What can be done with orders. The caller began the transaction, and commits it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from contracts import OrderCancelled, OrderCreated, OrderedProduct
from outbox import SingleWrite, UnitOfWork
from service_orders.domains.orders import repository, states
from service_orders.domains.orders.errors import OrderNotFound, TooMany
from service_orders.domains.orders.models import HistoryEntry, Order, OrderLine
from service_orders.domains.orders.schemas import MAX_QUANTITY, PlaceOrder, ProductView
from service_orders.domains.orders.states import OrderStatus
from service_orders.waiting import SETTLED


async def place(
    unit: UnitOfWork | SingleWrite, wanted: PlaceOrder
) -> tuple[Order, list[OrderLine]]:
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
    await repository.place(unit, order, lines, _created(order, lines))
    return order, lines


async def get(connection: AsyncConnection, order_id: UUID) -> Order:
    """Raises `OrderNotFound`."""
    order = await repository.find(connection, order_id)
    if order is None:
        raise OrderNotFound(order_id)
    return order


async def cancel(unit: UnitOfWork, order_id: UUID) -> Order:
    """Cancel an order that is not settled yet, and have released what was reserved for it.

    Raises `OrderNotFound` or `IllegalTransition`.
    """
    order = await _locked(unit, order_id)
    states.move(order.status, OrderStatus.CANCELLED)
    now = datetime.now(UTC)
    await _set_status(unit, order, OrderStatus.CANCELLED, reason=None, at=now)
    await unit.emit(OrderCancelled(order_id=order_id, cancelled_at=now))
    return await get(unit.connection, order_id)


async def follow(
    unit: UnitOfWork, order_id: UUID, target: OrderStatus, *, reason: str | None
) -> None:
    """Go where an event leads; what comes too late is noted in the history and changes nothing."""
    order, at = await _locked(unit, order_id), datetime.now(UTC)
    if states.may_move(order.status, target):
        await _set_status(unit, order, target, reason=reason, at=at)
    else:
        ignored = f"ignored {target}: the order was {order.status} already"
        await _note(unit, order_id, order.status, reason=ignored, at=at)


async def _locked(unit: UnitOfWork, order_id: UUID) -> Order:
    order = await repository.locked(unit.connection, order_id)
    if order is None:
        raise OrderNotFound(order_id)
    return order


async def _set_status(
    unit: UnitOfWork, order: Order, status: OrderStatus, *, reason: str | None, at: datetime
) -> None:
    await repository.set_status(unit.connection, order.id, status, reason=reason, at=at)
    await _note(unit, order.id, status, reason=reason, at=at)
    if states.is_terminal(status):
        unit.announce(SETTLED, str(order.id))


async def _note(
    unit: UnitOfWork, order_id: UUID, status: OrderStatus, *, reason: str | None, at: datetime
) -> None:
    cause = unit.cause.id if unit.cause else None
    entry = HistoryEntry(status.value, at, reason, cause)
    await repository.add_history(unit.connection, order_id, entry)


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
