"""The tables of orders, and the dataclasses of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    Uuid,
)

from service_orders.domains.orders.states import OrderStatus
from service_orders.metadata import metadata
from servicekit.service.history import History

orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("amount", Numeric(12, 2), nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("created_at", DateTime(True), nullable=False),
    Column("updated_at", DateTime(True), nullable=False),
    CheckConstraint("amount >= 0", name="amount"),
    # Each serves one filter of the list. Ids are UUIDv7, so the highest id is the newest order.
    # See decision 0015.
    Index("orders_by_user", "user_id", "id"),
    Index("orders_by_status", "status", "id"),
    Index("orders_by_user_and_status", "user_id", "status", "id"),
)

order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("product_id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    CheckConstraint("quantity > 0", name="quantity"),
)

order_history = History("order", orders)


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A quantity of one product."""

    product_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order without its lines."""

    id: UUID
    user_id: str
    amount: Decimal
    status: OrderStatus
    reason: str | None
    created_at: datetime
    updated_at: datetime
