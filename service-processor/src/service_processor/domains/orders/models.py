"""Decisions about orders, stock, and what orders have reserved: rows, and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import CheckConstraint, PrimaryKeyConstraint, Text

from contracts.orders import OrderOutcome
from service_processor.metadata import metadata
from servicekit.database.tables import table_of


@dataclass(frozen=True, slots=True)
class OrderDecision:
    """How an order was decided. `cancelled_at` is set if it was cancelled all the same."""

    order_id: UUID
    outcome: Annotated[OrderOutcome, Text()]
    reason: str | None
    processed_at: datetime
    cancelled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """How much of a product can still be ordered."""

    product_id: str
    stock: int


@dataclass(frozen=True, slots=True)
class ReservedLine:
    """A quantity of a product that an order has reserved."""

    order_id: UUID
    product_id: str
    quantity: int


fulfilments = table_of(OrderDecision, "fulfilments", metadata, PrimaryKeyConstraint("order_id"))

products = table_of(
    Product,
    "products",
    metadata,
    PrimaryKeyConstraint("product_id"),
    CheckConstraint("stock >= 0", name="stock"),
    # Room in each page for the row's next version, because every order changes stock.
    postgresql_with={"fillfactor": 70},
)

reserved_lines = table_of(
    ReservedLine,
    "reserved_lines",
    metadata,
    PrimaryKeyConstraint("order_id", "product_id"),
    CheckConstraint("quantity > 0", name="quantity"),
)
