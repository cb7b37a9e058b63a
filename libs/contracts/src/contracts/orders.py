"""The events of orders: service-orders asks, and service-processor processes."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from contracts.base import SAMPLE_TIME, Contract, Name, Reason
from contracts.exchanges import ORDERS, PROCESSOR

Money = Annotated[
    Decimal,
    Field(max_digits=12, decimal_places=2),
    PlainSerializer(lambda amount: f"{amount:.2f}", return_type=str),
]
OrderOutcome = Literal["COMPLETED", "FAILED"]


class OrderedProduct(BaseModel):
    """One line of an order; each product has one line."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    product_id: Name
    quantity: int


class _OrderEvent(Contract):
    aggregate_type: ClassVar[str] = "order"

    order_id: UUID

    @property
    def aggregate_id(self) -> str:
        return str(self.order_id)


class OrderCreated(_OrderEvent):
    """A user placed an order."""

    type: ClassVar[str] = "order.created"
    source: ClassVar[str] = "service-orders"

    user_id: Name
    products: Annotated[tuple[OrderedProduct, ...], Field(max_length=500)]
    amount: Money
    created_at: datetime


class OrderCancelled(_OrderEvent):
    """The order was cancelled before it was settled; what it reserved has to be released."""

    type: ClassVar[str] = "order.cancelled"
    source: ClassVar[str] = "service-orders"

    cancelled_at: datetime


class OrderProcessingStarted(_OrderEvent):
    """Processing began; its outcome follows as `order.processed`."""

    type: ClassVar[str] = "order.processing_started"
    source: ClassVar[str] = "service-processor"

    started_at: datetime


class OrderProcessed(_OrderEvent):
    """Processing ended."""

    type: ClassVar[str] = "order.processed"
    source: ClassVar[str] = "service-processor"

    outcome: OrderOutcome
    reason: Reason | None
    processed_at: datetime


PROCESSOR_ORDERS = ORDERS.to("processor.orders", "order")
ORDERS_ORDERS = PROCESSOR.to("orders.orders", "order")

_ID = UUID("01900000-0000-7000-8000-000000000001")
SAMPLES = (
    OrderCreated(
        order_id=_ID,
        user_id="user_1",
        products=(OrderedProduct(product_id="product_001", quantity=2),),
        amount=Decimal(140),
        created_at=SAMPLE_TIME,
    ),
    OrderCancelled(order_id=_ID, cancelled_at=SAMPLE_TIME),
    OrderProcessingStarted(order_id=_ID, started_at=SAMPLE_TIME),
    OrderProcessed(order_id=_ID, outcome="FAILED", reason="no stock", processed_at=SAMPLE_TIME),
)
