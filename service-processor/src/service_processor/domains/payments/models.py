"""The table of payments: the money of each rental, and the outcomes of its steps."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, DateTime, PrimaryKeyConstraint

from service_processor.domains.payments.policy import Payment
from service_processor.metadata import metadata
from servicekit.database.tables import table_of

payments = table_of(
    Payment,
    "payments",
    metadata,
    Column("updated_at", DateTime(True), nullable=False),
    PrimaryKeyConstraint("rental_id"),
    CheckConstraint("deposit >= 0 AND total >= 0", name="amounts"),
)
