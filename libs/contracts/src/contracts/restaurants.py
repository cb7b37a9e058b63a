"""The events of restaurants, their tables, and reservations of a table by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from contracts.base import SAMPLE_TIME, Contract, Description, Name
from contracts.exchanges import PROCESSOR


class _RestaurantEvent(Contract):
    """Events of tables are in their restaurant's stream, so they arrive after it and in order."""

    source: ClassVar[str] = "service-processor"
    aggregate_type: ClassVar[str] = "restaurant"

    restaurant_id: int

    @property
    def aggregate_id(self) -> str:
        return str(self.restaurant_id)


class RestaurantCreated(_RestaurantEvent):
    """A restaurant without tables. When it is published again, its tables follow again."""

    type: ClassVar[str] = "restaurant.created"

    name: Name
    address: Description
    description: Description | None
    timezone: Name
    created_at: datetime


class TableCreated(_RestaurantEvent):
    """A table was added to a restaurant."""

    type: ClassVar[str] = "table.created"

    table_id: int
    name: Name
    seats: int
    location: Name
    created_at: datetime


class TableDeleted(_RestaurantEvent):
    """A table of a restaurant was deleted."""

    type: ClassVar[str] = "table.deleted"

    table_id: int
    deleted_at: datetime


class _ReservationEvent(Contract):
    source: ClassVar[str] = "service-processor"
    aggregate_type: ClassVar[str] = "reservation"
    audit_only: ClassVar[bool] = True

    reservation_id: int

    @property
    def aggregate_id(self) -> str:
        return str(self.reservation_id)


class ReservationCreated(_ReservationEvent):
    """A table was reserved for a period. It is half-open: it ends before `ends_at`."""

    type: ClassVar[str] = "reservation.created"

    table_id: int
    customer_name: Name
    starts_at: datetime
    ends_at: datetime
    created_at: datetime


class ReservationDeleted(_ReservationEvent):
    """The reservation was deleted; its table is free again."""

    type: ClassVar[str] = "reservation.deleted"

    deleted_at: datetime


ORDERS_RESTAURANTS = PROCESSOR.to("orders.restaurants", "restaurant", parts=("table",))

SAMPLES = (
    RestaurantCreated(
        restaurant_id=1,
        name="Trattoria",
        address="Harbour Street 1",
        description=None,
        timezone="Europe/Rome",
        created_at=SAMPLE_TIME,
    ),
    TableCreated(
        restaurant_id=1, table_id=3, name="T3", seats=4, location="window", created_at=SAMPLE_TIME
    ),
    TableDeleted(restaurant_id=1, table_id=3, deleted_at=SAMPLE_TIME),
    ReservationCreated(
        reservation_id=9,
        table_id=3,
        customer_name="Ada",
        starts_at=datetime(2026, 5, 1, 17, tzinfo=UTC),
        ends_at=datetime(2026, 5, 1, 19, tzinfo=UTC),
        created_at=SAMPLE_TIME,
    ),
    ReservationDeleted(reservation_id=9, deleted_at=SAMPLE_TIME),
)
