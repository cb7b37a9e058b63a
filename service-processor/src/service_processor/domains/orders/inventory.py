"""Fulfilment from stock: an order reserves all its lines or none.

Invariant: the stock of a product and its reserved lines change in one transaction, under the row
locks of the products, in the order of their ids. A check constraint keeps stock at 0 or above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.orders import OrderCreated, OrderedProduct
from outbox import UnitOfWork
from service_processor.domains.orders import repository
from service_processor.domains.orders.models import ReservedLine
from service_processor.domains.orders.policy import Decision


class Inventory:
    """Completes the orders whose lines are all in stock."""

    async def decide(self, unit: UnitOfWork, orders: Sequence[OrderCreated]) -> Sequence[Decision]:
        """Reserve every line of an order, or fail it with the first product that is short."""
        wanted = {line.product_id for order in orders for line in order.products}
        stock = await repository.locked_stock(unit.connection, wanted)
        decisions = []
        reserved: list[ReservedLine] = []
        for order in orders:
            reason = shortage(order.products, stock)
            decisions.append(Decision("FAILED", reason) if reason else Decision("COMPLETED"))
            for line in () if reason else order.products:
                stock[line.product_id] -= line.quantity
                reserved.append(ReservedLine(order.order_id, line.product_id, line.quantity))
        await repository.reserve(unit, reserved)
        return decisions


def shortage(lines: Sequence[OrderedProduct], stock: Mapping[str, int]) -> str | None:
    """Why these lines cannot be reserved; None if they can."""
    for line in lines:
        if line.product_id not in stock:
            return f"unknown product {line.product_id}"
        if stock[line.product_id] < line.quantity:
            return f"too little stock of {line.product_id}"
    return None
