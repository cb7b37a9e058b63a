"""The tables of rentals, and the dataclass of a rental.

`rentals` has a partition per day. A constraint of a partitioned table has to contain the partition
key (PostgreSQL, "Table Partitioning"), so values that are unique over all days have small tables of
their own. The history is a column: it is dropped with its rental.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    DefaultClause,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from service_orders.domains.rentals.pricing import Price, cost
from service_orders.domains.rentals.states import LIFECYCLE, PaymentStatus, RentalStatus
from service_orders.metadata import metadata
from servicekit.database.tables import table_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rental:
    """A rental without its history. Amounts are whole units."""

    id: UUID
    started_at: datetime
    offer_id: UUID
    user_id: str
    scooter_id: str
    zone_id: str
    price_per_minute: int
    price_unlock: int
    deposit: int
    free_ride_seconds: Annotated[int, Integer()]
    status: RentalStatus
    payment_status: PaymentStatus
    reason: str | None
    active_at: datetime | None
    finished_at: datetime | None
    total_amount: Annotated[int, DefaultClause(text("0"))]

    def cost_at(self, now: datetime) -> int:
        """The cost of the ride if it ends at `now`; once it has ended, its cost."""
        if self.active_at is None:
            return 0
        price = Price(
            self.price_per_minute, self.price_unlock, self.deposit, self.free_ride_seconds
        )
        return cost(price, ((self.finished_at or now) - self.active_at).total_seconds())


rentals = table_of(
    Rental,
    "rentals",
    metadata,
    Column("history", JSONB, nullable=False),  # see decision 1303
    PrimaryKeyConstraint("id", "started_at"),
    CheckConstraint("total_amount >= 0", name="total"),
    # A list reads the newest day first, and stops when the page is full.
    Index("rentals_by_age", "started_at", "id"),
    Index("rentals_by_user", "user_id", "started_at", "id"),
    Index("rentals_by_status", "status", "started_at", "id"),
    postgresql_partition_by="RANGE (started_at)",
)

# Statements write these, and nothing reads their rows as objects. The keys guarantee one open
# rental per scooter and one rental per offer.
open_rentals = Table(
    "open_rentals",
    metadata,
    Column("scooter_id", Text, primary_key=True),
    Column("rental_id", Uuid, nullable=False),
)
used_offers = Table(
    "used_offers",
    metadata,
    Column("offer_id", Uuid, primary_key=True),
    Column("expires_at", DateTime(True), nullable=False),
    Index("used_offers_by_expiry", "expires_at"),
)
user_summary = Table(
    "user_summary",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("rides_count", BigInteger, nullable=False, server_default=text("0")),
    Column("debt", BigInteger, nullable=False, server_default=text("0")),
    Column("last_payment_status", Text),
    CheckConstraint("debt >= 0", name="debt"),
)

NEEDED = f"status NOT IN ({', '.join(sorted(repr(status.value) for status in LIFECYCLE.terminal))})"
"""SQL on a row of `rentals`: its partition is not dropped, however old it is."""


def started_at(rental_id: UUID) -> datetime | None:
    """The time in a UUIDv7 (RFC 9562, section 5.7), which says the partition of the rental.

    None for an id whose bits are no time that Python can represent.
    """
    try:
        return EPOCH + timedelta(milliseconds=rental_id.int >> 80)
    except OverflowError:
        return None
