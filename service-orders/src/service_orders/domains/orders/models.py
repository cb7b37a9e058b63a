"""The tables of orders, declared by the dataclasses of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
)

from service_orders.domains.orders.states import OrderStatus
from service_orders.metadata import metadata
from servicekit.database.tables import table_of
from servicekit.service.history import History


@dataclass(frozen=True, slots=True)
class Order:
    """An order without its lines."""

    id: UUID
    user_id: str
    amount: Annotated[Decimal, Numeric(12, 2)]
    status: OrderStatus
    reason: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A quantity of one product."""

    product_id: str
    quantity: int


orders = table_of(
    Order,
    "orders",
    metadata,
    PrimaryKeyConstraint("id"),
    CheckConstraint("amount >= 0", name="amount"),
    # Each serves one filter of the list. Ids are UUIDv7, so the highest id is the newest order.
    # See decision 0015.
    Index("orders_by_user", "user_id", "id"),
    Index("orders_by_status", "status", "id"),
    Index("orders_by_user_and_status", "user_id", "status", "id"),
)

order_lines = table_of(
    OrderLine,
    "order_lines",
    metadata,
    Column("order_id", ForeignKey("orders.id")),
    Column("position", Integer, nullable=False),
    PrimaryKeyConstraint("order_id", "product_id"),
    CheckConstraint("quantity > 0", name="quantity"),
)

order_history = History("order", orders)
