"""The bodies of requests and answers about restaurants, tables and reservations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from servicekit.http.fields import Line, Text, Timestamp, Whole
from servicekit.http.local_time import LocalTime, ShownTime, ZoneName

MAX_SEATS = 1000
DAY = 24 * 60

# A year ahead: the example is still in the future after this process has run for months.
SOON = (datetime.now(UTC) + timedelta(days=365)).strftime("%Y-%m-01T19:00:00")


class AddRestaurant(BaseModel):
    """A new restaurant. Without a time zone it gets the default of the service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Trattoria al Porto",
                    "address": "Via del Porto 1, Genova",
                    "description": "By the harbour",
                    "timezone": "Europe/Rome",
                }
            ]
        }
    )

    name: Annotated[str, Line(1, 200)]
    address: Annotated[str, Text(1, 500)]
    description: Annotated[str, Text(0, 2000)] | None = None
    timezone: ZoneName | None = None


class RestaurantView(BaseModel):
    """A restaurant. A time without an offset is in its time zone."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[1])
    name: str
    address: str
    description: str | None
    timezone: str = Field(examples=["Europe/Rome"])
    created_at: Timestamp


class AddTable(BaseModel):
    """A new table. Without a restaurant it goes to the oldest one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Table 1", "seats": 4, "location": "Terrace"}]}
    )

    restaurant_id: Annotated[int, Whole(1)] | None = None
    name: Annotated[str, Line(1, 20)]
    seats: Annotated[int, Whole(1, MAX_SEATS)]
    location: Annotated[str, Line(0, 200)] = ""


class TableView(BaseModel):
    """A table and the number of its seats."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[1])
    restaurant_id: int = Field(examples=[1])
    name: str
    seats: int
    location: str
    created_at: Timestamp


class ReserveTable(BaseModel):
    """A new reservation. A time without an offset is in the restaurant's time zone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "table_id": 1,
                    "customer_name": "Ada",
                    "reservation_time": SOON,
                    "duration_minutes": 90,
                }
            ]
        }
    )

    table_id: Annotated[int, Whole(1)]
    customer_name: Annotated[str, Line(1, 100)]
    reservation_time: LocalTime
    duration_minutes: Annotated[int, Whole(1, DAY)]


class ReservationView(BaseModel):
    """A reservation. `reservation_time` has the restaurant's offset."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[1])
    table_id: int = Field(examples=[1])
    customer_name: str
    reservation_time: ShownTime
    duration_minutes: int
    created_at: Timestamp
