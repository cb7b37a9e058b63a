"""The bodies of answers about restaurants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, Field

from service_orders.domains.restaurants.models import DiningTable, Restaurant
from servicekit.http.fields import Timestamp


class RestaurantSummary(BaseModel):
    """A restaurant. The time of a booking without an offset is in its time zone."""

    id: int = Field(examples=[1])
    name: str
    address: str
    description: str | None
    timezone: str = Field(examples=["Europe/Rome"])
    created_at: Timestamp

    @classmethod
    def of(cls, restaurant: Restaurant) -> Self:
        return cls.model_validate(restaurant, from_attributes=True)


class TableView(BaseModel):
    """A table and the number of its seats."""

    id: int
    name: str
    seats: int
    location: str

    @classmethod
    def of(cls, table: DiningTable) -> Self:
        return cls.model_validate(table, from_attributes=True)


class RestaurantView(RestaurantSummary):
    """A restaurant with its tables, smallest first."""

    tables: list[TableView]

    @classmethod
    def of_tables(cls, restaurant: Restaurant, tables: Sequence[DiningTable]) -> Self:
        return cls(
            **RestaurantSummary.of(restaurant).__dict__,
            tables=[TableView.of(table) for table in tables],
        )
