"""Orders as they look from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service_orders.domains.orders.models import HistoryEntry, Order, OrderLine
from service_orders.domains.orders.states import OrderStatus
from servicekit.http.fields import Line, Money, Timestamp, Whole

MAX_QUANTITY = 1_000_000


class ProductView(BaseModel):
    """So many of one product."""

    product_id: Annotated[str, Line(1, 255)] = Field(examples=["product_001"])
    quantity: Annotated[int, Whole(1, MAX_QUANTITY)] = Field(examples=[2])


class PlaceOrder(BaseModel):
    """What somebody orders. Several lines of one product are added up."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "user_1",
                    "products": [
                        {"product_id": "product_001", "quantity": 1},
                        {"product_id": "product_002", "quantity": 19},
                    ],
                    "amount": "140.00",
                }
            ]
        }
    )

    user_id: Annotated[str, Line(1, 255)]
    products: Annotated[list[ProductView], Field(min_length=1, max_length=500)]
    amount: Money


class OrderStatusView(BaseModel):
    """Where an order stands."""

    id: UUID
    status: OrderStatus
    reason: str | None
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, order: Order) -> Self:
        return cls(
            id=order.id,
            status=order.status,
            reason=order.reason,
            created_at=order.created_at,
            updated_at=order.updated_at,
        )


class OrderSummary(OrderStatusView):
    """An order as it stands in a list, without its products."""

    user_id: str
    amount: Money

    @classmethod
    def of(cls, order: Order) -> Self:
        return cls(**OrderStatusView.of(order).__dict__, user_id=order.user_id, amount=order.amount)


class OrderView(OrderSummary):
    """An order with all that belongs to it."""

    products: list[ProductView]

    @classmethod
    def of_lines(cls, order: Order, lines: Sequence[OrderLine]) -> Self:
        return cls(
            **OrderSummary.of(order).__dict__,
            products=[
                ProductView(product_id=line.product_id, quantity=line.quantity) for line in lines
            ],
        )


class HistoryItem(BaseModel):
    """A status that the order has had."""

    status: str
    at: Timestamp
    reason: str | None
    caused_by: UUID | None = Field(description="The event that caused it; null for a request.")


class History(BaseModel):
    """Oldest first."""

    items: list[HistoryItem]

    @classmethod
    def of(cls, entries: Sequence[HistoryEntry]) -> Self:
        return cls(
            items=[
                HistoryItem(
                    status=entry.status, at=entry.at, reason=entry.reason, caused_by=entry.caused_by
                )
                for entry in entries
            ]
        )
