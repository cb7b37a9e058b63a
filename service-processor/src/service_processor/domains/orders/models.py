"""The tables of decisions about orders, of stock, and of what orders have reserved."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Table, Text, Uuid

from service_processor.metadata import metadata

fulfilments = Table(
    "fulfilments",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("processed_at", DateTime(True), nullable=False),
    Column("cancelled_at", DateTime(True)),
)

products = Table(
    "products",
    metadata,
    Column("product_id", Text, primary_key=True),
    Column("stock", BigInteger, nullable=False),
    CheckConstraint("stock >= 0", name="stock"),
    # Room in each page for the row's next version, because every order changes stock.
    postgresql_with={"fillfactor": 70},
)

reserved_lines = Table(
    "reserved_lines",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("product_id", Text, primary_key=True),
    Column("quantity", BigInteger, nullable=False),
    CheckConstraint("quantity > 0", name="quantity"),
)
