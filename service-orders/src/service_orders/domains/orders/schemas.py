"""The bodies of requests and answers about orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service_orders.domains.orders.models import Order, OrderLine
from service_orders.domains.orders.states import OrderStatus
from servicekit.database.tables import fields_of
from servicekit.http.fields import Line, Money, Timestamp, Whole

MAX_QUANTITY = 1_000_000


class ProductView(BaseModel):
    """A quantity of one product."""

    product_id: Annotated[str, Line(1, 255)] = Field(examples=["product_001"])
    quantity: Annotated[int, Whole(1, MAX_QUANTITY)] = Field(examples=[2])


class PlaceOrder(BaseModel):
    """The products of a new order. Several lines of one product are added up."""

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
    """The status of an order."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    status: OrderStatus
    reason: str | None
    created_at: Timestamp
    updated_at: Timestamp


class OrderSummary(OrderStatusView):
    """An order in a list, without its products."""

    user_id: str
    amount: Money


class OrderView(OrderSummary):
    """An order with its products."""

    products: list[ProductView]

    @classmethod
    def of(cls, order: Order, lines: Sequence[OrderLine]) -> Self:
        # One validation for the whole answer: this is made for every order that is placed.
        return cls.model_validate({**fields_of(order), "products": lines}, from_attributes=True)
